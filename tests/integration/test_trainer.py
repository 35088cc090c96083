from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import torch
from kafka import KafkaProducer

from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import accepts_connections, parse_address
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.manifest import Pointer
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import RaySettings, Settings
from everfresh.contracts.topics import STATUS, WINDOWS, topic_name
from everfresh.contracts.window import encode_slice_record
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.components import settings_environment
from everfresh.infra.ray_head import RayHead, prepare_head, remove_temporary_folder
from everfresh.trainer.checkpoint import load_recommender
from tests.trainer.bench import Bench, content
from tests.trainer.logs import Log, make_log
from tests.trainer.small_settings import SMALL

pytestmark = pytest.mark.integration

LABELS = list(range(10, 34, 2))


class Cluster:
    """A Ray of this module's own."""

    def __init__(self, started: RayHead, process: ChildProcess) -> None:
        self.address = started.address
        self.environment = started.driver_environment
        self._process = process

    def trainers(self) -> list[psutil.Process]:
        """Live processes that hold a trainer actor."""
        return self._holders("TrainerActor")

    def workers(self) -> list[psutil.Process]:
        """Live processes that train beside it."""
        return self._holders("TrainingWorker")

    def _holders(self, name: str) -> list[psutil.Process]:
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [child for child in children if name in _title(child)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    run_id = uuid.uuid4().hex
    started = prepare_head(run_id, RaySettings())
    process = ChildProcess(
        started.spec.argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # By default Ray's workers yield to everything else, which on a busy machine takes minutes.
        env={**os.environ, **started.spec.env, "RAY_worker_niceness": "0"},
    )
    try:
        wait_until(
            lambda: accepts_connections(*parse_address(started.address, "ray.address")),
            "Ray's head",
        )
        yield Cluster(started, process)
    finally:
        process.stop(5.0)
        remove_temporary_folder(run_id)


@pytest.fixture
def settings(
    kafka: EmbeddedBroker, cluster: Cluster, make_settings: Callable[..., Settings]
) -> Settings:
    made = make_settings(
        kafka={"bootstrap_servers": kafka.bootstrap_servers, "partitions": 2},
        ray={"address": cluster.address},
        **SMALL,
    )
    ensure_topics(Brokers(kafka.bootstrap_servers), made)
    return made


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "driver.out"


@pytest.fixture
def start_driver(
    settings: Settings, cluster: Cluster, output: Path
) -> Iterator[Callable[..., ChildProcess]]:
    """Starts ``python -m everfresh.trainer``; ends it after the test, however that went."""
    drivers: list[ChildProcess] = []

    def start(by: Settings = settings) -> ChildProcess:
        environment = {**os.environ, **cluster.environment, **settings_environment(by)}
        command = [sys.executable, "-m", "everfresh.trainer"]
        with output.open("ab") as file:
            drivers.append(ChildProcess(command, stdout=file, env=environment))
        return drivers[-1]

    yield start
    for driver in drivers:
        if driver.poll() is None:
            driver.stop(5.0)


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.05)


def write(settings: Settings, log: Log, begin: float, end: float) -> None:
    """Write this share of every partition's records to the real topic."""
    topic = topic_name(settings.kafka.topic_prefix, WINDOWS)
    producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, acks="all")
    for partition, records in log.items():
        for record in records[int(begin * len(records)) : int(end * len(records))]:
            producer.send(topic, encode_slice_record(record), partition=partition)
    producer.flush()
    producer.close()


def live(store: FsspecWeightStore) -> int:
    pointer = store.pointer()
    return pointer.version if pointer else 0


def test_kill_9_of_the_training_process_midway_changes_no_version(
    settings: Settings, cluster: Cluster, start_driver: Callable[[], ChildProcess]
) -> None:
    torch.set_num_threads(1)
    log = make_log(2, LABELS)
    expected = Bench(log, settings)
    expected.run()
    store, tracks = FsspecWeightStore(settings.weights_url), FsspecTracks(settings)
    tracks.declare(Track(name="again", started=1, changed=1))
    again = tracks.store("again")
    write(settings, log, 0.0, 0.5)
    start_driver()
    wait_until(lambda: live(store) >= 3, "version 3")
    victims = cluster.trainers()
    assert len(victims) == 1
    victims[0].send_signal(signal.SIGKILL)
    write(settings, log, 0.5, 1.0)
    wait_until(lambda: live(store) == len(LABELS), "the last version")
    assert store.pointer() == Pointer(1, len(LABELS))
    contents = [content(store.manifest(version)) for version in store.versions()]
    assert contents == expected.versions()
    # A track with equal settings is trained beside it, and has the same versions, bit by bit.
    wait_until(lambda: live(again) == len(LABELS), "the last version of the track")
    assert [content(again.manifest(version)) for version in again.versions()] == contents
    assert [process.pid for process in cluster.trainers()] != [victims[0].pid]


def test_tracks_beside_each_other_have_processes_of_their_own_and_equal_versions(
    settings: Settings, cluster: Cluster, start_driver: Callable[..., ChildProcess]
) -> None:
    torch.set_num_threads(1)
    log = make_log(2, LABELS)
    tracks, again = FsspecTracks(settings), Track(name="again", started=1, changed=1)
    tracks.declare(again)
    stores = [FsspecWeightStore(settings.weights_url), tracks.store("again")]
    write(settings, log, 0.0, 0.5)
    tuning = settings.trainer.model_copy(update={"beside": True})
    driver = start_driver(settings.model_copy(update={"trainer": tuning}))
    wait_until(lambda: min(map(live, stores)) >= 2, "version 2 of both")
    victims = cluster.trainers()
    assert len(victims) == 2
    for victim in victims:
        victim.send_signal(signal.SIGKILL)
    write(settings, log, 0.5, 1.0)
    wait_until(lambda: min(map(live, stores)) == len(LABELS), "the last version of both")
    one, other = ([content(each.manifest(at)) for at in each.versions()] for each in stores)
    assert one == other
    tracks.declare(msgspec.structs.replace(again, state="ended"))
    wait_until(lambda: len(cluster.trainers()) == 1, "the end of the track's process")
    assert driver.stop(120.0) == 0
    wait_until(lambda: not cluster.trainers(), "the end of the other")


def failing(settings: Settings, track: str) -> str:
    """Why the newest status of a track says that it stands still."""
    kafka = settings.kafka
    with RecordTail(Brokers(kafka.bootstrap_servers), kafka.topic_prefix, [STATUS]) as tail:
        said = [each for each in tail.read_to_end() if isinstance(each, ComponentStatus)]
    words = [each.figures["failed"] for each in said if each.component == f"track-{track}"]
    return words[-1] if words else ""


def test_why_a_tracks_process_cannot_start_is_in_its_status_and_once_in_the_log(
    settings: Settings, cluster: Cluster, start_driver: Callable[..., ChildProcess]
) -> None:
    log_file = settings.home / "logs" / "trainer-actor-again.log"
    log_file.mkdir(parents=True)  # where the process wants to write
    tracks = FsspecTracks(settings)
    tracks.declare(Track(name="again", started=1, changed=1))
    write(settings, make_log(2, LABELS), 0.0, 0.25)
    tuning = settings.trainer.model_copy(update={"beside": True})
    driver = start_driver(settings.model_copy(update={"trainer": tuning}))
    cause = f"the process of track again cannot be started: .*{log_file} cannot .*mend"
    wait_until(lambda: bool(re.search(cause, failing(settings, "again"))), "the cause")
    log_file.rmdir()
    wait_until(lambda: live(tracks.store("again")) >= 1, "a version of the track")
    wait_until(lambda: not failing(settings, "again"), "the end of the cause")
    said = (settings.home / "logs" / "trainer.log").read_text()
    assert len(re.findall(cause, said)) == 1, said
    assert driver.stop(120.0) == 0


@pytest.fixture
def two_workers(settings: Settings) -> Settings:
    """Without dropout, whose masks are each worker's own."""
    model = settings.model.model_copy(update={"dropout": 0.0})
    tuning = settings.trainer.model_copy(update={"workers": 2})
    return settings.model_copy(update={"model": model, "trainer": tuning})


def test_two_workers_train_what_one_does_and_a_lost_one_is_replaced(
    two_workers: Settings, cluster: Cluster, start_driver: Callable[..., ChildProcess]
) -> None:
    torch.set_num_threads(1)
    log = make_log(2, LABELS)
    expected = Bench(log, two_workers)
    expected.run()
    store = FsspecWeightStore(two_workers.weights_url)
    write(two_workers, log, 0.0, 0.5)
    driver = start_driver(two_workers)
    wait_until(lambda: live(store) >= 3, "version 3")
    (victim,) = cluster.workers()
    victim.send_signal(signal.SIGKILL)
    write(two_workers, log, 0.5, 1.0)
    wait_until(lambda: live(store) == len(LABELS), "the last version")
    assert [process.pid for process in cluster.workers()] not in ([], [victim.pid])
    driver.stop(5.0)
    assert store.pointer() == Pointer(1, len(LABELS))
    for version in store.versions():
        mine = load_recommender(store, store.manifest(version)).parameters()
        theirs = load_recommender(expected.store, expected.store.manifest(version)).parameters()
        for ours, reference in zip(mine, theirs, strict=True):
            torch.testing.assert_close(ours, reference, rtol=2e-2, atol=2e-3)


def test_sigterm_ends_the_driver_with_0_and_leaves_no_actor(
    settings: Settings,
    cluster: Cluster,
    start_driver: Callable[[], ChildProcess],
    output: Path,
) -> None:
    log = make_log(2, LABELS)
    store = FsspecWeightStore(settings.weights_url)
    write(settings, log, 0.0, 0.25)
    driver = start_driver()
    wait_until(lambda: live(store) >= 1, "version 1")
    wait_until(lambda: output.stat().st_size > 0, "the driver's first line")
    assert driver.stop(120.0) == 0
    wait_until(lambda: not cluster.trainers(), "the actor's end")
    first, last = output.read_text().splitlines()
    assert first.startswith("trainer: training, at version ")
    assert last == f"trainer: stopped at version {live(store)}"


def test_a_killed_driver_takes_its_actor_with_it_and_the_next_one_goes_on(
    settings: Settings, cluster: Cluster, start_driver: Callable[[], ChildProcess]
) -> None:
    log = make_log(2, LABELS)
    store = FsspecWeightStore(settings.weights_url)
    write(settings, log, 0.0, 0.25)
    driver = start_driver()
    wait_until(lambda: live(store) >= 1, "version 1")
    os.kill(driver.pid, signal.SIGKILL)
    write(settings, log, 0.25, 1.0)
    start_driver()
    wait_until(lambda: live(store) == len(LABELS), "the last version")
    assert len(cluster.trainers()) == 1


def test_a_failure_of_the_trainer_is_one_line_and_exit_code_1(
    settings: Settings, cluster: Cluster
) -> None:
    log = make_log(2, LABELS)
    log[0] = [record for record in log[0] if record.label != LABELS[4]]
    write(settings, log, 0.0, 1.0)
    environment = {**os.environ, **cluster.environment, **settings_environment(settings)}
    ended = subprocess.run(
        [sys.executable, "-m", "everfresh.trainer"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=900,
    )
    assert ended.returncode == 1
    lines = ended.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: windows partition 0, label 20: expected a slice from")


def test_an_address_where_no_ray_answers_is_one_line_and_exit_code_1(
    kafka: EmbeddedBroker, make_settings: Callable[..., Settings]
) -> None:
    brokers = {"bootstrap_servers": kafka.bootstrap_servers}
    settings = make_settings(ray={"address": "127.0.0.1:1"}, kafka=brokers)
    ended = subprocess.run(
        [sys.executable, "-m", "everfresh.trainer"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **settings_environment(settings)},
        timeout=900,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0].startswith("error: no Ray cluster answers at 127.0.0.1:1")
    assert len(ended.stderr.splitlines()) == 1
