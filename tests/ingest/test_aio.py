"""Many sockets read and written by one call, as each would be by its own."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from ingest.aio import LIST_MAX, ROOM_BYTES, STRIDE_BYTES, Aio


@pytest.fixture
def aio() -> Iterator[Aio]:
    opened = Aio.open()
    assert opened is not None, "Linux has AIO; the gateway does without where it is refused"
    yield opened
    opened.close()


@contextlib.contextmanager
def pairs(count: int) -> Iterator[tuple[list[socket.socket], list[socket.socket]]]:
    both = [socket.socketpair() for _ in range(count)]
    for ours, _ in both:
        ours.settimeout(0)
    try:
        yield [ours for ours, _ in both], [theirs for _, theirs in both]
    finally:
        for each in both:
            each[0].close()
            each[1].close()


def descriptors(sockets: list[socket.socket]) -> np.ndarray:
    return np.array([each.fileno() for each in sockets])


def read(aio: Aio, sockets: list[socket.socket]) -> list[bytes | int]:
    """What came from each, or why nothing did."""
    count = aio.read(descriptors(sockets)).tolist()
    return [aio.room[STRIDE_BYTES * at :][:size].tobytes() if size > 0 else size for at, size in enumerate(count)]


def test_each_socket_gives_what_came_to_it_and_says_when_nothing_did_or_will(aio: Aio) -> None:
    with pairs(5) as (ours, theirs):
        theirs[0].send(b"one")
        theirs[1].send(bytes(range(256)) * 20)
        theirs[2].send(b"last words")
        theirs[2].close()
        theirs[3].close()
        assert read(aio, ours) == [b"one", (bytes(range(256)) * 20)[:ROOM_BYTES], b"last words", 0, -errno.EAGAIN]
        assert read(aio, ours)[1:3] == [(bytes(range(256)) * 20)[ROOM_BYTES : 2 * ROOM_BYTES], 0]


def test_each_socket_takes_its_own_part_of_the_text(aio: Aio) -> None:
    with pairs(LIST_MAX // 2) as (ours, theirs):
        texts = [f"answer {number}".encode() for number in range(len(ours))]
        stop = np.cumsum([len(each) for each in texts])
        start = np.append(0, stop[:-1])
        assert (aio.write(descriptors(ours), start, stop, b"".join(texts)) == stop - start).all()
        assert [each.recv(100) for each in theirs] == texts


def test_a_full_socket_takes_a_part_and_then_nothing(aio: Aio) -> None:
    with pairs(2) as (ours, theirs):
        text = bytes(8 << 20)
        whole = np.array([len(text), 3])
        first = aio.write(descriptors(ours), np.array([0, 0]), whole, text)
        assert 0 < first[0] < len(text)
        assert first[1] == 3
        assert aio.write(descriptors(ours), np.array([0, 0]), whole, text).tolist() == [-errno.EAGAIN, 3]
        assert len(theirs[0].recv(1 << 24)) > 0


def test_one_broken_socket_spoils_none_beside_it(aio: Aio) -> None:
    with pairs(6) as (ours, theirs):
        theirs[1].close()
        where = descriptors(ours)
        where[[0, 3, 5]] = os.open(os.devnull, os.O_RDONLY), 1_000_000, 999_999
        ten = np.full(6, 10)
        taken = aio.write(where, ten - 10, ten, b"0123456789")
        assert taken.tolist() == [-errno.EBADF, -errno.EPIPE, 10, -errno.EBADF, 10, -errno.EBADF]
        assert aio.read(where[[3, 2]])[0] == -errno.EBADF
        os.close(int(where[0]))
        assert [theirs[2].recv(20), theirs[4].recv(20)] == [b"0123456789"] * 2


def test_no_sockets_are_no_trouble(aio: Aio) -> None:
    none = np.empty(0, np.int64)
    assert len(aio.read(none)) == len(aio.write(none, none, none, b"")) == 0


def test_a_context_may_be_closed_twice() -> None:
    opened = Aio.open()
    assert opened is not None
    opened.close()
    opened.close()
