"""Requests to the app go the short way through a replica of Serve, all else the whole."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everfresh.serving.ray.short_path import short_way

ROOT = Path(__file__).parents[3]


class Serve:
    """What the short way asks of Serve's replica."""

    def __init__(
        self, prefix: str | None = "/", *, fails: bool = False, apart: bool = False
    ) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.ongoing = 0
        self.fails = fails
        self._route_prefix = prefix
        self._metrics_manager = self
        self._user_callable_wrapper = self
        self._run_user_code_in_separate_thread = apart

    def inc_num_ongoing_requests(self, request: Any) -> None:
        assert (request.is_direct_ingress, request.protocol) == (True, "HTTP")
        self.ongoing += 1

    def dec_num_ongoing_requests(self, request: Any) -> None:
        self.ongoing -= 1

    async def _user_callable_asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(("app", scope["root_path"], self.ongoing))
        if self.fails:
            raise RuntimeError("in the app")

    async def whole(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(("whole", scope["root_path"], self.ongoing))


def ask(serve: Serve, path: str, kind: str = "http", root: str = "") -> tuple[str, str, int]:
    scope = {"type": kind, "path": root + path, "root_path": root}
    asyncio.run(short_way(Serve.whole, "HTTP")(serve, scope, None, None))
    return serve.seen[-1]


def test_a_request_to_the_app_is_counted_and_handed_on() -> None:
    serve = Serve()
    assert ask(serve, "/v1/recommend") == ("app", "", 1)
    assert ask(serve, "/nowhere") == ("app", "", 1), "the app says so"
    assert serve.ongoing == 0


def test_behind_a_prefix_the_app_is_told_of_it_as_its_root() -> None:
    serve = Serve("/shop")
    assert ask(serve, "/shop/v1/recommend") == ("app", "/shop", 1)
    assert ask(serve, "/shop/v1/recommend", root="/front") == ("app", "/front/shop", 1)
    assert ask(serve, "/v1/recommend") == ("whole", "", 0)


@pytest.mark.parametrize("path", ["/-/healthz", "/-/routes"])
def test_what_serve_answers_itself_goes_the_whole_way(path: str) -> None:
    assert ask(Serve(), path) == ("whole", "", 0)
    assert ask(Serve("/shop"), path, root="/front") == ("whole", "/front", 0)


def test_so_does_all_where_the_app_has_an_event_loop_of_its_own() -> None:
    """A cluster of others may say so: on Serve's own loop the app would not be alone."""
    assert ask(Serve(apart=True), "/v1/recommend") == ("whole", "", 0)


def test_so_does_what_is_no_request() -> None:
    assert ask(Serve(), "/v1/recommend", "websocket") == ("whole", "", 0)


def test_a_request_that_fails_is_counted_no_more() -> None:
    serve = Serve(fails=True)
    with pytest.raises(RuntimeError, match="in the app"):
        ask(serve, "/v1/recommend")
    assert serve.ongoing == 0


# In a process of its own: what is patched stays patched.
SCRIPT = """
import inspect
from ray.serve._private import replica
from everfresh.serving.ray import short_path

ours = replica.Replica
assert "self._direct_ingress_asgi," in inspect.getsource(ours), "looked up when a door is opened"
whole = inspect.getsource(ours._direct_ingress_asgi)
assert '["/-/healthz", "/-/routes"]' in whole
assert "get_num_ongoing_requests" in inspect.getsource(ours._drain_ongoing_requests)
names = replica.ReplicaMetricsManager
assert names.inc_num_ongoing_requests and names.dec_num_ongoing_requests
assert "_run_user_code_in_separate_thread" in inspect.getsource(replica.UserCallableWrapper)
for name in ("_route_prefix", "_metrics_manager", "_user_callable_asgi_app"):
    assert f"self.{name}" in inspect.getsource(ours.__init__), name
for _ in range(2):
    short_path.shorten_requests()
    assert ours._direct_ingress_asgi.__module__ == short_path.__name__
assert ours._direct_ingress_asgi.__closure__
wrapped = [cell.cell_contents for cell in ours._direct_ingress_asgi.__closure__]
assert not any(getattr(each, "__module__", "") == short_path.__name__ for each in wrapped)
"""


@pytest.mark.process
def test_serves_replica_has_the_parts_that_the_short_way_uses() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
