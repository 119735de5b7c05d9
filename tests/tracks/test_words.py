"""What is meant by a word with a slip in it."""

from __future__ import annotations

from tracks.words import alike, did_you_mean

KNOWN = ("day_kmh", "night_kmh", "windows", "71路")


def test_a_slip_a_dash_and_capitals_are_seen_through() -> None:
    assert [["day_kmh"], ["day_kmh"], ["windows"], ["71路"]] == [
        alike(word, KNOWN)[:1] for word in ("day-khm", "Day-Kmh", "window", "72路")
    ]


def test_nothing_is_guessed_of_a_word_that_is_like_none() -> None:
    assert [] == alike("stroke", KNOWN) == alike("x" * 100_000, KNOWN)
    assert "" == did_you_mean([])
    assert "; did you mean 是否指 day_kmh or windows?" == did_you_mean(["day_kmh", "windows"])
