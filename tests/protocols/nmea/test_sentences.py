from __future__ import annotations

import pytest

from protocols.errors import ProtocolError
from protocols.nmea.build import sentence
from protocols.nmea.readings import read
from protocols.nmea.sentences import SENTENCE_BYTES_MAX, gb_text, parse, pieces
from protocols.nmea.shortmessages import is_short_message, own_position
from tracks.verdict import Reject
from vectors.nmea import vectors

RMC = b"$GNRMC,162304.000,A,4544.97320,N,00450.24199,E,0.00,0.00,141025,,,A,V*03"
GGA = b"$GNGGA,162304.000,4544.97320,N,00450.24199,E,1,07,1.1,152.8,M,50.2,M,,*46"

EXPECTED = """
BDGSV BDGSV GNRMC:valid GNVTG GNZDA GPTXT GNGGA:valid GNGLL:valid GPGSA BDGSA GPGSV GPGSV GPGSV GPGSV
GNGGA:invalid GNGLL:invalid GNGSA GNGSA GNGSA GPGSV GPGSV GPGSV BDGSV BDGSV GLGSV GLGSV GNRMC:invalid GNVTG GNZDA
BDGSV GNGGA:valid GNGLL:valid GNGSA GNGSA GNRMC:valid GNVTG
GNGGA:invalid GPGSA BDGSA GPGSV BDGSV GNRMC:invalid GNVTG
GPGGA:invalid GPRMC:invalid BDGSV GNRMC:invalid
BDGSV BDGSV GAGSV BDGSV BDGSV GPGSV
GNRMC:valid GNGGA:valid GNGSA GNGSA GBGSV
GBGSV GBGSV GBGSV GNRMC:invalid GNGGA:invalid GNGSA GBGSV GQGSV GNTXT
GNRMC:valid GNGLL:valid GBGSV GNVTG
GBGSV GQGSV GBGSV GBGSV BDGSA BDGGA:valid GNGGA:valid truncated checksum
GNTXT BDTXT GNTXT GPTXT BDTXT GNTXT GPTXT BDTXT
GNGGA:valid GNZDA GNRMC:valid GPRMC:invalid GPGGA:invalid GPGLL:invalid GPGSV
CCICA:kept CCICI:kept CCTXA:kept CCTXA:kept CCTXA:kept CCRMO:kept
BDBSI:kept BDBSI:kept checksum BDTXR:kept BDTXR:kept BDTXR:kept BDTXR:kept BDDWR:valid BDTCI:kept BDTCI:kept
"""
"""What becomes of each vector, in order: a sentence of an epoch (and what it says of the position), one that is kept, or a reason."""


def outcome(line: bytes) -> str:
    try:
        found = parse(line)
        if is_short_message(found):
            return f"{found.address}:{'valid' if own_position(found) else 'kept'}"
        reading = read(found)
    except ProtocolError as error:
        return error.reason.word
    return found.address + (f":{'valid' if reading.valid else 'invalid'}" if reading.positioned else "")


def test_every_sentence_of_public_logs_is_understood_or_kept_with_a_reason() -> None:
    assert EXPECTED.split() == [outcome(vector.sentence) for vector in vectors()]


def test_a_sentence_is_refused_exactly_when_its_checksum_is_not_right() -> None:
    refused = [vector.state for vector in vectors() if outcome(vector.sentence) in {"checksum", "truncated"}]

    assert refused == [vector.state for vector in vectors() if vector.state != "ok"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", Reject.UNKNOWN_MESSAGE),
        (b"hello", Reject.UNKNOWN_MESSAGE),
        (b"GNRMC,,V,,,,,,,,,,M,V*34", Reject.UNKNOWN_MESSAGE),
        (b"$", Reject.TRUNCATED),
        (RMC[:40], Reject.TRUNCATED),
        (RMC[:-3], Reject.TRUNCATED),
        (RMC[:-1], Reject.TRUNCATED),
        (RMC[:-2] + b"zz", Reject.TRUNCATED),
        (RMC[:-2] + b"04", Reject.CHECKSUM),
        (RMC.replace(b"4544", b"4554"), Reject.CHECKSUM),
        (sentence("GN", "1"), Reject.UNKNOWN_MESSAGE),
        (sentence("BDXGGA", "1"), Reject.UNKNOWN_MESSAGE),
        (sentence("GNXYZ", "1"), Reject.UNKNOWN_MESSAGE),
        (sentence("GPMWV", "1"), Reject.UNSUPPORTED),
        (sentence("HCHDG", "1"), Reject.UNSUPPORTED),
        (sentence("PCAS03", "1"), Reject.UNSUPPORTED),
        (b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C", Reject.UNSUPPORTED),
        (b"$DWXX\x00\x11\x01\x02\x03$*,\r\n\x00\x00", Reject.UNSUPPORTED),
        (b"$" + b"A" * SENTENCE_BYTES_MAX, Reject.OVERSIZE),
        (sentence("GNRMC", "162304.000", "A"), Reject.BAD_FIELD),
        (sentence("GNRMC", "162304.000", "A", "45x4.97320", *RMC[29:-3].decode().split(",")), Reject.BAD_FIELD),
    ],
)
def test_what_is_no_good_sentence_is_refused_with_its_reason(line: bytes, reason: Reject) -> None:
    assert reason.word == outcome(line.rstrip(b"\r\n"))


@pytest.mark.parametrize(
    "line",
    [
        b"+GPSRD:" + RMC,
        b"  " + RMC + b" \r",
        RMC.replace(b",", b"\0,", 3),
        b"\0\0" + RMC + b"\0",
        RMC + b"\xff\xfe",
        b"$gnrmc,162304.000,a,4544.97320,n,00450.24199,e,0.00,0.00,141025,,,a,v*03",
    ],
)
def test_noise_round_a_sentence_does_no_harm(line: bytes) -> None:
    assert (read(parse(RMC)), line) == (read(parse(line)), parse(line).raw)


def test_six_letter_addresses_name_system_and_kind() -> None:
    fields = GGA[7:-3].decode().split(",")

    found = parse(sentence("BDSGGA", *fields).strip())

    assert ("BDSGGA", "BD", "GGA") == (found.address, found.talker, found.kind)
    assert read(parse(GGA)) == read(found)


def test_fused_sentences_come_apart() -> None:
    assert [b"+X:" + GGA, RMC] == list(pieces(b"+X:" + GGA + RMC))


def test_chinese_text_has_its_checksum_taken_over_bytes() -> None:
    line = sentence("BDTXR", 1, "0179773", 0, "", "北斗短报文").strip()

    assert gb_text(parse(line).fields[4]) == "北斗短报文"
