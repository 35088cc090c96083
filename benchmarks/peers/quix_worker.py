"""Quix Streams: stateful dataframe, RocksDB state, changelog, default commit interval."""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application, State

from benchmarks.peers.job import Progress, append


def main(bootstrap: str, topic: str, state_dir: str) -> None:
    """Fold until stopped."""
    progress = Progress()
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-peer-{topic}",
        auto_offset_reset="earliest",
        state_dir=state_dir,
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(topic, value_deserializer="json"))

    def fold(event: dict[str, Any], state: State) -> None:
        old = state.get_bytes("h")
        state.set_bytes("h", append(old, event["item_id"], event["time"], 0))
        progress.note(event["user_id"], event["time"])

    frame.update(fold, stateful=True)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:4])
