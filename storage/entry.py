"""Entering what a sheet says of a vehicle: what is new is added, what is the same changes nothing, what is corrected is superseded.

One entry is one transaction, audited under the name of whoever enters it. A vehicle that is new begins as a draft.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from storage.connect import Conn, connect
from storage.enrol import EnrolError, begin_onboarding, bind, enter_terminal
from storage.errors import blames_server
from storage.jsonb import jsonb
from storage.registry import LOCK
from storage.text import clean


@dataclass(frozen=True, slots=True)
class PaperEntry:
    """A paper."""

    kind: str
    number: str = ""
    issuer: str = ""
    since: datetime | None = None
    """None: not said."""
    until: datetime | None = None
    """None: without end."""
    line: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of one vehicle; empty is what is not said."""

    plate: str
    plate_colour: int
    vehicle: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the table."""
    status: str | None = None
    status_from: datetime | None = None
    terminal: str = ""
    line: str = ""
    group: str = ""
    enterprise: str = ""
    about_enterprise: Mapping[str, Any] = field(default_factory=dict)
    driver: str = ""
    qualification: str = ""
    about_driver: Mapping[str, Any] = field(default_factory=dict)
    papers: Sequence[PaperEntry] = ()


HOLDER: Final = {"licence": "enterprise_id", "qualification": "driver_id", "driving_licence": "driver_id"}
"""Kinds of paper that are not the vehicle's."""


@contextmanager
def entering(url: str, by: str) -> Iterator[FleetEntry]:
    """A way to enter many, under one name. Raises `StoreUnavailable`."""
    with connect(url, "dubhe import") as conn:
        conn.execute("SELECT set_config('dubhe.by', %s, false)", (clean(by),))
        yield FleetEntry(conn, clean(by))


class FleetEntry:
    """Enters vehicles one by one."""

    def __init__(self, conn: Conn, by: str) -> None:
        self._conn = conn
        self._by = by
        self._said: dict[tuple[str, str], tuple[Mapping[str, Any], int]] = {}
        """By table and name what was said last of lines, groups and enterprises, and their ids: most rows say the same."""

    def enter(self, entry: Entry, now: datetime) -> None:
        """Enter what is said, all or nothing; entering the same twice changes nothing. Raises `EnrolError`."""
        try:
            with self._conn.transaction():
                self._conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                self._enter(entry, now)
        except (psycopg.Error, EnrolError) as error:
            self._said.clear()  # some of it has gone with this entry
            if isinstance(error, EnrolError) or blames_server(error):
                raise
            msg = f"the registry does not take it: {error.diag.message_primary}"
            raise EnrolError(msg) from error

    def _enter(self, entry: Entry, now: datetime) -> None:
        vehicle_id = self._vehicle(entry, now)
        holders = {"vehicle_id": vehicle_id}
        if entry.status:
            self._status(vehicle_id, entry.status, entry.status_from or now)
        if entry.enterprise:
            holders["enterprise_id"] = self._known("enterprises", entry.enterprise, entry.about_enterprise)
            self._belongs(vehicle_id, "enterprise", holders["enterprise_id"], now, alone=True)
        for kind, name in (("line", entry.line), ("group", entry.group)):
            if name:
                self._belongs(vehicle_id, kind, self._known(f"{kind}s", name), now)
        if entry.driver:
            holders["driver_id"] = self._named(
                "drivers", {"qualification": entry.qualification}, {"name": entry.driver, **entry.about_driver}
            )
            self._assigned(vehicle_id, holders["driver_id"], now)
        if entry.papers:
            self._papers(holders, entry.papers, now)
        if entry.terminal:
            terminal_id, bound_to = enter_terminal(self._conn, entry.terminal)
            if bound_to != vehicle_id:
                bind(self._conn, (terminal_id, entry.terminal, bound_to), (vehicle_id, entry.plate), now)

    def _vehicle(self, entry: Entry, now: datetime) -> int:
        vehicle_id = self._named("vehicles", {"plate": entry.plate, "plate_colour": entry.plate_colour}, entry.vehicle)
        begin_onboarding(self._conn, vehicle_id, "draft", self._by, now)
        return vehicle_id

    def _known(self, table: str, name: str, about: Mapping[str, Any] = {}) -> int:
        """The row of this name, as `_named`, which is not asked again for what was said last."""
        said, known = self._said.get((table, name), ({}, 0))
        if not known or (about and about != said):
            known = self._named(table, {"name": name}, about)
            self._said[table, name] = about, known
        return known

    def _named(self, table: str, key: Mapping[str, Any], about: Mapping[str, Any] = {}) -> int:
        """The row with this key, made when new, with what is said about it."""
        columns, said = [*key, *about], sql.SQL(", ").join(map(sql.Identifier, about))
        update: sql.Composable = sql.SQL("DO NOTHING")
        if about:
            now_said = sql.SQL(", ").join(sql.SQL("EXCLUDED.{}").format(sql.Identifier(name)) for name in about)
            update = sql.SQL("DO UPDATE SET ({said}) = ROW({new}) WHERE ROW({old}) IS DISTINCT FROM ROW({new})").format(
                said=said, new=now_said, old=sql.SQL(", ").join(sql.Identifier(table, name) for name in about)
            )
        query = sql.SQL(
            "WITH made AS (INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({key}) {update} RETURNING id)"
            " SELECT id FROM made UNION ALL SELECT id FROM {table} WHERE ({key}) = ({key_values}) LIMIT 1"
        ).format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join(map(sql.Placeholder, columns)),
            key=sql.SQL(", ").join(map(sql.Identifier, key)),
            update=update,
            key_values=sql.SQL(", ").join(map(sql.Placeholder, key)),
        )
        values = {**key, **about}
        row = self._conn.execute(query, values).fetchone() or self._conn.execute(query, values).fetchone()  # another may just have made it
        assert row is not None, "it was inserted if it was not there"
        return int(row[0])

    def _status(self, vehicle_id: int, status: str, since: datetime) -> None:
        """It has this status from a moment on, until another is entered."""
        values = {"id": vehicle_id, "status": status, "since": since}
        row = self._conn.execute(
            "SELECT status, valid_from >= %(since)s FROM statuses WHERE vehicle_id = %(id)s AND valid_until = 'infinity'", values
        ).fetchone()
        if (row[0] if row else "operating") == status:
            return
        if row and row[1]:
            msg = f"its status {row[0]} begins on that day or later; say a later status_from 状态起始日期过早"
            raise EnrolError(msg)
        self._conn.execute("UPDATE statuses SET valid_until = %(since)s WHERE vehicle_id = %(id)s AND valid_until = 'infinity'", values)
        self._conn.execute("INSERT INTO statuses (vehicle_id, status, valid_from) VALUES (%(id)s, %(status)s, %(since)s)", values)

    def _belongs(self, vehicle_id: int, kind: str, party_id: int, now: datetime, *, alone: bool = False) -> None:
        """It belongs to a party from now on, from always if it is the first; `alone`: and to no other of the kind any more."""
        values = {"id": vehicle_id, "kind": kind, "party": party_id, "now": now}
        if alone:
            self._conn.execute(
                "UPDATE memberships SET valid_until = %(now)s"
                " WHERE vehicle_id = %(id)s AND kind = %(kind)s AND party_id <> %(party)s"
                " AND valid_from < %(now)s AND valid_until > %(now)s",
                values,
            )
        self._conn.execute(
            "INSERT INTO memberships (vehicle_id, kind, party_id, valid_from)"
            " SELECT %(id)s, %(kind)s, %(party)s, CASE WHEN EXISTS"
            " (SELECT FROM memberships WHERE vehicle_id = %(id)s AND kind = %(kind)s) THEN %(now)s ELSE '-infinity'::timestamptz END"
            " WHERE NOT EXISTS (SELECT FROM memberships WHERE vehicle_id = %(id)s AND kind = %(kind)s AND party_id = %(party)s"
            " AND valid_until > %(now)s)",
            values,
        )

    def _assigned(self, vehicle_id: int, driver_id: int, now: datetime) -> None:
        """The driver drives it from now on, from always if it is the first."""
        self._conn.execute(
            "INSERT INTO assignments (vehicle_id, driver_id, valid_from)"
            " SELECT %(id)s, %(driver)s, CASE WHEN EXISTS"
            " (SELECT FROM assignments WHERE vehicle_id = %(id)s) THEN %(now)s ELSE '-infinity'::timestamptz END"
            " WHERE NOT EXISTS (SELECT FROM assignments WHERE vehicle_id = %(id)s AND driver_id = %(driver)s AND valid_until > %(now)s)",
            {"id": vehicle_id, "driver": driver_id, "now": now},
        )

    def _papers(self, holders: Mapping[str, int], papers: Sequence[PaperEntry], now: datetime) -> None:
        """Add papers, each in the place of the one that it says better."""
        held: dict[str, list[tuple[int, _Paper]]] = {}
        for kind, paper_id, *row in self._conn.execute(_HELD, {**_HOLDERS, **holders}).fetchall():
            held.setdefault(kind, []).append((paper_id, _Paper(*row)))
        old, new = [], []
        for paper in papers:
            mode = {"mode": paper.about["mode"]} if "mode" in paper.about else {}
            line_id = self._known("lines", paper.line, mode) if paper.line else None
            said = _Paper(paper.number, paper.issuer, paper.since, paper.until, line_id, dict(paper.about))
            superseded, better = _bettered(said, held.get(paper.kind, []), now)
            if better is not None:
                column = HOLDER.get(paper.kind, "vehicle_id")
                of = {**_HOLDERS, column: holders[column]}
                new.append(better._asdict() | of | {"kind": paper.kind, "about": jsonb(better.about)})
                old += [] if superseded is None else [superseded]
        if old:
            self._conn.execute("UPDATE papers SET superseded_at = clock_timestamp() WHERE id = ANY(%s)", (old,))
        if new:
            self._conn.cursor().executemany(_ADD, new)


_HOLDERS: Final[Mapping[str, int | None]] = {"vehicle_id": None, "enterprise_id": None, "driver_id": None}
_HELD: Final = """
SELECT kind, id, number, issuer, nullif(valid_from, '-infinity'), nullif(valid_until, 'infinity'), line_id, about FROM papers
WHERE (vehicle_id = %(vehicle_id)s OR enterprise_id = %(enterprise_id)s OR driver_id = %(driver_id)s) AND superseded_at IS NULL
ORDER BY id DESC
"""
_ADD: Final = """
INSERT INTO papers (vehicle_id, enterprise_id, driver_id, kind, number, issuer, valid_from, valid_until, line_id, about)
VALUES (%(vehicle_id)s, %(enterprise_id)s, %(driver_id)s, %(kind)s, %(number)s, %(issuer)s, coalesce(%(since)s, '-infinity'::timestamptz),
    coalesce(%(until)s, 'infinity'::timestamptz), %(line_id)s, %(about)s)
"""


class _Paper(NamedTuple):
    """A row of papers, or what is said of one."""

    number: str
    issuer: str
    since: datetime | None
    until: datetime | None
    line_id: int | None
    about: dict[str, Any]

    def is_about(self, old: _Paper) -> bool:
        """It speaks of that paper: of that number if it names one, and one of its days is that one's."""
        return self.number in {"", old.number} and (self.until == old.until or (self.since is not None and self.since == old.since))

    def over(self, old: _Paper) -> _Paper:
        """That paper with what is said here."""
        return _Paper(
            old.number,
            self.issuer or old.issuer,
            self.since or old.since,
            self.until,
            old.line_id if self.line_id is None else self.line_id,
            old.about | self.about,
        )


def _bettered(said: _Paper, held: Sequence[tuple[int, _Paper]], now: datetime) -> tuple[int | None, _Paper | None]:
    """Of those held, the latest first, the one that is said better, and what it becomes; or what is new; or neither."""
    old_id, old = next(((paper_id, each) for paper_id, each in held if said.is_about(each)), (None, None))
    new = said.over(old) if old else said._replace(since=now) if held and said.since is None else said
    return (None, None) if new == old else (old_id, new)
