"""The columns of `Held` against a plain dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.held import Held

IDS = st.lists(st.integers(1, 12), unique=True)
STEPS = st.one_of(
    st.tuples(st.just("take_up"), st.dictionaries(st.integers(1, 12), st.integers(0, 1 << 50))),
    st.tuples(st.just("put_down"), IDS),
    st.tuples(st.just("move_on"), st.tuples(IDS, st.integers(0, 99))),
    st.tuples(st.just("save"), st.integers(0, 99)),
)


@given(st.lists(STEPS, max_size=30))
def test_it_holds_what_a_dict_would(story: list[tuple[str, object]]) -> None:
    held, plain = Held(), {}
    for step, what in story:
        match step, what:
            case "take_up", dict():
                held.take_up(what)
                plain |= {each: (begun_us, np.inf) for each, begun_us in what.items()}
            case "put_down", list():
                held.put_down(what)
                plain = {each: about for each, about in plain.items() if each not in what}
            case "move_on", (ids, since_s):
                held.move_on(np.array(ids, np.int64), since_s)
                plain |= {each: (plain[each][0], min(plain[each][1], since_s)) for each in ids if each in plain}
            case "save", before_s:
                due = held.unsaved(before_s)
                assert sorted(due.tolist()) == sorted(each for each, (_, newer_s) in plain.items() if newer_s <= before_s)
                newer_s = held.save(due)
                assert (np.diff(newer_s) >= 0).all(), "who has waited longest is the first"
                assert newer_s.tolist() == [plain[each][1] for each in due.tolist()]
                plain |= {each: (plain[each][0], np.inf) for each in due.tolist()}
        assert len(held) == len(plain)
        assert held.ids.tolist() == sorted(plain)
        every = np.arange(15)
        assert held.begun_us(every, -1).tolist() == [plain.get(each, (-1, 0))[0] for each in every.tolist()]
        assert held.missing(every).tolist() == [each for each in every.tolist() if each not in plain]


def test_what_could_not_be_saved_waits_on_as_long_as_it_has() -> None:
    held = Held()
    held.take_up({5: 0, 7: 0, 9: 0})
    held.move_on(np.array([5, 7]), 10.0)
    held.move_on(np.array([7, 9]), 20.0)
    ids = held.unsaved()
    newer_s = held.save(ids)
    held.move_on(np.array([5]), 30.0)
    held.put_down([9])
    held.move_on(ids, newer_s)
    assert held.unsaved(10.0).tolist() == [5, 7]
    assert held.unsaved().tolist() == [5, 7]
