"""Events of a few made-up users, as a file would have them."""

from __future__ import annotations

from everfresh.contracts.event import Event


def event(number: int, user: int, item: int) -> Event:
    return Event(f"e{number}", "click", 1_000 * number, user, item)


def stream(number: int) -> list[Event]:
    """Four users who walk up the items, each from another place."""
    return [event(n, n % 4, (n // 4 + 3 * (n % 4)) % 12) for n in range(number)]
