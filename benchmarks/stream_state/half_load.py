"""How old an event is when it can be read, at half of the load that the system can take.

Among the events, the producer sends probes: events of a few users of their own that carry the
moment they were made. For our worker a probe counts when :class:`RocksHistoryReader`, in another
process, shows it, as replicas read. The peers' state can be read in their own process alone, so for
them a probe counts as soon as the state was changed there, which is kind to them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import msgspec

from benchmarks.harness.processes import ROOT
from benchmarks.peers.environment import peers_python
from benchmarks.peers.job import PROBE_USERS
from benchmarks.stream_state.systems import OURS, Place, ours, peer
from benchmarks.stream_state.throughput import wait_for
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.state.reader import RocksHistoryReader
from everfresh.contracts.sequence import unpack_header

_SETTLE_S = 3.0
_LOOK_S = 0.005


class Freshness(msgspec.Struct, frozen=True):
    """Ages in ms at a load in events per second."""

    load: float
    probes: int
    p50_ms: float
    p99_ms: float


def half_load(name: str, place: Place, full: float, users: int, seconds: float) -> Freshness:
    """The ages of probes while the system takes half of ``full`` events per second."""
    load = full / 2
    watch = _watch_ours if name == OURS else _watch_peer
    ages = watch(name, place, lambda: _producing(place, load, users, seconds), seconds)
    ages.sort()
    return Freshness(load, len(ages), _quantile(ages, 0.5), _quantile(ages, 0.99))


@contextlib.contextmanager
def _producing(place: Place, load: float, users: int, seconds: float) -> Iterator[None]:
    events = round(load * (seconds + 2 * _SETTLE_S))
    command = [peers_python(), "-m", "benchmarks.peers.produce", place.bootstrap, place.topic]
    process = ChildProcess([*command, str(events), str(users), str(load)], cwd=ROOT)
    try:
        yield
    finally:
        process.stop(_SETTLE_S)


_Producing = Callable[[], contextlib.AbstractContextManager[None]]


def _watch_peer(name: str, place: Place, producing: _Producing, seconds: float) -> list[float]:
    with peer(name, place) as (_, progress, alive), producing():
        wait_for(lambda: bool(progress.ages_ms), alive, name)
        time.sleep(_SETTLE_S)
        first = len(progress.ages_ms)
        time.sleep(seconds)
        return progress.ages_ms[first:]


def _watch_ours(name: str, place: Place, producing: _Producing, seconds: float) -> list[float]:
    with ours(place) as (reader, alive):
        wait_for(lambda: len(reader.partitions()) > 0, alive, name)
        with producing():
            wait_for(lambda: reader.read(PROBE_USERS[0]) is not None, alive, name)
            newest = dict.fromkeys(PROBE_USERS, 0)
            _look(reader, newest, _SETTLE_S)
            return _look(reader, newest, seconds)


def _look(reader: RocksHistoryReader, newest: dict[int, int], seconds: float) -> list[float]:
    """The ages of probes that become readable; ``newest`` holds the last one's time by user."""
    ages: list[float] = []
    known: dict[int, int] = {}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for user, last in newest.items():
            stored = reader.stored(user)
            now = time.time() * 1000
            if stored is None or known.get(user) == unpack_header(stored.raw)[0]:
                continue  # decoded only where there is something new: looking takes CPU as well
            known[user] = unpack_header(stored.raw)[0]
            times = [seen.time for seen in stored.decode().history if seen.time > last]
            ages += [now - sent for sent in times]
            newest[user] = max(times, default=last)
        time.sleep(_LOOK_S)
    return ages


def _quantile(ages: list[float], share: float) -> float:
    return ages[min(len(ages) - 1, int(share * len(ages)))]
