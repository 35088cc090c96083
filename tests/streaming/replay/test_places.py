"""Which events of a replay the worker has read, and which of them it rejected."""

from __future__ import annotations

from everfresh.streaming.replay.places import EventPlaces


def places(*offsets: tuple[int, int]) -> EventPlaces:
    made = EventPlaces()
    for partition, offset in offsets:
        made.note(partition, offset)
    made.close()
    return made


def test_what_lies_below_the_applied_offsets_has_been_taken() -> None:
    sent = places((0, 3), (0, 4), (0, 9), (1, 0))
    assert len(sent) == 4
    assert sent.taken({}) == 0
    assert sent.taken({0: 9, 5: 100}) == 2
    assert sent.taken({0: 10, 1: 1}) == 4


def test_a_rejection_counts_once_and_only_for_an_event_of_the_replay() -> None:
    sent = places((0, 9), (0, 3), (1, 0))  # acknowledged in any order
    for partition, offset in [(0, 3), (0, 3), (0, 4), (0, 10), (1, 1), (7, 0), (1, 0)]:
        sent.reject(partition, offset, "duplicate_id")
    sent.reject(0, 9, "unknown_type")
    assert sent.reasons == {"duplicate_id": 2, "unknown_type": 1}
