"""Requests to a replica's door without a socket between."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from everfresh.contracts.settings import ExperimentSettings, ItemSettings, ServingSettings, Settings
from everfresh.serving.http.app import HttpApp
from everfresh.serving.metrics import Measure, nobody
from everfresh.serving.requests.admission import Admission
from tests.serving.replica_in_memory import Bench

TOKEN = "let-me-in"
SERVING = ServingSettings(
    max_k=20, max_items=40, max_events=3, max_body_bytes=4_096, admin_token=TOKEN
)


class Client:
    """The door of a bench's replica, and whoever asks there."""

    def __init__(
        self,
        bench: Bench,
        serving: ServingSettings = SERVING,
        measure: Measure = nobody,
        experiments: ExperimentSettings | None = None,
        items: ItemSettings | None = None,
    ) -> None:
        self.admission = Admission(serving.max_ongoing, serving.timeout_ms, bench.clock)
        settings = Settings(
            serving=serving,
            experiments=experiments or ExperimentSettings(),
            items=items or ItemSettings(),
        )
        self.app = HttpApp(
            bench.replica, self.admission, bench.clock, settings, measure, bench.spans
        )
        root = "" if serving.route_prefix == "/" else serving.route_prefix
        self._transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, root_path=root)

    def get(self, path: str, **content: Any) -> httpx.Response:
        return self._ask("GET", path, **content)

    def head(self, path: str) -> httpx.Response:
        return self._ask("HEAD", path)

    def post(self, path: str, **content: Any) -> httpx.Response:
        return self._ask("POST", path, **content)

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://a") as client:
                return await client.request(method, path, **content)

        return asyncio.run(ask())


def assert_problem(response: Any, status: int, kind: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == f"urn:everfresh:problem:{kind}"
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in response.text
    return body
