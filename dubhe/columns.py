"""The columns of a sheet of vehicles: what they are called, what stands in them, and how a row becomes an entry.

A row is one vehicle with whatever is said of it; a vehicle may have several rows (two drivers, two lines). An empty cell says nothing.
Validity is written as the first and the last day, both included.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

from compliance.onboarding import VIN
from dubhe.sheet import EXCEL_ERRORS, UNKNOWN, Line
from storage.enrol import COLOURS, EnrolError, colour_of, terminal_number
from storage.entry import Entry, PaperEntry
from storage.text import TEXT_MAX, clean, plate_of
from tracks.week import BEIJING
from tracks.words import alike, did_you_mean

SHOWN_MAX: Final = 60
"""Characters of a cell that a sentence about it repeats."""
EARLIEST: Final = date(1980, 1, 1)
LATEST: Final = date(2199, 12, 31)
NO_END: Final = ("长期", "长期有效", "永久", "permanent", "unlimited")

CLASSES: Final = {
    "班线客运": "coach", "长途客运": "coach", "旅游客运": "tour", "包车客运": "charter", "农村客运": "rural", "公交": "city",
    "危险货物运输": "hazardous", "普通货运": "freight", "其他": "other",
}  # fmt: skip
STATUSES: Final = {
    "营运": "operating", "停运": "stopped", "停驶": "laid_up", "歇业": "closed", "转出": "moved_out", "报废": "scrapped", "锁定": "locked",
}  # fmt: skip
MODES: Final = {"班线": "fixed", "公交化": "bus_like", "区域": "zone", "包车": "charter", "预约": "booking"}


class Wrong(ValueError):  # noqa: N818 - an answer, not a mistake
    """A cell that cannot be taken; the sentence says what can."""


class Problem(NamedTuple):
    """What is wrong with a row."""

    line: int
    column: str
    """Its heading; empty when the row as a whole is refused."""
    value: str
    why: str

    def __str__(self) -> str:
        value = self.value if len(self.value) <= SHOWN_MAX else self.value[:SHOWN_MAX] + "…"
        place = f"line {self.line}" + (f", {self.column} {value!r}" if self.column else "")
        return f"{place}: {self.why}"


def _text(cell: str) -> str:
    if len(cell) > TEXT_MAX or clean(cell, TEXT_MAX) != cell or "\ufffd" in cell:
        msg = f"text of up to {TEXT_MAX} printable characters is allowed 文本过长或含有控制字符"
        raise Wrong(msg)
    return cell


def _plate(cell: str) -> str:
    if not plate_of(cell):
        msg = "it holds no letters and digits 车牌号为空"
        raise Wrong(msg)
    return plate_of(_text(cell))


def _colour(cell: str) -> int:
    try:
        return colour_of(cell)
    except EnrolError:
        msg = f"allowed are {', '.join(COLOURS)} or their numbers"
        raise Wrong(msg) from None


def _terminal(cell: str) -> str:
    try:
        return terminal_number(cell)
    except EnrolError as error:
        raise Wrong(str(error)) from None


MIDNIGHT: Final = r"(?:[T ]0?0:00(?::00)?)?"
EXCEL_DAY_0: Final = date(1899, 12, 30)


def _day(cell: str) -> date:
    """A date in any of the ways it is written; five digits are a spreadsheet's count of days, where it forgot that it is a date."""
    parts = re.fullmatch(rf"(\d{{4}})[-/.年](\d{{1,2}})[-/.月](\d{{1,2}})日?{MIDNIGHT}", cell) or re.fullmatch(
        r"(\d{4})(\d{2})(\d{2})", cell
    )
    try:
        day = date(*map(int, parts.groups())) if parts else None
    except ValueError:
        day = None
    if re.fullmatch(r"[0-9]{5}", cell):
        day = EXCEL_DAY_0 + timedelta(days=int(cell))
    if day is None or not EARLIEST <= day <= LATEST:
        msg = f"write a date between {EARLIEST} and {LATEST} as 2026-12-31, 2026/12/31 or 2026年12月31日 日期格式不正确"
        raise Wrong(msg)
    return day


def _last_day(cell: str) -> date | str:
    """A date, or that there is none."""
    try:
        return NO_END[0] if cell.lower() in NO_END else _day(cell)
    except Wrong as error:
        msg = f"{error}; {NO_END[0]} where it has no end"
        raise Wrong(msg) from None


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(cell: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", cell) or not low <= int(cell) <= high:
            msg = f"a whole number from {low:,} to {high:,} is allowed 应为整数"
            raise Wrong(msg)
        return int(cell)

    return parse


def _word(words: Mapping[str, str]) -> Callable[[str], str]:
    def parse(cell: str) -> str:
        word = words.get(cell, cell.lower())
        if word not in words.values():
            msg = f"allowed are {', '.join(f'{zh} ({en})' for zh, en in words.items())}"
            raise Wrong(msg)
        return word

    return parse


def _matching(pattern: str, cure: str) -> Callable[[str], str]:
    def parse(cell: str) -> str:
        if not re.fullmatch(pattern, cell.upper()):
            raise Wrong(cure)
        return cell.upper()

    return parse


class Column(NamedTuple):
    """One column."""

    name: str
    """In an English heading, and where the value goes: `kind.field` for papers."""
    headings: tuple[str, ...]
    """In Chinese; the first is the template's."""
    parse: Callable[[str], Any]
    example: str
    about: str = ""


COLUMNS: Final[tuple[Column, ...]] = (
    Column("plate", ("车牌号", "车牌号码", "车牌"), _plate, "川A12345", "required 必填"),
    Column("plate_colour", ("车牌颜色",), _colour, "黄", "required 必填; word or JT/T 697.7 number"),
    Column("vin", ("车架号", "车辆识别代号"), _matching(VIN.pattern, "it has 17 characters, never I, O, Q"), "LZYTBTE61G1000001"),
    Column("class", ("营运类别", "类别"), _word(CLASSES), "农村客运", "、".join(CLASSES)),
    Column("type", ("车辆类型",), _text, "", "code of the vehicle type 车辆类型代码"),
    Column("code_system", ("代码标准",), _text, "", "where the code is from; JT/T 697.7-2014 when empty"),
    Column("seats", ("核定载客", "核定载客人数", "座位数"), _number(1, 300), "19"),
    Column("max_kmh", ("限速",), _number(1, 160), "80", "km/h"),
    Column("area", ("车籍地", "行政区划"), _matching("[0-9]{6}([0-9]{6})?", "6 digits of GB/T 2260, or 12 down to the village"), "510100"),
    Column("brand", ("厂牌型号",), _text, "宇通ZK6609"),
    Column("engine", ("发动机号",), _text, ""),
    Column("fuel", ("燃料", "燃料类型"), _text, ""),
    Column("first_registered", ("初次登记日期", "注册日期"), _day, "2023-05-01"),
    Column("status", ("经营状态", "营运状态"), _word(STATUSES), "营运", "、".join(STATUSES)),
    Column("status_from", ("状态起始日期",), _day, "", "today when empty"),
    Column("terminal", ("终端手机号", "终端号", "终端"), _terminal, "13800138000", "phone number of its SIM card"),
    Column("line", ("所属线路", "营运线路"), _text, "龙泉—洛带", "made when new"),
    Column("group", ("车队", "分组"), _text, "一车队", "made when new"),
    Column("enterprise", ("业户名称", "企业名称"), _text, "某客运公司", "made when new"),
    Column("credit_code", ("统一社会信用代码",), _matching("[0-9A-HJ-NP-RTUWXY]{18}", "it has 18 characters (GB 32100)"), ""),
    Column("contact", ("业户联系人",), _text, ""),
    Column("contact_phone", ("业户电话",), _text, ""),
    Column("licence.number", ("经营许可证号",), _text, "川交运管许可510100000001"),
    Column("licence.issuer", ("经营许可证发证机关",), _text, ""),
    Column("licence.scope", ("经营范围",), _text, ""),
    Column("licence.from", ("经营许可证有效期起",), _day, "2024-01-01"),
    Column("licence.until", ("经营许可证有效期止", "经营许可证有效期至"), _last_day, "2027-12-31", "last day; 长期 for none"),
    Column("certificate.number", ("道路运输证号",), _text, "510100000123"),
    Column("certificate.issuer", ("道路运输证发证机关",), _text, ""),
    Column("certificate.from", ("道路运输证有效期起",), _day, "2024-01-01"),
    Column("certificate.until", ("道路运输证有效期止", "道路运输证有效期至"), _last_day, "2027-12-31"),
    Column("review.result", ("年审结果",), _text, "合格"),
    Column("review.from", ("年审日期",), _day, "2026-05-01"),
    Column("review.until", ("年审有效期至", "年审有效期止"), _last_day, "2027-04-30"),
    Column("inspection.grade", ("技术等级",), _text, "一级"),
    Column("inspection.from", ("技术等级评定日期", "检验日期"), _day, "2026-05-01"),
    Column("inspection.until", ("技术等级有效期至", "检验有效期至"), _last_day, "2027-04-30"),
    Column("compulsory.number", ("交强险保单号",), _text, "PDZA2026510100000001"),
    Column("compulsory.issuer", ("交强险保险公司",), _text, ""),
    Column("compulsory.from", ("交强险起期",), _day, "2026-03-01"),
    Column("compulsory.until", ("交强险止期", "交强险到期日"), _last_day, "2027-02-28"),
    Column("carrier.number", ("承运人责任险保单号",), _text, "PZAM2026510100000001"),
    Column("carrier.issuer", ("承运人责任险保险公司",), _text, ""),
    Column("carrier.sum_per_seat", ("每座保额",), _number(0, 999_999_999), "800000", "yuan 元"),
    Column("carrier.from", ("承运人责任险起期",), _day, "2026-03-01"),
    Column("carrier.until", ("承运人责任险止期", "承运人责任险到期日"), _last_day, "2027-02-28"),
    Column("permit.number", ("线路牌号", "班线许可证号"), _text, "川A0123"),
    Column("permit.line", ("许可线路",), _text, "龙泉—洛带", "empty: a zone or charter permit"),
    Column("permit.line_class", ("班线类别",), _number(1, 4), "4", "1-4"),
    Column("permit.mode", ("营运方式",), _word(MODES), "班线", "、".join(MODES)),
    Column("permit.trips_per_day", ("日班次",), _number(1, 500), "6"),
    Column("permit.from", ("班线有效期起",), _day, "2024-01-01"),
    Column("permit.until", ("班线有效期止", "班线有效期至"), _last_day, "2027-12-31"),
    Column("driver", ("驾驶员", "驾驶员姓名"), _text, "某师傅"),
    Column("qualification.number", ("从业资格证号",), _text, "510100198001010011"),
    Column("qualification.category", ("从业资格类别",), _text, "旅客运输"),
    Column("qualification.from", ("从业资格证有效期起",), _day, "2024-01-01"),
    Column("qualification.until", ("从业资格证有效期止", "从业资格证有效期至"), _last_day, "2029-12-31"),
    Column("driver_phone", ("驾驶员电话",), _text, ""),
    Column("driving_licence.licence_class", ("准驾车型",), _text, "A1"),
    Column("driving_licence.until", ("驾驶证有效期止", "驾驶证有效期至"), _last_day, "2030-12-31"),
)  # fmt: skip

VEHICLE: Final = ("vin", "class", "type", "code_system", "seats", "max_kmh", "area", "brand", "engine", "fuel", "first_registered")
"""Columns that are columns of the table."""
OWN: Final = frozenset({"number", "issuer", "from", "until", "line"})
"""Fields of a paper that are columns of the table; the others are its `about`."""
NAMES: Final = {word: column for column in COLUMNS for word in (column.name, column.name.replace(".", "_"), *column.headings)}

TERMINAL: Final = ("terminal", "plate", "plate_colour", "vin")
"""Columns of a sheet of terminals."""
SHORT: Final = {"sim": "terminal", "phone": "terminal", "colour": "plate_colour", "color": "plate_colour"}
"""Headings that are plain only there: in a county's sheet a phone is the driver's, and a colour the body's."""
TERMINAL_NAMES: Final = {word: column for word, column in NAMES.items() if column.name in TERMINAL} | {
    word: NAMES[name] for word, name in SHORT.items()
}


@dataclass(frozen=True, slots=True)
class Headings:
    """Which column of the sheet is what."""

    columns: Mapping[str, Column]
    """By the sheet's own heading."""
    unread: list[str]
    """Headings that say nothing to us, with those that may be meant."""

    @classmethod
    def of(cls, headings: Iterable[str]) -> Headings:
        """The columns of a vehicle under these headings. Raises `Wrong` when its plate or the colour of that is not among them."""
        found = cls._among(headings, NAMES)
        if not {"plate", "plate_colour"} <= found.names:
            needed = "the first line must name the columns plate and plate_colour (车牌号, 车牌颜色)"
            msg = f"{needed}; {found.said}. --template writes a sheet with all headings"
            raise Wrong(msg)
        return found

    @classmethod
    def of_terminals(cls, headings: Iterable[str]) -> Headings:
        """Those of a terminal and its vehicle. Raises `Wrong` when neither is among them."""
        found = cls._among(headings, TERMINAL_NAMES)
        if not {"terminal", "plate"} & found.names:
            msg = f"the first line must name a column terminal (终端号) or plate (车牌号); {found.said}"
            raise Wrong(msg)
        return found

    @classmethod
    def _among(cls, headings: Iterable[str], names: Mapping[str, Column]) -> Headings:
        given = [heading for heading in headings if heading]
        columns = {heading: names[_plain(heading)] for heading in given if _plain(heading) in names}
        again = sorted({heading for heading in columns if given.count(heading) > 1})
        unread = [f"{each}{did_you_mean(alike(_plain(each), names)[:1])}" for each in given if each not in columns]
        return cls(columns, [*unread, *(f"{heading} where it stands again 重复列" for heading in again)])

    @property
    def names(self) -> set[str]:
        """Of the columns."""
        return {column.name for column in self.columns.values()}

    @property
    def said(self) -> str:
        """What the sheet's first line says, for a sentence."""
        return f"it names {', '.join(clean(each, 40) for each in [*self.columns, *self.unread]) or 'none'}"


def _plain(heading: str) -> str:
    """A heading as the table has it: without marks of what is required, and what stands in brackets."""
    return re.sub(r"[(（].*?[)）]|[*＊\s]", "", heading).lower()


def _read(column: Column, cell: str) -> Any:  # noqa: ANN401 - each column has its own type
    """What a cell says. Wide letters and digits are the same as narrow ones, except in names, which stay as they are written."""
    if cell == UNKNOWN:
        msg = "it is a formula whose value was not saved: save the sheet once in a spreadsheet program, or write the value 公式未计算"
        raise Wrong(msg)
    if cell in EXCEL_ERRORS:
        msg = "its formula failed: write the value 公式出错"
        raise Wrong(msg)
    return column.parse(cell if column.parse is _text else unicodedata.normalize("NFKC", cell))


def entry_of(headings: Headings, line: Line) -> tuple[Entry | None, list[Problem]]:
    """What a row says of a vehicle; or all that is wrong with it."""
    values, problems = values_of(headings, line)
    if not problems:
        try:
            return _entry(values), []
        except Wrong as error:
            problems.append(Problem(line.number, "", "", str(error)))
    return None, problems


def values_of(headings: Headings, line: Line) -> tuple[dict[str, Any], list[Problem]]:
    """What the cells of a row say, by the names of their columns, and what is wrong with the others."""
    values: dict[str, Any] = {}
    problems = []
    for heading, column in headings.columns.items():
        if cell := line.cells.get(heading, ""):
            try:
                values.setdefault(column.name, _read(column, cell))
            except Wrong as error:
                problems.append(Problem(line.number, heading, cell[:TEXT_MAX], str(error)))
    return values, problems


def _entry(values: Mapping[str, Any]) -> Entry:
    if missing := [name for name in ("plate", "plate_colour") if name not in values]:
        msg = f"{missing[0]} is empty 必填项为空"
        raise Wrong(msg)
    kinds = {name.partition(".")[0]: None for name in values if "." in name}
    papers = [
        _paper(kind, {name.partition(".")[2]: value for name, value in values.items() if name.startswith(f"{kind}.")}) for kind in kinds
    ]
    for about, needed, msg in NEEDED:
        if any(name.partition(".")[0] in about for name in values) and not needed <= values.keys():
            raise Wrong(msg)
    return Entry(
        plate=values["plate"],
        plate_colour=values["plate_colour"],
        vehicle={name: values[name] for name in VEHICLE if name in values},
        status=values.get("status"),
        status_from=_midnight(values.get("status_from")),
        terminal=values.get("terminal", ""),
        line=values.get("line", ""),
        group=values.get("group", ""),
        enterprise=values.get("enterprise", ""),
        about_enterprise={to: values[name] for name, to in ENTERPRISE.items() if name in values},
        driver=values.get("driver", ""),
        qualification=values.get("qualification.number", ""),
        about_driver={to: values[name] for name, to in DRIVER.items() if name in values},
        papers=papers,
    )


NEEDED: Final = (
    ({"licence", "credit_code", "contact", "contact_phone"}, {"enterprise"}, "what is said of an enterprise needs its name 缺少业户名称"),
    (
        {"driver", "driver_phone", "qualification", "driving_licence"},
        {"driver", "qualification.number"},
        "a driver needs a name and the number of the qualification 缺少驾驶员姓名或从业资格证号",
    ),
    ({"status_from"}, {"status"}, "status_from needs the status that begins then 缺少经营状态"),
)
"""Who says something about these must say those, too: columns or kinds of paper, columns, and the sentence for whoever does not."""
ENTERPRISE: Final = {"credit_code": "credit_code", "contact": "contact", "contact_phone": "phone"}
DRIVER: Final = {"driver_phone": "phone", "qualification.category": "category", "driving_licence.licence_class": "licence_class"}


def _paper(kind: str, fields: Mapping[str, Any]) -> PaperEntry:
    since, last = fields.get("from"), fields.get("until")
    if last is None:
        msg = f"{kind}_until is empty: a paper needs its last day, or 长期 缺少有效期"
        raise Wrong(msg)
    until = None if isinstance(last, str) else _midnight(last + timedelta(days=1))
    if since is not None and until is not None and _midnight(since) >= until:  # type: ignore[operator] # a day has a midnight
        msg = f"{kind} ends on {last}, before it begins on {since} 有效期止早于有效期起"
        raise Wrong(msg)
    about = {name: value for name, value in fields.items() if name not in OWN}
    return PaperEntry(kind, fields.get("number", ""), fields.get("issuer", ""), _midnight(since), until, fields.get("line", ""), about)


def _midnight(day: date | None) -> datetime | None:
    """When a day begins."""
    return None if day is None else datetime.combine(day, time(), BEIJING)
