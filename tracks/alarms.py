"""The alarms that terminals tell: the 32 bits of the alarm word and those of additional items, one table of numbers, words and gravity.

An incident of kind TERMINAL_ALARM has the alarm's number as its subject: 0 to 31 are the bits of the alarm word, the items' follow.
An alarm about an area, route or segment of the terminal's has that one's id in the bits above: `number | id << 8`.
A fix carries bit sets over the items' alarms (`raised`, `cleared`), where bit 0 is number 32.

Items speak in two ways. What is FLAGGED says itself when it begins and when it is over (T/JSATL 12-2017: 1 and 2), or that it is a
moment (0); reports in between are silent about it. What is HELD lasts as long as reports say so, like the bits of the word.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracks.event import Level
from tracks.fix import ABSENT

NUMBER_BITS: Final = 8
NUMBERS: Final = 2**NUMBER_BITS


class Alarm(NamedTuple):
    """One alarm."""

    word: str
    chinese: str
    level: Level
    item: int = ABSENT
    """The id of the item that tells it, if it is none of the word."""
    detail_of: int = ABSENT
    """The number of the alarm that says the same with less, mostly a bit of the alarm word: the two are one incident."""
    placed: bool = False
    """Its incident is about one area, route or segment."""
    passes: bool = False
    """It was over when last said, not when first missed."""


WORD: Final = (
    Alarm("emergency", "紧急报警", Level.MAJOR),
    Alarm("overspeed", "超速报警", Level.WARNING),
    Alarm("fatigue", "疲劳驾驶", Level.WARNING),
    Alarm("danger", "危险预警", Level.MAJOR),
    Alarm("gnss_fault", "卫星定位模块故障", Level.NOTICE),
    Alarm("gnss_antenna_cut", "天线未接", Level.NOTICE),
    Alarm("gnss_antenna_short", "天线短路", Level.NOTICE),
    Alarm("supply_low", "主电源欠压", Level.NOTICE),
    Alarm("supply_lost", "主电源掉电", Level.WARNING),
    Alarm("display_fault", "显示器故障", Level.NOTICE),
    Alarm("tts_fault", "语音合成模块故障", Level.NOTICE),
    Alarm("camera_fault", "摄像头故障", Level.NOTICE),
    Alarm("ic_card_fault", "IC卡模块故障", Level.NOTICE),
    Alarm("overspeed_warning", "超速预警", Level.NOTICE),
    Alarm("fatigue_warning", "疲劳驾驶预警", Level.NOTICE),
    Alarm("forbidden_hours", "违规行驶", Level.WARNING),
    Alarm("tyre_pressure_warning", "胎压预警", Level.NOTICE),
    Alarm("right_turn_blind_zone", "右转盲区异常", Level.NOTICE),
    Alarm("day_driving_over_limit", "当天累计驾驶超时", Level.WARNING),
    Alarm("parked_too_long", "超时停车", Level.NOTICE),
    Alarm("area_in_out", "进出区域", Level.WARNING),
    Alarm("route_in_out", "进出路线", Level.WARNING),
    Alarm("segment_time", "路段行驶时间不足或过长", Level.NOTICE),
    Alarm("off_route", "路线偏离", Level.WARNING),
    Alarm("speed_sensor_fault", "车速传感器故障", Level.NOTICE),
    Alarm("fuel_abnormal", "油量异常", Level.NOTICE),
    Alarm("stolen", "车辆被盗", Level.MAJOR),
    Alarm("illegal_ignition", "非法点火", Level.WARNING),
    Alarm("illegal_move", "非法位移", Level.WARNING),
    Alarm("collision", "碰撞", Level.MAJOR),
    Alarm("rollover", "侧翻", Level.MAJOR),
    Alarm("illegal_door_opening", "非法开门", Level.NOTICE),
)
"""Numbers 0 to 31: 2019's bits where it has one, else 2013's."""
WORD_BITS: Final = len(WORD)

FLAGGED: Final = (
    Alarm("adas_forward_collision", "前向碰撞", Level.MAJOR, 0x64),
    Alarm("adas_lane_departure", "车道偏离", Level.WARNING, 0x64),
    Alarm("adas_too_close", "车距过近", Level.WARNING, 0x64),
    Alarm("adas_pedestrian", "行人碰撞", Level.MAJOR, 0x64),
    Alarm("adas_lane_changes", "频繁变道", Level.NOTICE, 0x64),
    Alarm("adas_sign_limit", "道路标识超限", Level.NOTICE, 0x64),
    Alarm("adas_obstacle", "障碍物", Level.WARNING, 0x64),
    Alarm("adas_other", "其他驾驶辅助报警", Level.NOTICE, 0x64),
    Alarm("dsm_fatigue", "疲劳驾驶", Level.MAJOR, 0x65),
    Alarm("dsm_phone", "接打手持电话", Level.WARNING, 0x65),
    Alarm("dsm_smoking", "抽烟", Level.WARNING, 0x65),
    Alarm("dsm_distraction", "分神驾驶", Level.WARNING, 0x65),
    Alarm("dsm_driver_abnormal", "驾驶员异常", Level.MAJOR, 0x65),
    Alarm("dsm_other", "其他驾驶员状态报警", Level.NOTICE, 0x65),
    Alarm("tyre_high_pressure", "胎压过高", Level.WARNING, 0x66),
    Alarm("tyre_low_pressure", "胎压过低", Level.WARNING, 0x66),
    Alarm("tyre_hot", "胎温过高", Level.WARNING, 0x66),
    Alarm("tyre_sensor", "胎压传感器异常", Level.NOTICE, 0x66),
    Alarm("tyre_unbalanced", "胎压不平衡", Level.NOTICE, 0x66),
    Alarm("tyre_slow_leak", "慢漏气", Level.WARNING, 0x66),
    Alarm("tyre_battery_low", "胎压传感器电量低", Level.NOTICE, 0x66),
    Alarm("blind_zone_rear", "后方盲区接近", Level.WARNING, 0x67),
    Alarm("blind_zone_left", "左侧盲区接近", Level.WARNING, 0x67),
    Alarm("blind_zone_right", "右侧盲区接近", Level.WARNING, 0x67),
    Alarm("blind_zone_other", "其他盲区报警", Level.NOTICE, 0x67),
)
"""Numbers 32 to 63, bits 0 to 31 (T/JSATL 12-2017). Numbers are stored: add at the end, never renumber."""


def _about_places() -> tuple[Alarm, ...]:
    """Each twice: about the one place that a report names, and about a place that is not said."""
    about = (
        Alarm("overspeed_in_area", "区域内超速", Level.WARNING, 0x11, 1),
        Alarm("overspeed_on_segment", "路段超速", Level.WARNING, 0x11, 1),
        Alarm("entered_area", "进入区域", Level.WARNING, 0x12, 20, passes=True),
        Alarm("left_area", "离开区域", Level.WARNING, 0x12, 20, passes=True),
        Alarm("entered_route", "进入路线", Level.WARNING, 0x12, 21, passes=True),
        Alarm("left_route", "离开路线", Level.WARNING, 0x12, 21, passes=True),
        Alarm("segment_too_fast", "路段行驶时间不足", Level.NOTICE, 0x13, 22),
        Alarm("segment_too_slow", "路段行驶时间过长", Level.NOTICE, 0x13, 22),
    )
    return tuple(each._replace(placed=placed) for each in about for placed in (True, False))


ABNORMAL_DRIVING: Final = 86
HELD: Final = (
    *_about_places(),
    Alarm("overspeed", "超速", Level.WARNING, 0x11, 1),
    Alarm("signal_lost", "视频信号丢失", Level.NOTICE, 0x14),
    Alarm("signal_covered", "视频信号遮挡", Level.NOTICE, 0x14),
    Alarm("storage_fault", "存储单元故障", Level.NOTICE, 0x14),
    Alarm("other_fault", "其他视频设备故障", Level.NOTICE, 0x14),
    Alarm("overcrowded", "客车超员", Level.WARNING, 0x14),
    Alarm("abnormal_driving", "异常驾驶行为", Level.WARNING, 0x14),
    Alarm("recording_full", "特殊报警录像达到存储阈值", Level.NOTICE, 0x14),
    Alarm("behaviour_fatigue", "疲劳", Level.WARNING, 0x18, ABNORMAL_DRIVING),
    Alarm("behaviour_phone", "打电话", Level.WARNING, 0x18, ABNORMAL_DRIVING),
    Alarm("behaviour_smoking", "抽烟", Level.WARNING, 0x18, ABNORMAL_DRIVING),
)
"""Numbers from 64, bits from 32 (JT/T 808-2019 tables 28 to 30, JT/T 1078-2016). Add at the end, never renumber."""

HELD_FROM: Final = 32
"""Bits below follow flags: only these are ever cleared, so `cleared` fits in 32 bits."""
ALARMS: Final = dict(enumerate(WORD)) | dict(enumerate(FLAGGED, WORD_BITS)) | dict(enumerate(HELD, WORD_BITS + HELD_FROM))
"""By number."""
BITS: Final = HELD_FROM + len(HELD)
BIT_OF: Final = {alarm.word: at - WORD_BITS for at, alarm in reversed(ALARMS.items()) if at >= WORD_BITS}
"""The items' by word; of the two about places the one whose place is known, and the other is the next bit."""
assert WORD_BITS + BIT_OF["abnormal_driving"] == ABNORMAL_DRIVING
assert len(FLAGGED) <= HELD_FROM
assert BITS < 64, "bit sets are int64"  # noqa: PLR2004 - the sign stays free
assert WORD_BITS + BITS <= NUMBERS


def column(name: str, dtype: str, *, usual: Any) -> NDArray[Any]:  # noqa: ANN401 - whatever a field holds
    """A field of all alarms, by number; `usual` for numbers that are none."""
    return np.array([getattr(ALARMS[at], name) if at in ALARMS else usual for at in range(NUMBERS)], dtype)


def subject(bit: Any, place: Any) -> Any:  # noqa: ANN401 - one or columns of them
    """The subject of the incident of an alarm, by bit and by id of its place; 0 for none."""
    return (bit + WORD_BITS) | (place << NUMBER_BITS)


def number(subject: Any) -> Any:  # noqa: ANN401 - one or a column of them
    """The number of the alarm that an incident is about."""
    return subject & (NUMBERS - 1)


def named(subject: int) -> str:
    """An alarm in both languages, with the id of its place."""
    alarm, place = ALARMS.get(number(subject)), subject >> NUMBER_BITS
    about = f"{alarm.word} {alarm.chinese}" if alarm else f"alarm_{number(subject)}"
    return f"{about} {place}" if place else about
