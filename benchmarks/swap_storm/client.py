"""The client: sends requests at a constant rate and keeps every answer.

``python -m benchmarks.swap_storm.client URL OPTIONS`` runs it.

Open loop: a request is due at its time whether or not earlier ones have returned, and its latency
counts from then, so that a pause is not hidden by waiting politely. Nothing is tried twice.

Beside these there are connections that are kept, as a client's pool keeps them: each asks once
whenever the file ``wake`` is written anew, and is idle in between.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import aiohttp
import msgspec


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """One request: when it was due (monotonic s), what it took from then, and what came back."""

    due: float
    seconds: float
    user: int
    version: int
    items: list[int]
    scores: list[float]
    failure: str
    kept: bool = False


class _Body(msgspec.Struct):
    version: int
    items: list[int]
    scores: list[float]


async def ask(
    session: aiohttp.ClientSession, url: str, user: int, due: float, k: int, *, kept: bool = False
) -> Answer:
    """One request."""
    failure, body = "", _Body(0, [], [])
    try:
        async with session.post(
            url, json={"user_id": user, "k": k, "exclude_seen": False}
        ) as response:
            raw = await response.read()
        if response.status == 200:
            body = msgspec.json.decode(raw, type=_Body)
        else:
            failure = f"{response.status}: {raw[:200]!r}"
    except (aiohttp.ClientError, TimeoutError) as error:
        failure = repr(error)
    took = time.monotonic() - due
    return Answer(due, took, user, body.version, body.items, body.scores, failure, kept)


class Kept:
    """The connections that are kept, one in each session."""

    def __init__(self, options: argparse.Namespace, url: str) -> None:
        self._options = options
        self._url = url
        self._woken = ""
        self._sessions = [session(1, options.patience) for _ in range(options.kept)]

    def asked(self, due: float) -> list[asyncio.Task[Answer]]:
        """A request on each if ``wake`` was written since the last look, else none."""
        wake = self._options.wake
        said = wake.read_text() if wake.exists() else ""
        if said == self._woken:
            return []
        self._woken = said
        return [
            asyncio.create_task(ask(one, self._url, user, due, self._options.k, kept=True))
            for user, one in enumerate(self._sessions)
        ]

    async def close(self) -> None:
        """Close them all."""
        for one in self._sessions:
            await one.close()


def session(connections: int, patience_s: float) -> aiohttp.ClientSession:
    """A session of at most so many connections, each kept for as long as the other side does.

    A request that is not answered within ``patience_s`` has failed.
    """
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=600.0)
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=patience_s), connector=connector
    )


async def run(options: argparse.Namespace) -> None:
    """Until the file ``stop`` is there; answers go to ``out``, one JSON line each."""
    encode = msgspec.json.Encoder().encode_lines
    pending: set[asyncio.Task[Answer]] = set()
    url, number = f"{options.url}/v1/recommend", 0
    kept = Kept(options, url)
    with options.out.open("ab", buffering=0) as out:
        async with session(options.connections, options.patience) as busy:
            due = time.monotonic()
            while not options.stop.exists():
                due += 1.0 / options.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                user, number = number % options.users, number + 1
                pending.add(asyncio.create_task(ask(busy, url, user, due, options.k)))
                pending.update(kept.asked(due))
                done = {task for task in pending if task.done()}
                pending -= done
                out.write(encode([task.result() for task in done]))
            out.write(encode(await asyncio.gather(*pending)))
    await kept.close()


def main() -> None:
    """Read the options and send requests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stop", type=Path, required=True)
    parser.add_argument("--wake", type=Path, required=True)
    parser.add_argument("--kept", type=int, default=16)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--patience", type=float, default=10.0)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--k", type=int, default=10)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
