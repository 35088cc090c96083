"""How much disk a backfill says it needs, beside what the fold's own windows take."""

from __future__ import annotations

from everfresh.contracts.event import Event
from everfresh.contracts.window import encode_slice_record
from everfresh.streaming.replay.sizes import needed
from everfresh.streaming.state.store import MemoryStore
from tests.streaming.sample_log import START_MS, accepted, delivered, opened, rules, slices

HISTORY, WINDOW = 20, 500


def test_windows_need_about_what_the_worker_writes() -> None:
    users = [(number * 7919) % 601 for number in range(5000)]
    events = [Event(f"e{n}", "view", n, user, n % 50, n / 2) for n, user in enumerate(users)]
    by = rules(history_events=WINDOW, history_length=HISTORY, stretch_events=10_000, max_targets=99)
    partition = opened(MemoryStore(), by)
    log = [accepted(n, user, n % 50, START_MS, ago_ms=10**8) for n, user in enumerate(users)]
    partition.apply(log)
    written = sum(
        len(encode_slice_record(record))
        for closed, parts in slices(delivered(partition))
        for record in [closed, *parts]
    )
    said = needed(events, len(events), WINDOW, HISTORY)
    assert 0.6 * written < said.windows < 1.8 * written


def test_only_what_is_sent_counts_and_states_hold_no_more_than_a_history() -> None:
    events = [Event(f"e{n}", "view", n, n % 64, n) for n in range(6400)]
    whole, part = (needed(events, number, WINDOW, HISTORY) for number in (6400, 640))
    assert abs(whole.events - 10 * part.events) <= 10
    # 64 users with 10 events each, and with 100, of which 20 are kept; one in sixteen is counted.
    assert whole.state == 2 * part.state
