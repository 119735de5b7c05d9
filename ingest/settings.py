"""Every setting of Dubhe, once: name, default, bounds, meaning; read from a TOML file, then `DUBHE_…`, then flags.

A wrong setting stops the start with its name, the value and what is allowed.
Other rooms receive values, never this object. The table in docs/settings.md is printed from here.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from compliance.vehicles import Policy
from tracks.week import windows_of
from tracks.words import alike, did_you_mean

ENVIRONMENT_PREFIX: Final = "DUBHE_"
NOT_SETTINGS: Final = frozenset({"DUBHE_CONFIG", "DUBHE_REQUIRE_SERVICES", "DUBHE_TEST_TIMESCALE_URL"})
"""Words with the prefix that are read elsewhere: the file's own name, and the tests' two."""
EX_CONFIG: Final = 78
"""Exit status that says: starting again will not help (sysexits.h)."""


class SettingError(ValueError):
    """A setting that cannot be used: the message names it, its value and the cure."""


@dataclass(frozen=True, slots=True)
class About:
    """What the docs say of a setting, and what values it takes."""

    meaning: str
    kind: str = "text"
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What a person may write there."""
        if self.kind == "number":
            return f"a whole number from {self.low:,.0f} to {self.high:,.0f}"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        return ALLOWED[self.kind]


ALLOWED: Final = {
    "text": "text",
    "listen": "HOST:PORT, such as 0.0.0.0:6808 or [::]:6808",
    "listen_or_off": "HOST:PORT, or nothing for off",
    "file": "the path of a file, or nothing",
    "broker": "mqtt://USER:PASSWORD@HOST:PORT or mqtts://… (USER:PASSWORD only where the broker asks for it), or nothing for off",
    "reasons": "all, or reasons such as road_cert_expired, with commas between; -permit_missing takes one away",
    "grace": "REASON=DAYS with commas between, such as annual_review_overdue=15, or nothing",
    "windows": "windows such as mon-fri 05:30-22:00, sat 07:00-20:00 (without days: every day), or nothing for always",
    "database": "postgresql://USER:PASSWORD@HOST:PORT/NAME (or libpq's host=… dbname=…), or nothing for the embedded database",
}


def _text(default: str, meaning: str, kind: str = "text", choices: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default=default, metadata={"about": About(meaning, kind, choices=choices)})


def _number(default: int, low: int, high: int, meaning: str) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default=default, metadata={"about": About(meaning, "number", low, high)})


def _data_dir() -> str:
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return str(Path(home) / "dubhe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one Dubhe. Times end in their unit, bounds in `_max`."""

    database_url: str = _text("", "PostgreSQL with or without TimescaleDB; empty: an embedded one in data_dir", "database")
    data_dir: str = field(default_factory=_data_dir, metadata={"about": About("where the embedded database and run-time files live")})
    tcp_listen: str = _text("0.0.0.0:6808", "where JT/T 808 terminals connect", "listen")
    udp_listen: str = _text("", "where JT/T 808 terminals send datagrams; off unless given", "listen_or_off")
    nmea_listen: str = _text(
        "", "where NMEA units connect; off unless given. NMEA has no codes: let only your units reach it", "listen_or_off"
    )
    mqtt_url: str = _text("", "the MQTT broker whose dubhe/v1/+/… topics are read; off unless given", "broker")
    mqtt_version: str = _text("5", "MQTT version spoken with the broker", "choice", ("5", "3.1.1"))
    mqtt_client_id: str = _text("dubhe", "our name at the broker, which keeps a session for it; two installations need two")
    mqtt_ca_file: str = _text("", "certificates that a mqtts broker is trusted by; the system's when empty", "file")
    mqtt_cert_file: str = _text("", "our certificate for the broker, where it asks for one", "file")
    mqtt_key_file: str = _text("", "the key of mqtt_cert_file; empty when it is in the same file", "file")
    mqtt_in_flight_max: int = _number(8_192, 1, 65_535, "messages taken from the broker and not yet acknowledged")
    mqtt_payload_bytes_max: int = _number(
        262_144, 1_024, 16_777_216, "the longest payload that is read; a longer one goes to quarantine, cut"
    )
    http_listen: str = _text("127.0.0.1:8808", "health, readiness and metrics", "listen")
    admission: str = _text(
        "strict",
        "strict: only registered and authenticated terminals; lenient: unknown ones are created as unvetted and may report at once",
        "choice",
        ("strict", "lenient"),
    )
    workers: int = _number(1, 1, 64, "gateway processes sharing the port")
    terminals_per_link_max: int = _number(1, 1, 100_000, "terminals behind one connection; more than one only for forwarders")
    links_max: int = _number(16_000, 1, 1_000_000, "connections per worker")
    links_per_address_max: int = _number(16_000, 1, 1_000_000, "connections per worker from one address (a carrier's NAT is one)")
    connects_per_second_max: int = _number(50_000, 1, 1_000_000, "new connections per second and worker; more are closed at once")
    link_bytes_per_second_max: int = _number(1_048_576, 1_024, 1 << 30, "a connection that sends more is not read for a while")
    idle_timeout_s: int = _number(300, 5, 86_400, "a connection that says nothing for so long is closed")
    compliance_requires: str = _text("all", "reasons that make a vehicle non-compliant", "reasons")
    compliance_grace_days: str = _text("", "days that a paper still counts after its end, by reason", "grace")
    speed_kmh_max: int = _number(100, 20, 160, "what a vehicle without a limit of its own may drive; the road's limit holds as well")
    night_speed_percent: int = _number(80, 10, 100, "how much of their limits coaches may drive from 22:00 to 6:00")
    driving_day_minutes_max: int = _number(240, 10, 1_440, "driving without a full rest")
    driving_night_minutes_max: int = _number(120, 10, 1_440, "driving without a full rest, of it between 22:00 and 6:00")
    driving_24h_minutes_max: int = _number(480, 10, 1_440, "driving within 24 hours")
    rest_minutes_min: int = _number(20, 1, 240, "how long a full rest is")
    parked_minutes_max: int = _number(1_440, 1, 525_600, "standing for longer is an incident")
    offline_minutes_max: int = _number(1_440, 1, 525_600, "silence for longer in duty_hours is an incident")
    duty_hours: str = _text("", "when vehicles have to be online, and running while not compliant counts", "windows")
    utc_offset_minutes: int = _number(480, -720, 840, "local time of duty_hours, of fences' windows and of nights, in minutes ahead of UTC")
    late_days_max: int = _number(
        7, 0, 14, "fixes that come more days late are stored, and judged by no rule unless they are among the newest 128 of a terminal"
    )
    login_failures_max: int = _number(5, 1, 1_000, "wrong authentication codes from one address before the lock-out")
    lockout_s: int = _number(300, 1, 86_400, "how long a terminal is refused from that address after too many wrong codes")
    broken_frames_max: int = _number(1_000, 10, 1_000_000, "broken frames in one batch before their connection is closed")
    frame_bytes_max: int = _number(4_096, 64, 65_536, "the longest frame before escaping; a longer one closes the connection")
    batch_rows_max: int = _number(8_192, 1, 1_000_000, "packets settled in one transaction")
    batch_bytes_max: int = _number(1_048_576, 65_536, 1 << 28, "bytes settled in one transaction")
    batch_age_ms_max: int = _number(5, 0, 1_000, "how long after the batch before a small one waits for company")
    backlog_bytes_max: int = _number(16_777_216, 65_536, 1 << 32, "bytes received and not yet settled, per worker; then reading pauses")
    reassembly_bytes_max: int = _number(134_217_728, 1 << 20, 1 << 36, "packages that wait for the others of their message, per worker")
    message_bytes_max: int = _number(10_485_760, 1_024, 1 << 30, "the longest message in packages, such as a picture")
    attachment_listen: str = _text("", "where terminals upload the evidence of alarms (T/JSATL 12); off unless given", "listen_or_off")
    attachment_bytes_max: int = _number(67_108_864, 1_024, 1 << 32, "the longest file of an alarm's evidence")
    drain_timeout_s: int = _number(30, 1, 3_600, "how long a stop may take to settle what was received")
    fixes_days_max: int = _number(400, 1, 36_500, "days of history kept; a terminal that is silent for longer begins anew under the rules")
    events_days_max: int = _number(
        1_100, 1, 36_500, "days that incidents are kept after their end; the law asks for 3 years (道路运输车辆动态监督管理办法 art. 25)"
    )
    messages_days_max: int = _number(400, 1, 36_500, "days that commands and messages other than reports are kept")
    media_days_max: int = _number(90, 1, 36_500, "days that pictures, sounds and the evidence of alarms are kept")
    quarantine_days_max: int = _number(90, 1, 36_500, "days that refused bytes are kept")
    quarantine_rows_max: int = _number(1_000_000, 1_000, 1_000_000_000, "refused frames kept; the oldest go first")
    log_level: str = _text("info", "what is logged", "choice", ("debug", "info", "warning", "error"))
    log_format: str = _text(
        "auto", "json for machines, console for eyes, auto: by whether a person watches", "choice", ("auto", "json", "console")
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _checked(each.name, getattr(self, each.name), each.metadata["about"]))

    @classmethod
    def about(cls) -> dict[str, tuple[About, Any]]:
        """Name → (what it is, default) of every setting, in order."""
        plain = cls()
        return {each.name: (each.metadata["about"], getattr(plain, each.name)) for each in fields(cls)}

    @classmethod
    def load(cls, config: Path | None = None, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Settings of the file, overridden by the environment, overridden by flags (those that are None do not count)."""
        environ = os.environ if environ is None else environ
        chosen: dict[str, Any] = dict(_from_file(config)) if config else {}
        for word, value in environ.items():
            if word.startswith(ENVIRONMENT_PREFIX) and word not in NOT_SETTINGS:
                chosen[word.removeprefix(ENVIRONMENT_PREFIX).lower()] = value
        chosen.update({name: value for name, value in (flags or {}).items() if value is not None})
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(chosen) - known):
            raise SettingError(_unknown(unknown[0], known, environ))
        return cls(**chosen)

    @property
    def policy(self) -> Policy:
        """What makes a vehicle non-compliant."""
        return Policy.of(self.compliance_requires, self.compliance_grace_days)

    @property
    def zone_s(self) -> int:
        """Seconds that local time is ahead of UTC."""
        return 60 * self.utc_offset_minutes

    def to_json(self) -> str:
        """One line that `from_json` reads; how the supervisor tells its children."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The settings that `to_json` printed."""
        return cls(**json.loads(line))


def _unknown(name: str, known: set[str], environ: Mapping[str, str]) -> str:
    """The sentence about a name that is no setting's."""
    variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    where = f" (environment {variable})" if variable in environ else ""
    meant = did_you_mean(alike(name, known)) or "; known are: " + ", ".join(sorted(known))
    return f"unknown setting {name!r}{where} 未知的设置{meant}"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        msg = f"cannot read the settings file {path}: {error.strerror}"
        raise SettingError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"the settings file {path} is not TOML: {error}"
        raise SettingError(msg) from error


def _checked(name: str, value: Any, about: About) -> Any:  # noqa: ANN401 - settings come as whatever TOML and the environment hold
    def wrong() -> SettingError:
        msg = f"setting {name} (environment {ENVIRONMENT_PREFIX}{name.upper()}) is {value!r}; allowed is {about.allowed}"
        return SettingError(msg)

    match about.kind:
        case "number":
            try:
                number = int(str(value).replace("_", ""))
            except ValueError:
                raise wrong() from None
            if not about.low <= number <= about.high:
                raise wrong()
            return number
        case "choice" if value not in about.choices:
            raise wrong()
        case kind if kind in IS_LIKE and (value or kind == "listen") and not IS_LIKE[kind](str(value)):
            raise wrong()
    return str(value)


def _is_listen(text: str) -> bool:
    try:
        host_port(text)
    except ValueError:
        return False
    return True


def _is_policy(requires: str = "", grace_days: str = "") -> bool:
    try:
        Policy.of(requires, grace_days)
    except (KeyError, ValueError):
        return False
    return True


def _is_windows(text: str) -> bool:
    try:
        windows_of(text)
    except ValueError:
        return False
    return True


def _is_database(text: str) -> bool:
    return urlsplit(text).scheme in {"postgresql", "postgres"} or "=" in text


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"mqtt", "mqtts"} and bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
    except ValueError:
        return False


IS_LIKE: Final[Mapping[str, Callable[[str], bool]]] = {
    "listen": _is_listen,
    "listen_or_off": _is_listen,
    "file": lambda text: Path(text).is_file(),
    "reasons": _is_policy,
    "grace": lambda text: _is_policy(grace_days=text),
    "windows": _is_windows,
    "broker": _is_broker,
    "database": _is_database,
}
"""What a setting that is text must be like; all of them but `listen` may be empty."""


def host_port(listen: str) -> tuple[str, int]:
    """`HOST:PORT` or `[HOST]:PORT` in its parts; raises ValueError."""
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ValueError(listen)
    return host, int(port)
