"""The routes of the studio: questions about runs, the stream of events, commands, and the page itself."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from ogive._errors import InputError, OgiveError, StorageError, UnknownNameError
from ogive.studio.commands import MAX_BYTES, command, read_json, validate
from ogive.studio.export import export
from ogive.studio.guard import Guard, Keys
from ogive.studio.insight import costs, evidence, neighbours, pairs
from ogive.studio.projection import projected
from ogive.studio.stream import page, stream
from ogive.studio.trusting import trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ogive.studio.reading import Reading

    Answer = Callable[[Reading, Request], Any]

_STATIC = Path(str(files("ogive.studio"))) / "static"
_MOST_EVENTS = 5000
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Studio:
    """Answers for some runs.

    Parameters
    ----------
    runs : sequence of Reading
        The first one is shown where a request names none.
    keys : Keys
    hosts : iterable of str
        Values of the Host header that are this server.
    port : int
    """

    def __init__(self, runs: Sequence[Reading], keys: Keys, hosts: Iterable[str], port: int) -> None:
        self.runs, self.keys = {run.name: run for run in runs}, keys
        self.ending = asyncio.Event()
        routes = [
            Route("/", self._index),
            Route("/api/runs", self._runs),
            *(Route(f"/api/{path}", self._question(answer)) for path, answer in QUESTIONS.items()),
            Route("/api/stream", self._stream),
            Route("/api/commands", self._told(command), methods=["POST"]),
            Route(
                "/api/templates/validate", self._told(lambda run, data: (200, validate(run, data))), methods=["POST"]
            ),
            *(Route(f"/static/{name}", _file(path)) for name, path in _static_files().items()),
        ]
        inner = Starlette(routes=routes, exception_handlers={OgiveError: _explained})
        self.app: ASGIApp = Guard(inner, keys, hosts, port)

    def run_of(self, request: Request) -> Reading:
        """Return the run a request is about."""
        name = request.query_params.get("run")
        if name is None:
            return next(iter(self.runs.values()))
        if name not in self.runs:
            raise UnknownNameError.of("run", name, self.runs)
        return self.runs[name]

    def _question(self, answer: Answer) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(self._fresh, answer, request)

        return endpoint

    def _fresh(self, answer: Answer, request: Request) -> Response:
        run = self.run_of(request)
        with run.lock:
            run.update()
            found = answer(run, request)
        if callable(found) and not isinstance(found, Response):
            # What takes a while is worked out without the lock.
            found = found()
        if isinstance(found, Response):
            return found
        if answer is _state:
            found["csrf"] = self.keys.csrf
        return json_response(found)

    def _told(self, answer: Callable[[Reading, Any], tuple[int, dict[str, Any]]]) -> Callable[[Request], Any]:
        def carry_out(run: Reading, body: bytes) -> Response:
            with run.lock:
                run.update()
                status, found = answer(run, read_json(body))
            return json_response(found, status)

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(carry_out, self.run_of(request), await _body(request))

        return endpoint

    async def _runs(self, _: Request) -> Response:
        def look() -> list[dict[str, Any]]:
            for run in self.runs.values():
                run.update()
            return [run.summary() for run in self.runs.values()]

        return json_response({"runs": await run_in_threadpool(look)})

    async def _index(self, _: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def _stream(self, request: Request) -> Response:
        run = self.run_of(request)
        known = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        events = stream(run.directory.database, _number("after", known), self.ending)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def json_response(value: Any, status: int = 200) -> Response:
    """Return a value as strict JSON."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Response(text, status, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Return what was sent, read no further than what is too much."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            break
    return body


def _number(name: str, text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InputError(f"{name} is a whole number of at least 0, not '{text}'")
    return int(text)


def _rev(request: Request) -> int | None:
    text = request.query_params.get("rev")
    return None if text is None else _number("rev", text)


def _after(request: Request) -> int:
    return _number("after", request.query_params.get("after", "0"))


def _state(run: Reading, _: Request) -> Any:
    return run.state()


def _events(run: Reading, request: Request) -> Any:
    limit = min(_number("limit", request.query_params.get("limit", "500")), _MOST_EVENTS)
    return {"events": page(run.directory.database, _after(request), limit), "seq": run.seq}


QUESTIONS: dict[str, Answer] = {
    "state": _state,
    "template": lambda run, request: run.template(_rev(request)),
    "layout": lambda run, request: run.layout(_rev(request)),
    "candidates": lambda run, request: run.candidates(_after(request)),
    "candidate/{id:int}": lambda run, request: run.candidate(request.path_params["id"]),
    "candidate/{id:int}/costs": lambda run, request: costs(run, request.path_params["id"]),
    "candidate/{id:int}/neighbours": lambda run, request: neighbours(run, request.path_params["id"]),
    "evidence": lambda run, _: evidence(run),
    "pairs": lambda run, _: pairs(run),
    "trust": lambda run, _: trust(run),
    "export/{id:int}": lambda run, request: export(
        run, request.path_params["id"], request.query_params.get("format", "json")
    ),
    "projection": lambda run, request: projected(run, request.query_params.get("kind", "pca"), _after(request)),
    "series": lambda run, _: run.series(),
    "history": lambda run, _: run.history(),
    "events": _events,
}
"""What can be asked about a run by GET, under ``/api/``: a function of the run and the request that gives JSON.

What it gives may also be a response, or a function without arguments that gives either and needs no lock."""


async def _explained(_: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, UnknownNameError) else 503 if isinstance(error, StorageError) else 400
    return json_response({"error": str(error)}, status)


def _static_files() -> dict[str, Path]:
    """Return the files of the page; nothing else is ever read for it."""
    return {p.relative_to(_STATIC).as_posix(): p for p in sorted(_STATIC.rglob("*")) if p.suffix in _TYPES}


def _file(path: Path) -> Callable[[Request], Any]:
    async def endpoint(_: Request) -> Response:
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})

    return endpoint
