"""Every message id that the standards and the vendors we have met define, by number: who sends it, its name, its title, where it is from.

The one list of names. `declare` in a chapter file gives a message its body.
"""

from __future__ import annotations

from typing import Final

UP: Final = "up"
DOWN: Final = "down"
BOTH: Final = "both"

JT808: Final = "JT/T 808"
JT1078: Final = "JT/T 1078-2016"
JSATL: Final = "T/JSATL 12-2017"
VENDOR: Final = "vendor"

ALL: Final = "2011 2013 2019"
SINCE_2013: Final = "2013 2019"
SINCE_2019: Final = "2019"
UNTIL_2013: Final = "2011 2013"
"""Editions of JT/T 808 that define a body; 2019 lists the ids of events, questions and menus but no longer says what is in them.

The other documents and the vendors use the headers of any edition.
"""

KNOWN: Final = {
    0x0001: (UP, "terminal_general_response", "终端通用应答", JT808, ALL),
    0x8001: (DOWN, "platform_general_response", "平台通用应答", JT808, ALL),
    0x0002: (UP, "heartbeat", "终端心跳", JT808, ALL),
    0x0003: (UP, "log_out", "终端注销", JT808, ALL),
    0x0004: (UP, "server_time_query", "查询服务器时间请求", JT808, SINCE_2019),
    0x8004: (DOWN, "server_time", "查询服务器时间应答", JT808, SINCE_2019),
    0x0005: (UP, "terminal_resend_request", "终端补传分包请求", JT808, SINCE_2019),
    0x8003: (DOWN, "platform_resend_request", "服务器补传分包请求", JT808, SINCE_2013),
    0x0100: (UP, "register", "终端注册", JT808, ALL),
    0x8100: (DOWN, "register_response", "终端注册应答", JT808, ALL),
    0x0102: (UP, "authenticate", "终端鉴权", JT808, ALL),
    0x8103: (DOWN, "set_parameters", "设置终端参数", JT808, ALL),
    0x8104: (DOWN, "query_parameters", "查询终端参数", JT808, ALL),
    0x8106: (DOWN, "query_given_parameters", "查询指定终端参数", JT808, SINCE_2013),
    0x0104: (UP, "parameters", "查询终端参数应答", JT808, ALL),
    0x8105: (DOWN, "terminal_control", "终端控制", JT808, ALL),
    0x8107: (DOWN, "query_attributes", "查询终端属性", JT808, SINCE_2013),
    0x0107: (UP, "attributes", "查询终端属性应答", JT808, SINCE_2013),
    0x8108: (DOWN, "upgrade_package", "下发终端升级包", JT808, SINCE_2013),
    0x0108: (UP, "upgrade_result", "终端升级结果通知", JT808, SINCE_2013),
    0x0200: (UP, "location_report", "位置信息汇报", JT808, ALL),
    0x8201: (DOWN, "location_query", "位置信息查询", JT808, ALL),
    0x0201: (UP, "location_reply", "位置信息查询应答", JT808, ALL),
    0x8202: (DOWN, "temporary_tracking", "临时位置跟踪控制", JT808, ALL),
    0x8203: (DOWN, "confirm_alarm", "人工确认报警消息", JT808, SINCE_2013),
    0x8204: (DOWN, "link_check", "链路检测", JT808, SINCE_2019),
    0x8300: (DOWN, "text", "文本信息下发", JT808, ALL),
    0x8301: (DOWN, "set_events", "事件设置", JT808, UNTIL_2013),
    0x0301: (UP, "event_report", "事件报告", JT808, UNTIL_2013),
    0x8302: (DOWN, "question", "提问下发", JT808, UNTIL_2013),
    0x0302: (UP, "answer", "提问应答", JT808, UNTIL_2013),
    0x8303: (DOWN, "set_info_menu", "信息点播菜单设置", JT808, UNTIL_2013),
    0x0303: (UP, "info_order", "信息点播/取消", JT808, UNTIL_2013),
    0x8304: (DOWN, "info_service", "信息服务", JT808, UNTIL_2013),
    0x8400: (DOWN, "call_back", "电话回拨", JT808, ALL),
    0x8401: (DOWN, "set_phone_book", "设置电话本", JT808, ALL),
    0x8500: (DOWN, "vehicle_control", "车辆控制", JT808, ALL),
    0x0500: (UP, "vehicle_control_reply", "车辆控制应答", JT808, ALL),
    0x8600: (DOWN, "set_circles", "设置圆形区域", JT808, ALL),
    0x8601: (DOWN, "delete_circles", "删除圆形区域", JT808, ALL),
    0x8602: (DOWN, "set_rectangles", "设置矩形区域", JT808, ALL),
    0x8603: (DOWN, "delete_rectangles", "删除矩形区域", JT808, ALL),
    0x8604: (DOWN, "set_polygon", "设置多边形区域", JT808, ALL),
    0x8605: (DOWN, "delete_polygons", "删除多边形区域", JT808, ALL),
    0x8606: (DOWN, "set_route", "设置路线", JT808, ALL),
    0x8607: (DOWN, "delete_routes", "删除路线", JT808, ALL),
    0x8608: (DOWN, "query_areas", "查询区域或线路数据", JT808, SINCE_2019),
    0x0608: (UP, "areas", "查询区域或线路数据应答", JT808, SINCE_2019),
    0x8700: (DOWN, "recorder_query", "行驶记录数据采集命令", JT808, ALL),
    0x0700: (UP, "recorder_data", "行驶记录数据上传", JT808, ALL),
    0x8701: (DOWN, "recorder_parameters", "行驶记录参数下传", JT808, ALL),
    0x0701: (UP, "waybill", "电子运单上报", JT808, ALL),
    0x8702: (DOWN, "driver_identity_query", "上报驾驶员身份信息请求", JT808, SINCE_2013),
    0x0702: (UP, "driver_identity", "驾驶员身份信息采集上报", JT808, ALL),
    0x0704: (UP, "location_batch", "定位数据批量上传", JT808, SINCE_2013),
    0x0705: (UP, "can_data", "CAN总线数据上传", JT808, SINCE_2013),
    0x0800: (UP, "media_event", "多媒体事件信息上传", JT808, ALL),
    0x0801: (UP, "media_data", "多媒体数据上传", JT808, ALL),
    0x8800: (DOWN, "media_data_response", "多媒体数据上传应答", JT808, ALL),
    0x8801: (DOWN, "shoot", "摄像头立即拍摄命令", JT808, ALL),
    0x0805: (UP, "shoot_reply", "摄像头立即拍摄命令应答", JT808, SINCE_2013),
    0x8802: (DOWN, "media_search", "存储多媒体数据检索", JT808, ALL),
    0x0802: (UP, "media_search_reply", "存储多媒体数据检索应答", JT808, ALL),
    0x8803: (DOWN, "media_upload", "存储多媒体数据上传命令", JT808, ALL),
    0x8804: (DOWN, "record_sound", "录音开始命令", JT808, ALL),
    0x8805: (DOWN, "single_media_upload", "单条存储多媒体数据检索上传命令", JT808, SINCE_2013),
    0x8900: (DOWN, "transparent_down", "数据下行透传", JT808, ALL),
    0x0900: (UP, "transparent_up", "数据上行透传", JT808, ALL),
    0x0901: (UP, "compressed_report", "数据压缩上报", JT808, ALL),
    0x8A00: (DOWN, "platform_rsa_key", "平台RSA公钥", JT808, ALL),
    0x0A00: (UP, "terminal_rsa_key", "终端RSA公钥", JT808, ALL),
    0x9003: (DOWN, "query_av_attributes", "查询终端音视频属性", JT1078, ALL),
    0x1003: (UP, "av_attributes", "终端上传音视频属性", JT1078, ALL),
    0x1005: (UP, "passenger_flow", "终端上传乘客流量", JT1078, ALL),
    0x9101: (DOWN, "live_video_request", "实时音视频传输请求", JT1078, ALL),
    0x9102: (DOWN, "live_video_control", "音视频实时传输控制", JT1078, ALL),
    0x9105: (DOWN, "live_video_status", "实时音视频传输状态通知", JT1078, ALL),
    0x9201: (DOWN, "playback_request", "平台下发远程录像回放请求", JT1078, ALL),
    0x9202: (DOWN, "playback_control", "平台下发远程录像回放控制", JT1078, ALL),
    0x9205: (DOWN, "query_recordings", "查询资源列表", JT1078, ALL),
    0x1205: (UP, "recordings", "终端上传音视频资源列表", JT1078, ALL),
    0x9206: (DOWN, "upload_file", "文件上传指令", JT1078, ALL),
    0x1206: (UP, "upload_finished", "文件上传完成通知", JT1078, ALL),
    0x9207: (DOWN, "upload_control", "文件上传控制", JT1078, ALL),
    0x9301: (DOWN, "ptz_turn", "云台旋转", JT1078, ALL),
    0x9302: (DOWN, "ptz_focus", "云台调整焦距控制", JT1078, ALL),
    0x9303: (DOWN, "ptz_aperture", "云台调整光圈控制", JT1078, ALL),
    0x9304: (DOWN, "ptz_wiper", "云台雨刷控制", JT1078, ALL),
    0x9305: (DOWN, "ptz_infrared", "红外补光控制", JT1078, ALL),
    0x9306: (DOWN, "ptz_zoom", "云台变倍控制", JT1078, ALL),
    0x9208: (DOWN, "alarm_attachment_upload", "报警附件上传指令", JSATL, ALL),
    0x1210: (UP, "alarm_attachments", "报警附件信息消息", JSATL, ALL),
    0x1211: (UP, "file_information", "文件信息上传", JSATL, ALL),
    0x1212: (UP, "file_upload_finished", "文件上传完成消息", JSATL, ALL),
    0x1FC4: (UP, "upgrade_progress", "终端升级进度上报", JSATL, ALL),
    0x9212: (DOWN, "file_upload_finished_response", "文件上传完成消息应答", JSATL, ALL),
    0x0109: (UP, "time_sync_query", "时间同步请求", VENDOR, ALL),
    0x8109: (DOWN, "time_sync", "时间同步应答", VENDOR, ALL),
    0x0210: (UP, "location_batch_short", "位置批量上报", VENDOR, ALL),
    0x0310: (BOTH, "vendor_parameters", "参数设置", VENDOR, ALL),
    0x0506: (UP, "vendor_heartbeat", "心跳", VENDOR, ALL),
    0x1007: (UP, "time_zone_sync", "时区同步", VENDOR, ALL),
    0x1300: (UP, "text_reply", "文本应答", VENDOR, ALL),
    0x2070: (UP, "acceleration", "加速度数据", VENDOR, ALL),
    0x4401: (DOWN, "short_general_response", "通用应答", VENDOR, ALL),
    0x5501: (UP, "short_location_report", "位置汇报", VENDOR, ALL),
    0x5502: (UP, "short_location_buffered", "位置补报", VENDOR, ALL),
    0x6006: (UP, "text_report", "文本上报", VENDOR, ALL),
    0x8888: (UP, "photo", "图片上传", VENDOR, ALL),
    0xA006: (DOWN, "oil_control", "油电控制", VENDOR, ALL),
}
"""id → direction, name, title, source, editions."""
