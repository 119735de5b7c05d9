"""The window's process: the HTTP application under uvicorn. Started by the supervisor as a worker is, and ends as one does."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import Final

import uvicorn

from api.app import Window
from ingest import log as logs
from ingest import metrics
from ingest.settings import EX_CONFIG, Settings, host_port

log: Final = logs.get("dubhe.window")


class _Server(uvicorn.Server):
    """Tells where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for each in server.sockets:
                host, port = each.getsockname()[:2]
                log.info("listening", http=f"[{host}]:{port}" if ":" in host else f"{host}:{port}", pid=os.getpid())


async def _run(settings: Settings, url: str) -> int:
    host, port = host_port(settings.http_listen)
    app = Window(url=url, gateway=host_port(settings.tcp_listen), metrics=metrics.exposition).app()
    server = _Server(uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        loop.remove_reader(sys.stdin.fileno())

    loop.add_reader(sys.stdin.fileno(), stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server._serve()  # noqa: SLF001 - `serve` would put uvicorn's signal handlers in the place of ours
    return 0


def main() -> int:
    """Serve until told to stop; settings, database URL and name come as three lines on standard input."""
    settings, url, _name = Settings.from_json(sys.stdin.readline()), sys.stdin.readline().strip(), sys.stdin.readline()
    logs.configure(settings.log_level, settings.log_format)
    try:
        return asyncio.run(_run(settings, url))
    except (OSError, SystemExit) as error:  # uvicorn exits by itself when the port cannot be had
        log.error("cannot start", setting="http_listen", value=settings.http_listen, why=str(error))
        return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
