"""Signals while something is begun that has to be ended as well. Only the standard library."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

ENDINGS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def heard_later() -> Iterator[None]:
    """While it lasts, handlers of signals that end a program wait: one that raised between a fork and what ends the child would leave it.

    Handlers alone, for a child would inherit a mask. What is left to the system, or comes to other threads, is as ever.
    """
    heard: list[tuple[int, FrameType | None]] = []
    before = {number: handler for number in ENDINGS if callable(handler := signal.getsignal(number))}
    if threading.current_thread() is not threading.main_thread():
        before = {}
    for number in before:
        signal.signal(number, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each, frame in heard:
            before[signal.Signals(each)](each, frame)
