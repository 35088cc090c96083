"""The page in a real browser, and what its door answers."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.adapters.observe.scrape_server import start_server
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.board.door import Board, board_app
from everfresh.infra.cli.board.picture import picture
from everfresh.infra.cli.board.seen import Seen
from tests.infra.cli.board.run_seen import HOSTILE, NOW_MS, run_seen

CHROMIUM = shutil.which("chromium")
PAGE = Path(__file__).parents[4] / "infra" / "cli" / "board" / "page"


@contextmanager
def door(seen: Seen) -> Iterator[int]:
    """The port of a board that has seen this."""
    [port] = free_ports(1)
    app = board_app(lambda: msgspec.json.encode(picture(seen, NOW_MS)))
    server = start_server("127.0.0.1", port, app, "board-test")
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
    """Status, content type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def test_the_door_has_the_page_its_files_and_the_figures_alone() -> None:
    with door(run_seen()) as port:
        assert ask(port, "/")[:2] == (200, "text/html; charset=utf-8")
        for path in re.findall(r'(?:href|src)="(/[^"]+)"', (PAGE / "index.html").read_text()):
            assert ask(port, path)[0] == 200, path
        status, kind, body = ask(port, "/figures.json")
        assert (status, kind) == (200, "application/json")
        assert msgspec.json.decode(body)["dead_letters"] == 7
        assert ask(port, "/figures.json", "HEAD")[2] == b""
        for path in ("/../door.py", "/page/index.html", "/%2e%2e/door.py", "/x"):
            assert ask(port, path)[0] == 404, path
        assert ask(port, "/", "POST")[0] == 405


def test_a_page_from_elsewhere_learns_nothing() -> None:
    with door(run_seen()) as port:
        for name in ("rebound.example.com", f"rebound.example.com:{port}", ""):
            assert ask(port, "/figures.json", Host=name)[0] == 421, name
        assert ask(port, "/figures.json", Host=f"localhost:{port}")[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)
        connection.request("GET", "/")
        policy = connection.getresponse().headers
        assert "default-src 'none'" in policy["Content-Security-Policy"]
        assert policy["Access-Control-Allow-Origin"] is None
        connection.close()


def test_a_port_that_is_taken_is_named_with_its_setting(
    make_settings: Callable[..., Settings],
) -> None:
    with door(Seen()) as port:
        taken = make_settings(run={"board_port": port})
        with pytest.raises(Unreachable, match=r"run\.board_port"), Board(taken):
            pass


def test_the_page_takes_nothing_from_elsewhere() -> None:
    for file in PAGE.iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text()), file.name
    assert "innerHTML" not in (PAGE / "board.js").read_text()


class Texts(HTMLParser):
    """The text below each element with an id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.by_id: dict[str, str] = {}
        self.tags: list[str] = []
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link", "img", "br"):
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data + " "


def browse(port: int, folder: Path, *options: str) -> str:
    """What Chromium shows after the page has asked some times."""
    shown = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={folder}", "--virtual-time-budget=3000", "--dump-dom"),
            *(["--no-sandbox"] if os.getuid() == 0 else []),
            *(*options, f"http://127.0.0.1:{port}/"),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(folder)},
    )
    return shown.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing; the package chromium has it")
@pytest.mark.process
def test_a_browser_shows_the_loop_its_versions_and_whatever_text_comes(tmp_path: Path) -> None:
    with door(run_seen()) as port:
        page = Texts(browse(port, tmp_path))
    shown = page.by_id
    assert "all parts are there" in shown["state"]
    assert "301 accepted per s" in " ".join(shown["box-events"].split())
    assert "12 records behind" in " ".join(shown["box-worker"].split())
    assert "v29 is current" in " ".join(shown["box-weights"].split())
    assert "1 of 2" in shown["box-replicas"]
    assert "replica-cd34" in shown["replicas"]
    assert "first after the rollback from version 25" in shown["versions"]
    assert "unknown_type" in shown["reasons"]
    assert "held 1, rolled back 1" in shown["gate"]
    for place in ("versions", "held", "replicas"):
        assert HOSTILE in shown[place]
    assert "img" not in page.tags
    assert page.tags.count("polyline") == 6
    assert "bold running 9 1 of 2" in " ".join(shown["tracks"].split())
    assert page.tags.count("rect") > 100


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing; the package chromium has it")
@pytest.mark.process
def test_a_browser_shows_a_run_of_which_nothing_is_known_yet(tmp_path: Path) -> None:
    seen = Seen()
    seen.error = "the Kafka broker at 127.0.0.1:9 does not answer"
    with door(seen) as port:
        shown = Texts(browse(port, tmp_path)).by_id
    assert seen.error in shown["trouble"]
    assert "no stream worker, no trainer, no replica" in shown["state"]
    assert "no window has been trained yet" in shown["versions"]
    assert "undefined" not in "".join(shown.values())
    assert "NaN" not in "".join(shown.values())
