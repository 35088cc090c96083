"""What a follower says to those who wait for its state."""

from __future__ import annotations

from everfresh.streaming.follower import READY_LINE
from everfresh.streaming.follower.opening import progress


def test_it_tells_how_far_the_state_is_and_why_a_partition_waits() -> None:
    assert progress(0, 8, 0, {}) == "the state of 0 of 8 partitions is here"
    assert progress(3, 8, 35_240_000, {}) == (
        "the state of 3 of 8 partitions is here; 35.2 MB of snapshots are still to come"
    )
    assert progress(3, 8, 0, {7: "later", 5: "no snapshot"}) == (
        "the state of 3 of 8 partitions is here; partition 5 waits: no snapshot"
    )
    assert progress(8, 8, 0, {}) == READY_LINE
