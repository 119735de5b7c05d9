"""The HTTP application. Today: is it alive, is it ready, what do the numbers say.

Errors are problem details (RFC 9457). What the window cannot know by itself, the metrics text, is given to it as a function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from storage.health import ping

CHECK_TIMEOUT_S: Final = 2.0
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Window:
    """The routes, and what they look at."""

    url: str
    gateway: tuple[str, int]
    metrics: Callable[[], bytes]

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.exposition),
        ]
        there = ", ".join(route.path for route in routes)

        async def refuse(request: Request, error: Exception) -> Response:
            assert isinstance(error, HTTPException), "it is told of no other"
            nothing = f"nothing is at {request.url.path} 无此页面; there are {there}"
            detail = nothing if error.status_code == HTTPStatus.NOT_FOUND else str(error.detail)
            return _problem(HTTPStatus(error.status_code), detail, error.headers)

        return Starlette(routes=routes, exception_handlers={HTTPException: refuse})

    async def healthz(self, _request: Request) -> Response:
        """Whether this process answers at all."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Whether a terminal that connects now would be answered: the database answers, and the gateway takes a connection."""
        database, gateway = await asyncio.gather(_failure(ping(self.url)), _failure(_connect(*self.gateway)))
        if database or gateway:
            detail = "; ".join(f"{part}: {why}" for part, why in (("database", database), ("gateway", gateway)) if why)
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, detail)
        return JSONResponse({"status": "ready", "database": "ok", "gateway": "ok"})

    async def exposition(self, _request: Request) -> Response:
        """Prometheus metrics of all workers."""
        return Response(await asyncio.to_thread(self.metrics), media_type=METRICS_TYPE)


def _problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return JSONResponse(problem, status_code=status.value, headers=headers, media_type="application/problem+json")


async def _failure(check: asyncio.Future[None] | object) -> str | None:
    """Why a check failed, or None."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check  # type: ignore[misc]
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return str(error).strip() or type(error).__name__
    return None


async def _connect(host: str, port: int) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host, port)  # noqa: S104
    writer.close()
    await writer.wait_closed()
