"""Steady background requests for recommendations, so that a failure in a swap shows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from everfresh.infra.cli.http_client import client
from everfresh.infra.cli.views.freshness import weighted_quantile

_TIMEOUT_S = 30.0


class BackgroundRequests:
    """Asks for users drawn from ``users()`` at about ``per_s`` requests per second, in a thread.

    Everything but a 200 counts as failed. ``url`` is called for every request: serving that was
    started again may have another port. ``on_answer`` gets each answer, in the same thread. A slow
    answer shows in the times; one that takes longer than ``timeout_s`` has failed.
    """

    def __init__(
        self,
        url: Callable[[], str | None],
        users: Callable[[], Sequence[int | str]],
        per_s: float,
        on_answer: Callable[[Mapping[str, Any]], None] = lambda answer: None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._on_answer = on_answer
        self._users = users
        self._pause_s = 1.0 / per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
        self._took_ms: list[float] = []
        self.failed = 0
        self.last_failure = ""

    @property
    def sent(self) -> int:
        """Requests so far, failed ones among them."""
        return len(self._took_ms)

    def took_ms(self, share: float) -> float | None:
        """A quantile of the times that requests took."""
        return weighted_quantile(((ms, 1.0) for ms in list(self._took_ms)), share)

    def start(self) -> None:
        """Begin, once; harmless when it has begun."""
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End, after the request that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._timeout_s + 1.0)

    def _run(self) -> None:
        chance = random.Random(1)  # the users asked for need be spread, not secret
        with client(timeout_s=self._timeout_s) as connection:
            due = time.monotonic()
            while not self._stop.is_set():
                if users := self._users():
                    self._ask(connection, chance.choice(users))
                due = max(due + self._pause_s, time.monotonic())
                self._stop.wait(max(0.0, due - time.monotonic()))

    def _ask(self, connection: httpx.Client, user: int | str) -> None:
        began = time.monotonic()
        given = None
        body = {"user_id": user, "k": 10, "exclude_seen": True}
        try:
            answer = connection.post(f"{self._url()}/v1/recommend", json=body)
            if answer.status_code != 200:
                self._fail(f"status {answer.status_code}: {answer.text[:200]}")
            else:
                given = answer.json()
        except httpx.HTTPError as error:
            self._fail(repr(error))
        self._took_ms.append((time.monotonic() - began) * 1000)
        if given is not None:
            self._on_answer(given)

    def _fail(self, why: str) -> None:
        self.failed += 1
        self.last_failure = why
