"""Settings: where they come from, and that a wrong one is named with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.broker import broker_at
from ingest.settings import SettingError, Settings, host_port
from ingest.worker import Worker


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dubhe.toml"
    file.write_text('workers = 2\nidle_timeout_s = 60\nadmission = "lenient"\n')

    settings = Settings.load(file, {"workers": 4, "tcp_listen": None}, {"DUBHE_WORKERS": "3", "DUBHE_IDLE_TIMEOUT_S": "90"})

    assert (4, 90, "lenient", "0.0.0.0:6808") == (settings.workers, settings.idle_timeout_s, settings.admission, settings.tcp_listen)


@pytest.mark.parametrize(
    ("word", "value", "cure"),
    [
        ("DUBHE_WORKERS", "many", "a whole number from 1 to 64"),
        ("DUBHE_WORKERS", "0", "a whole number from 1 to 64"),
        ("DUBHE_ADMISSION", "open", "one of strict, lenient"),
        ("DUBHE_TCP_LISTEN", "6808", "HOST:PORT"),
        ("DUBHE_TCP_LISTEN", "", "HOST:PORT"),
        ("DUBHE_UDP_LISTEN", "localhost:99999", "HOST:PORT, or nothing for off"),
        ("DUBHE_DATABASE_URL", "mysql://here", "postgresql://"),
        ("DUBHE_NMEA_LISTEN", "6809", "HOST:PORT, or nothing for off"),
        ("DUBHE_MQTT_URL", "127.0.0.1:1883", "mqtt://USER:PASSWORD@HOST:PORT or mqtts://"),
        ("DUBHE_MQTT_URL", "mqtt://host:99999", "mqtt://USER:PASSWORD@HOST:PORT or mqtts://"),
        ("DUBHE_MQTT_VERSION", "3.1", "one of 5, 3.1.1"),
        ("DUBHE_MQTT_CA_FILE", "/nowhere/ca.pem", "the path of a file, or nothing"),
        ("DUBHE_COMPLIANCE_REQUIRES", "road_cert", "all, or reasons such as road_cert_expired"),
        ("DUBHE_COMPLIANCE_GRACE_DAYS", "annual_review_overdue", "REASON=DAYS"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(word: str, value: str, cure: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.load(environ={word: value})

    for part in (word, repr(value), cure):
        assert part in str(caught.value)


def test_a_setting_nobody_knows_is_refused_with_the_one_that_may_be_meant_or_the_list_of_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"unknown setting 'tcp_lisen' \(environment DUBHE_TCP_LISEN\).*did you mean 是否指 tcp_listen"
    ) as caught:
        Settings.load(environ={"DUBHE_TCP_LISEN": "x"})
    assert "workers" not in str(caught.value)

    file = tmp_path / "dubhe.toml"
    file.write_text("idle-timeout-s = 60\n")
    with pytest.raises(SettingError, match=r"unknown setting 'idle-timeout-s' 未知的设置; did you mean 是否指 idle_timeout_s\?"):
        Settings.load(file, environ={})
    with pytest.raises(SettingError, match=r"unknown setting 'x' .*; known are: admission,.*, workers$"):
        Settings.load(environ={"DUBHE_X": "1"})


def test_a_byte_order_mark_is_no_hindrance(tmp_path: Path) -> None:
    file = tmp_path / "dubhe.toml"
    file.write_bytes(b"\xef\xbb\xbfworkers = 2\n")

    assert 2 == Settings.load(file, environ={}).workers


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot read the settings file"):
        Settings.load(tmp_path / "none.toml", environ={})
    (tmp_path / "broken.toml").write_text("workers = = 2")
    with pytest.raises(SettingError, match="is not TOML"):
        Settings.load(tmp_path / "broken.toml", environ={})


def test_settings_survive_the_way_to_a_child() -> None:
    settings = Settings.load(environ={"DUBHE_WORKERS": "7"})

    assert settings == Settings.from_json(settings.to_json())


def test_a_listen_address_may_be_ipv6() -> None:
    assert ("::", 6808) == host_port("[::]:6808")


def test_a_certificate_that_is_none_stops_the_start_with_the_settings_names(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = Settings(mqtt_url="mqtts://host", mqtt_ca_file=str(tmp_path / "ca.pem"))

    with pytest.raises(SettingError, match="mqtt_ca_file"):
        Worker(settings, "", "w1")._mqtt_door()


def test_a_broker_is_where_its_url_says_with_the_name_and_password_in_it() -> None:
    broker = broker_at("mqtt://bus%40line:p%3Aw@[::1]:1884", version="5", client_id="d", in_flight_max=1, packet_bytes_max=1)

    assert ("::1", 1884, "bus@line", "p:w", None) == (broker.host, broker.port, broker.username, broker.password, broker.tls)
    assert "p:w" not in broker.address
