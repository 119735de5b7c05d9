"""The terminal's own alarms as signals: the bits of the alarm word, and what additional items raise and end.

Good and bad fixes speak alike, for an alarm is no position. Of each terminal only the alarms count that are raised in the batch or under
way, so a batch without any costs two looks at a column.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tracks.alarms import BITS, HELD_FROM, NUMBER_BITS, NUMBERS, WORD_BITS, column, number, subject
from tracks.event import KIND, LEVEL, NO_SIGNALS, VALUE, Signals
from tracks.fix import ABSENT
from tracks.spans import Index
from tracks.track import Standing, TrackBatch, distinct, expand, rows_of


def word_alarms(track: TrackBatch, standing: Standing) -> Signals:
    """Every bit of the alarm word that is set, or was, of every terminal."""
    mine = standing.take((standing.kind == KIND.TERMINAL_ALARM) & (standing.subject < WORD_BITS))
    alarms = np.flatnonzero(track.alarm_bits)
    if len(alarms) == 0 and len(mine) == 0:
        return NO_SIGNALS
    owners = int(max(track.owner.max(initial=-1), mine.owner.max(initial=-1))) + 1
    seen = np.zeros(owners, np.int64)
    np.bitwise_or.at(seen, track.owner[alarms], track.alarm_bits[alarms])
    np.bitwise_or.at(seen, mine.owner, np.int64(1) << mine.subject)
    fix = np.flatnonzero(seen[track.owner])
    which, bit = np.nonzero((seen[track.owner[fix], None] >> np.arange(WORD_BITS)) & 1)
    fix = fix[which]
    value = np.where((track.alarm_bits[fix] >> bit) & 1, VALUE.BAD, VALUE.GOOD)
    return Signals.of(fix, KIND.TERMINAL_ALARM, bit, value, level=_LEVEL[bit])


def item_alarms(track: TrackBatch, standing: Standing) -> Signals:
    """What items say of alarms, and for those under way what it means that a fix says nothing of them.

    `standing` shows them by subject; those that follow flags last through silence, the others are over with it.
    """
    mine = standing.take((standing.kind == KIND.TERMINAL_ALARM) & (standing.subject >= WORD_BITS))
    said = np.flatnonzero(track.raised | track.cleared)
    if len(said) == 0 and len(mine) == 0:
        return NO_SIGNALS
    which, bit = np.nonzero(((track.raised | track.cleared)[said, None] >> np.arange(BITS)) & 1)
    fix = said[which]
    about = subject(bit, np.where(_PLACED[bit + WORD_BITS], track.place[fix], 0))
    raised, cleared = ((bits[fix] >> bit) & 1 == 1 for bits in (track.raised, track.cleared))
    value = np.select([raised & cleared, raised], [VALUE.MOMENT, VALUE.BAD], VALUE.GOOD)
    spoken = _code(fix, about)

    under_way = distinct(np.concatenate((_code(track.owner[fix], about)[value == VALUE.BAD], _code(mine.owner, mine.subject))))
    first, last = (np.searchsorted(track.owner, under_way >> _SUBJECT_BITS, side) for side in ("left", "right"))
    which, nth = expand(last - first)
    code = distinct(np.concatenate((_code(first[which] + nth, under_way[which] & _SUBJECT_MAX), spoken[value == VALUE.MOMENT])))

    fix, about = code >> _SUBJECT_BITS, code & _SUBJECT_MAX
    alarm = number(about)
    order = np.argsort(spoken)
    at = rows_of(code, spoken[order])
    value = np.where(at < 0, _SILENCE[alarm], np.append(value[order], VALUE.NEUTRAL)[at])
    moment, passed = value == VALUE.MOMENT, (at < 0) & _PASSES[alarm]
    since_us = np.select([moment, passed], [track.time_us[fix], 0], ABSENT)
    until_us = np.where(moment, track.time_us[fix], ABSENT)
    return Signals.of(fix, KIND.TERMINAL_ALARM, about, value, level=_LEVEL[alarm], since_us=since_us, until_us=until_us)


_SUBJECT_BITS: Final = NUMBER_BITS + 32
_SUBJECT_MAX: Final = 2**_SUBJECT_BITS - 1


def _code(row: Index, about: Index) -> Index:
    """Row and subject as one number to sort and search by."""
    return (row << _SUBJECT_BITS) | about


_LEVEL: Final = column("level", "u1", usual=LEVEL.NOTICE)
_PLACED: Final = column("placed", "?", usual=False)
_PASSES: Final = column("passes", "?", usual=False)
_SILENCE: Final = np.where(np.arange(NUMBERS) < WORD_BITS + HELD_FROM, VALUE.NEUTRAL, VALUE.GOOD)
"""What a fix says of an alarm of an item that it does not mention."""
