"""A plain Faust table: rocksdb:// through rocksdict, changelog, one event at a time."""

from __future__ import annotations

import sys

import faust
import msgspec

from benchmarks.peers.job import Progress, append


class _Event(msgspec.Struct):
    user_id: int
    item_id: int
    time: int


def main(bootstrap: str, topic: str, state_dir: str) -> None:
    """Fold until stopped."""
    progress = Progress()
    decode = msgspec.json.Decoder(_Event).decode
    app = faust.App(
        f"faust-peer-{topic}",
        broker=f"aiokafka://{bootstrap}",
        store="rocksdb://?driver=rocksdict",
        datadir=state_dir,
        topic_partitions=4,
        topic_replication_factor=1,
        web_enabled=False,
        producer_acks=1,
    )
    table = app.Table("h", key_type=bytes, value_type=bytes, partitions=4)
    table.key_serializer = table.value_serializer = "raw"

    @app.agent(app.topic(topic, value_type=bytes, key_type=bytes, value_serializer="raw"))
    async def fold(stream: faust.StreamT[bytes]) -> None:
        async for raw in stream:
            event = decode(raw)
            key = b"%d" % event.user_id
            table[key] = append(table.get(key), event.item_id, event.time, 0)
            progress.note(event.user_id, event.time)

    app.worker_init()
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:4])
