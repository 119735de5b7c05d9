"""Satellite systems as NMEA names them: talkers, system and signal ids, satellite numbers, and the status bits they light.

A satellite's number means something only together with its talker or system id: 6 is a satellite of four systems, and Beidou's 6 is
written 06, 106, 146 or 206 by different makers.
"""

from __future__ import annotations

from typing import Final

SYSTEMS: Final = (None, "gps", "glonass", "galileo", "beidou", "qzss", "navic")
"""By the system id of NMEA 4.11."""

SYSTEM_OF_TALKER: Final = {
    "GP": "gps",
    "GL": "glonass",
    "GA": "galileo",
    "GB": "beidou",
    "BD": "beidou",
    "GQ": "qzss",
    "QZ": "qzss",
    "GI": "navic",
}
TALKERS: Final = frozenset({*SYSTEM_OF_TALKER, "GN"})
"""Who may tell a position. GN: more than one system."""

TALKER_OF_LONG: Final = {"BDS": "BD", "GPS": "GP", "GLO": "GL", "GAL": "GA"}
"""Unicore's six-letter addresses: three letters of the system instead of two of the talker."""

STATUS_BIT: Final = {"gps": 1 << 18, "beidou": 1 << 19, "glonass": 1 << 20, "galileo": 1 << 21}
"""JT/T 808 status bits of the systems a solution used."""

ANTENNA_ALARM: Final = {"OPEN": 1 << 5, "SHORT": 1 << 6, "OK": 0}
"""JT/T 808 alarm bits by what a module says of its antenna."""

SIGNALS: Final = {
    "gps": ("L1 C/A", "L1 P", "L1 M", "L2 P", "L2C-M", "L2C-L", "L5-I", "L5-Q"),
    "glonass": ("G1 C/A", "G1 P", "G2 C/A", "G2 P"),
    "galileo": ("E5a", "E5b", "E5a+b", "E6-A", "E6-BC", "L1-A", "L1-BC"),
    "beidou": ("B1I", "B1Q", "B1C", "B1A", "B2a", "B2b", "B2a+b", "B3I", "B3Q", "B3A", "B2I", "B2Q"),
    "qzss": ("L1 C/A", "L1C-D", "L1C-P", "LIS", "L2C-M", "L2C-L", "L5-I", "L5-Q", "L6D", "L6E"),
    "navic": ("L5-SPS", "S-SPS", "L5-RS", "S-RS", "L1-SPS"),
}
"""Signal ids of NMEA 4.11 from 1; on the wire they are hexadecimal digits, and 0 is all signals or unknown."""

_OFFSETS: Final = {
    # the lowest and highest number as sent, and what to take off; the first row that fits
    "beidou": ((1, 63, 0), (101, 140, 100), (141, 200, 140), (201, 263, 200), (401, 463, 400)),
    "glonass": ((65, 96, 64),),
    "galileo": ((301, 336, 300),),
    "qzss": ((193, 202, 192),),
}


def satellite(system: str | None, number: int) -> tuple[str | None, int]:
    """System and number within it of a satellite as sent: old modules send QZSS and SBAS under GPS."""
    if system == "gps" and 193 <= number <= 202:  # noqa: PLR2004 - QZSS's own numbers
        system = "qzss"
    for low, high, off in _OFFSETS.get(system or "", ()):
        if low <= number <= high:
            return system, number - off
    return system, number


def system_of(talker: str, system_id: str = "") -> str | None:
    """The system that a GSA or GSV speaks of: by its system id where it has one, else by its talker; None when neither says."""
    if system_id.isdecimal() and 0 < int(system_id) < len(SYSTEMS):
        return SYSTEMS[int(system_id)]
    return SYSTEM_OF_TALKER.get(talker)


def signal_name(system: str | None, signal_id: str) -> str | None:
    """What a signal id stands for; None for all signals, none given or unknown."""
    names = SIGNALS.get(system or "", ())
    try:
        number = int(signal_id, 16)
    except ValueError:
        return None
    return names[number - 1] if 0 < number <= len(names) else None
