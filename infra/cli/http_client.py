"""Asks serving for recommendations over HTTP, as an application would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from everfresh.adapters.machine import endpoint_record
from everfresh.contracts.errors import RunError
from everfresh.contracts.event import UserId

_FIELDS = {"user_id", "items", "scores", "version", "source"}


def serving_url(home: Path) -> str | None:
    """Where the run in this home answers, without a slash at the end; ``None`` until it does."""
    return endpoint_record.endpoint_url(home)


def require_serving_url(home: Path) -> str:
    """As above; ``RunError`` where nothing is up."""
    url = serving_url(home)
    if url is None:
        raise RunError(
            f"nothing is up in {home} that could answer; start it with `everfresh up`, or name the "
            "folder of another run with --home"
        )
    return url


def client(base_url: str = "", timeout_s: float = 5.0) -> httpx.Client:
    """A client of serving, which is on this machine: no proxy and nothing else of the environment
    stands between. A context manager."""
    return httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=False)


def ask(
    client: httpx.Client,
    user: UserId,
    k: int,
    *,
    exclude_seen: bool,
    attributes: Sequence[str] = (),
) -> dict[str, Any]:
    """One ``POST /v1/recommend``, which is to tell ``attributes`` of the items.

    ``RunError`` with the server's words unless it answers 200.
    """
    body = {"user_id": user, "k": k, "exclude_seen": exclude_seen, "attributes": [*attributes]}
    try:
        response = client.post("/v1/recommend", json=body)
    except httpx.HTTPError as error:
        raise RunError(
            f"the recommender at {client.base_url} does not answer ({error}); look at "
            "`everfresh status`"
        ) from None
    if response.status_code != 200:
        raise RunError(f"the recommender answered {response.status_code}: {_problem(response)}")
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not answer.keys() >= _FIELDS:
        raise RunError(
            f"what answers at {client.base_url} is not everfresh: {response.text[:200]!r}; look at "
            "`everfresh status`"
        )
    return answer


def _problem(response: httpx.Response) -> str:
    """The text of an RFC 9457 problem document, or the body's beginning."""
    try:
        problem = response.json()
    except ValueError:
        return response.text[:200]
    if not isinstance(problem, dict):
        return str(problem)[:200]
    return str(problem.get("detail") or problem.get("title") or problem)[:400]
