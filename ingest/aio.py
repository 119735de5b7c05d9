"""`Aio`: read from, or write to, hundreds of sockets by one system call.

Reading and writing is half of what a gateway does. Linux's native AIO takes a list of reads and writes, of sockets as well as of files
(`io_submit(2)`); those of sockets that do not block are done at once, in the order of the list, as by `recv(2)` and `send(2)`. What is
saved is all that Python does per call: 1.2 µs of a write, 2.2 µs of a read through the event loop (2-core VM, 2026-11).
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import select
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from tracks.spans import Bytes, Index

LIST_MAX: Final = 1_024
"""Reads or writes of one call. The kernel grants all processes of a machine 65 536 together (fs.aio-max-nr)."""
ROOM_BYTES: Final = 2_048
"""What one read takes at most."""
STRIDE_BYTES: Final = ROOM_BYTES + 64
"""From one read's room to the next; a power of two would put all of them into the same few lines of the processor's cache."""

CALLS: Final = {
    "x86_64": {"setup": 206, "destroy": 207, "getevents": 208, "submit": 209},
    "aarch64": {"setup": 0, "destroy": 1, "submit": 2, "getevents": 4},
}
"""Numbers of the system calls by machine (`asm/unistd.h`); the C library has no names for them."""

READ: Final = 0
WRITE: Final = 1
"""IOCB_CMD_PREAD and IOCB_CMD_PWRITE of `linux/aio_abi.h`."""
REQUEST: Final = np.dtype(
    [
        ("data", "u8"),
        ("key", "u4"),
        ("flags", "u4"),
        ("command", "u2"),
        ("priority", "i2"),
        ("descriptor", "u4"),
        ("address", "u8"),
        ("count", "u8"),
        ("offset", "i8"),
        ("reserved", "u8"),
        ("options", "u4"),
        ("result_descriptor", "u4"),
    ]
)
"""`struct iocb` on a little-endian machine; `data` comes back with the result."""
COME, URGENT, HANG_UP, EDGE = 0x001, 0x002, 0x2000, 1 << 31
"""EPOLLIN, EPOLLPRI, EPOLLRDHUP, EPOLLET of `sys/epoll.h`: `select` has these names on Linux alone, and the gateway runs elsewhere too."""
OFFSET, ITEM = (4, 12) if platform.machine() == "x86_64" else (8, 16)
READY: Final = np.dtype({"names": ["events", "descriptor"], "formats": ["u4", "i4"], "offsets": [0, OFFSET], "itemsize": ITEM})
"""`struct epoll_event` (epoll_ctl(2)), which is packed on that machine alone."""
RESULT: Final = np.dtype([("data", "i8"), ("request", "u8"), ("count", "i8"), ("more", "i8")])
"""`struct io_event`: how many bytes were moved, or less than 0 for an error."""


class Aio:
    """One context of the kernel's. Calls return when all is done; they must not overlap."""

    def __init__(self, calls: dict[str, int], context: ctypes.c_ulong) -> None:
        self._calls = calls
        self._context = context
        self.room: Bytes = np.zeros(LIST_MAX * STRIDE_BYTES, np.uint8)
        """What was read last."""
        self.begin: Index = STRIDE_BYTES * np.arange(LIST_MAX)
        """Where that of each socket begins."""
        self._reads = _Requests(READ)
        self._reads.row["address"] = self.room.ctypes.data + self.begin
        self._reads.row["count"] = ROOM_BYTES
        self._writes = _Requests(WRITE)
        self._result = np.zeros(LIST_MAX, RESULT)
        self._result_address = self._result.ctypes.data

    @classmethod
    def open(cls) -> Self | None:
        """A context, or None where the system has none to give."""
        calls = CALLS.get(platform.machine()) if platform.system() == "Linux" else None
        context = ctypes.c_ulong(0)
        with contextlib.suppress(OSError):
            if calls is not None:
                _call(calls["setup"], LIST_MAX, ctypes.addressof(context))
                return cls(calls, context)
        return None

    def close(self) -> None:
        """Give the context back; twice does no harm."""
        with contextlib.suppress(OSError):
            _call(self._calls["destroy"], self._context.value)

    def read(self, descriptor: Index) -> NDArray[np.int64]:
        """Read into `room` what has come to each of at most LIST_MAX sockets.

        Returns how many bytes: 0 where there will be no more, less than 0 (-errno) for an error.
        """
        self._reads.row["descriptor"][: len(descriptor)] = descriptor
        return self._done(self._reads, len(descriptor))

    def write(self, descriptor: Index, start: Index, stop: Index, text: bytes) -> NDArray[np.int64]:
        """Write text[start:stop] to each of at most LIST_MAX sockets.

        Returns how many bytes were taken: perhaps fewer, where a socket is full; less than 0 (-errno) for an error.
        """
        row = self._writes.row[: len(descriptor)]
        row["descriptor"], row["count"] = descriptor, stop - start
        row["address"] = np.frombuffer(text, np.uint8).ctypes.data + start
        return self._done(self._writes, len(descriptor))

    def _done(self, requests: _Requests, size: int) -> NDArray[np.int64]:
        moved = np.empty(size, np.int64)
        done = 0
        while done < size:
            try:
                some = _call(self._calls["submit"], self._context.value, size - done, requests.list_at(done))
            except OSError as error:  # the kernel stops at a descriptor that is none, and says so where it is the first
                moved[done] = -(error.errno or 0)
                done += 1
                continue
            _call(self._calls["getevents"], self._context.value, some, some, self._result_address)
            result = self._result[:some]
            moved[result["data"]] = result["count"]
            done += some
        return moved


class _Requests:
    """Requests of one kind, and the list of their addresses that the kernel is given."""

    def __init__(self, command: int) -> None:
        self.row = np.zeros(LIST_MAX, REQUEST)
        self.row["data"], self.row["command"] = np.arange(LIST_MAX), command
        self._list = self.row.ctypes.data + REQUEST.itemsize * np.arange(LIST_MAX)
        self._address = self._list.ctypes.data

    def list_at(self, first: int) -> int:
        """Where the list stands, from the request `first` on."""
        return self._address + first * self._list.itemsize


class Poll:
    """`select.epoll`, but for an object for each socket that has something."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self._event = np.zeros(LIST_MAX, READY)
        self._address = self._event.ctypes.data

    def ready(self) -> NDArray[Any]:
        """At most LIST_MAX sockets that have something, as READY, without waiting; good until it is asked again."""
        return self._event[: max(_libc.epoll_wait(self.epoll.fileno(), self._address, LIST_MAX, 0), 0)]


_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long] * 6
if platform.system() == "Linux":
    _libc.epoll_wait.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]


def _call(number: int, first: int, second: int = 0, third: int = 0, fourth: int = 0) -> int:
    """A system call. Raises OSError."""
    if (result := int(_libc.syscall(number, first, second, third, fourth, 0))) < 0:
        raise OSError(ctypes.get_errno(), "system call failed")
    return result
