"""A catalogue beside replicas that run: loaded by the command, followed, and taken out of."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from everfresh.infra.cli.commands.items.load import LoadOptions, columns_of, run_load, run_remove
from tests.integration.serving_run import ServingRun, wait_until
from tests.serving.replica_in_memory import ITEMS

_IN_A_ROW = 40
"""Answers, so that either replica is among those that gave them."""


def assert_catalogue_is_obeyed(run: ServingRun, url: str, folder: Path) -> list[float]:
    """Load, filter, remove and bring back. Returns the seconds that removals took to be in the
    answers of all replicas, from when the command was done."""
    file = folder / "catalogue.csv"
    rows = [f"{item},{'even' if item % 2 == 0 else 'odd'}\n" for item in range(1, 31)]
    file.write_text("item_id,parity\n" + "".join(rows))

    def load() -> None:
        run_load(run.settings, file, {}, columns_of([], {}), LoadOptions())

    def answers(**rules: Any) -> list[dict[str, Any]]:
        body = {"user_id": "stranger", "k": 31, "rules": rules}
        with httpx.Client(base_url=url, timeout=240) as client:
            return [client.post("/v1/recommend", json=body).json() for _ in range(_IN_A_ROW)]

    def all_say(holds: Callable[[dict[str, Any]], bool], **rules: Any) -> Callable[[], bool]:
        return lambda: all(holds(each) for each in answers(**rules))

    load()
    even = {"filter": {"attribute": "parity", "equals": "even"}}
    evens = set(range(2, 31, 2))
    wait_until(all_say(lambda each: set(each["items"]) == evens, **even), "the catalogue")
    took = []
    for item in (4, "thirty-one"):
        run_remove(run.settings, [str(item)])
        done = time.monotonic()
        wait_until(all_say(lambda each, item=item: item not in each["items"]), "the removal")
        took.append(time.monotonic() - done)
    last = answers(**even)[0]
    assert set(last["items"]) == evens - {4}
    assert last["items_offset"] == 31
    load()  # what was removed is new again, and nothing else is written
    wait_until(all_say(lambda each: set(each["items"]) == {*ITEMS} - {"thirty-one"}), "its return")
    assert answers()[0]["items_offset"] == 32
    return took
