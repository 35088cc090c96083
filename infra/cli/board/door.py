"""The board's own HTTP server: four files and one JSON value, on loopback, for reading alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.adapters.observe.scrape_server import ScrapeServer, start_server
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.board.watcher import Watcher

HOST = "127.0.0.1"
_NAMES = ("localhost", HOST)
"""A page from elsewhere that had its name lead here (DNS rebinding) would ask by another one."""

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/board.css": ("board.css", "text/css; charset=utf-8"),
    "/board.js": ("board.js", "text/javascript; charset=utf-8"),
}
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]
_TRIED = 5

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def board_app(ask: Callable[[], bytes]) -> Callable[..., Iterable[bytes]]:
    """The WSGI app; ``ask`` gives what ``/figures.json`` answers."""

    def app(environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        status, kind, body = _answer(environ, ask)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), *_HEADERS]
        start_response(status, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    return app


def _answer(environ: Mapping[str, Any], ask: Callable[[], bytes]) -> tuple[str, str, bytes]:
    plain, path = "text/plain; charset=utf-8", environ.get("PATH_INFO", "")
    if environ.get("HTTP_HOST", "").rpartition(":")[0] not in _NAMES:
        said = "the board answers to the names localhost and 127.0.0.1 alone\n"
        return "421 Misdirected Request", plain, said.encode()
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return "405 Method Not Allowed", plain, b"the board is for reading alone\n"
    if path == "/figures.json":
        return "200 OK", "application/json", ask()
    if path not in _FILES:
        return "404 Not Found", plain, b"the board is at /\n"
    name, kind = _FILES[path]
    return "200 OK", kind, (_PAGE / name).read_bytes()


class Board:
    """The page of a run, as a context manager: it is there while the block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._port = settings.run.board_port
        self._watcher = Watcher(settings)
        self._server: ScrapeServer | None = None
        self.url = ""

    def __enter__(self) -> Self:
        """``Unreachable`` where the port cannot be taken."""
        app = board_app(self._watcher.ask)
        wanted = [self._port] if self._port else free_ports(_TRIED, HOST)
        said = ""
        for port in wanted:
            try:
                self._server = start_server(HOST, port, app, "board-door")
            except OSError as error:
                said = str(error)
                continue
            self.url = f"http://{HOST}:{port}/"
            return self
        raise Unreachable(
            f"the board found no port at {HOST}: {said}; set run.board_port to a free one, or to 0 "
            "for any"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._watcher.close()
