"""Starting and ending the studio: sockets, secrets, and a stop that no open stream can hold up."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from ogive._errors import InputError, StorageError
from ogive._paths import data_home
from ogive.studio.app import Studio
from ogive.studio.engines import Engine
from ogive.studio.guard import Keys
from ogive.studio.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_GRACE_SECONDS = 1
_SESSION_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Address:
    """Where a studio listens.

    Attributes
    ----------
    url : str
        The address to open, with the key to the page.
    once : str
        The same with a key that opens the page once, for a browser that is opened by the program.
    port : int
    """

    url: str
    once: str
    port: int


def serve(
    paths: Sequence[str | Path],
    ready: Callable[[Address], None],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    read_only: bool = False,
    allow_remote: bool = False,
    begin: bool = False,
    keep: bool = False,
) -> None:
    """Show runs in a browser until Ctrl-C or SIGTERM.

    Parameters
    ----------
    paths : sequence of str or Path
        Run directories; other processes may be writing them.
    ready : callable
        Called once connections are accepted.
    host : str
        Address to listen on; on loopback both kinds of addresses.
    port : int
        0 takes a free one.
    read_only : bool
        Refuse every command.
    allow_remote : bool
        Needed besides a `host` that other machines can reach.
    begin : bool
        Go on with the runs at once, as a command to go on does later.
    keep : bool
        Let searches that were begun here go on after the end; otherwise they end with it, at a safe point.

    Raises
    ------
    InputError
        If there is no run, or the host is not this machine's and `allow_remote` was not given.
    StorageError
        If the port is taken.
    """
    if host not in LOOPBACK and not allow_remote:
        raise InputError(
            f"host '{host}' lets other machines in, over plain HTTP; use an SSH tunnel to 127.0.0.1, or add "
            "--allow-remote"
        )
    runs = _readings(paths, read_only=read_only, keep=keep)
    sockets = _listen(host, port)
    port = sockets[0].getsockname()[1]
    keys = Keys(session=_session(paths, port))
    shown = "127.0.0.1" if host in LOOPBACK else host
    base = f"http://{_bracketed(shown)}:{port}/login?token="
    studio = Studio(runs, keys, [f"{_bracketed(name)}:{port}" for name in _names(host)], port)
    engines = [run.engine for run in runs]

    def leaving() -> None:
        for engine in engines:
            engine.ask_to_end()

    server = _Server(studio, lambda: ready(Address(base + keys.token, base + keys.one_time(), port)), leaving)
    try:
        if begin:
            for engine in engines:
                engine.start()
        server.run_until_stopped(sockets)
    finally:
        leaving()
        for engine in engines:
            engine.end()


class _Server(uvicorn.Server):
    def __init__(self, studio: Studio, ready: Callable[[], None], leaving: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                studio.app,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._studio, self._ready, self._leaving = studio, ready, leaving

    def run_until_stopped(self, sockets: list[socket.socket]) -> None:
        # uvicorn raises the signal that stopped it again: what has to be put in order must not die of that.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self.run(sockets)
        except KeyboardInterrupt:
            return
        finally:
            signal.signal(signal.SIGTERM, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams never end by themselves, and searches take a while to.
        self._studio.ending.set()
        self._leaving()
        await super().shutdown(sockets)


def _readings(paths: Sequence[str | Path], *, read_only: bool, keep: bool) -> list[Reading]:
    taken: set[str] = set()
    runs = []
    for path in paths:
        stem = name = Path(path).resolve().name
        n = 2
        while name in taken:
            name, n = f"{stem}-{n}", n + 1
        taken.add(name)
        runs.append(Reading(path, name, Engine(Path(path), keep=keep), read_only=read_only))
    return runs


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets; on loopback a second one for IPv6 where the machine has that."""
    wanted = "127.0.0.1" if host in LOOPBACK else host
    try:
        first = _bound(wanted, port)
    except OSError as error:
        raise StorageError(f"cannot listen on {wanted}:{port}: {error.strerror}; choose another --port") from error
    if host not in LOOPBACK:
        return [first]
    try:
        return [first, _bound("::1", first.getsockname()[1])]
    except OSError:
        return [first]


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would not turn off the delay that makes every small answer take 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _names(host: str) -> set[str]:
    """Return the names under which browsers may ask for this server."""
    names = set(LOOPBACK)
    if host not in LOOPBACK:
        names |= {host, socket.gethostname(), socket.getfqdn()}
        with suppress(OSError):
            names |= set(socket.gethostbyname_ex(socket.gethostname())[2])
    return names


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _session(paths: Sequence[str | Path], port: int) -> str:
    """Return the secret behind the cookie; one kept for these runs and this port lets open pages stay logged in.

    It is a file that only its owner can read, good for a day.
    """
    text = "\n".join([*(str(Path(p).resolve()) for p in paths), str(port)])
    file = data_home() / "studio" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.key"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if file.exists() and time.time() - file.stat().st_mtime < _SESSION_SECONDS:
            return file.read_text(encoding="ascii")
        file.unlink(missing_ok=True)
        secret = Keys().session
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(secret)
    except OSError:
        # Without a place to keep it, pages log in again after a restart.
        return Keys().session
    return secret
