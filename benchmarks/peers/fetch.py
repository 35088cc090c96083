"""The limit: aiokafka fetches and nothing is done with the records."""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer

from benchmarks.peers.job import Progress


async def _run(bootstrap: str, topic: str) -> None:
    progress = Progress()
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"fetch-peer-{topic}",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        while True:
            fetched = await consumer.getmany(timeout_ms=100)
            progress.events += sum(len(records) for records in fetched.values())
    finally:
        await consumer.stop()


def main(bootstrap: str, topic: str, state_dir: str) -> None:
    """Fetch until stopped; there is no state."""
    asyncio.run(_run(bootstrap, topic))


if __name__ == "__main__":
    main(*sys.argv[1:4])
