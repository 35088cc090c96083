"""Serving on a real Ray with its HAProxy, a real broker and RocksDB."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.experiments.assignment import Assignments
from everfresh.contracts.experiments.definition import Arm
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.topics import EXPOSURES, STATUS
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.model.recommender import Recommender
from tests.contracts.experiments.definitions import define
from tests.integration.serving_catalogue import assert_catalogue_is_obeyed
from tests.integration.serving_doors import (
    assert_every_door_answers,
    assert_replicas_refuse_long_messages,
)
from tests.integration.serving_run import (
    HISTORY,
    OFFSET,
    STOP_SECONDS,
    USER,
    ServingRun,
    outside,
    serving_run,
    wait_until,
)
from tests.serving.replica_in_memory import publish

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def run(kafka: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingRun]:
    with serving_run(kafka, tmp_path_factory.mktemp("home")) as made:
        yield made


def ask(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/recommend", json={"user_id": USER, "k": 5, **body})


def keeping(url: str) -> httpx.Client:
    """A client that keeps its connection for as long as the door does."""
    return httpx.Client(base_url=url, timeout=240, limits=httpx.Limits(keepalive_expiry=None))


def recomputed(version: Recommender, user: object) -> tuple[list[Any], list[float]]:
    if user != USER:
        return version.recommend([], 5)
    history = [Interaction(item, "view", at) for at, item in enumerate(HISTORY)]
    return version.recommend(history, 5, HISTORY)


class Client(threading.Thread):
    """Asks without a pause and keeps every answer."""

    def __init__(self, url: str, user: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.user = user
        self.done = threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=240) as client:
            while not self.done.is_set():
                try:
                    response = ask(client, user_id=self.user)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if response.status_code == 200:
                    said = response.json()
                    said["replica"] = response.headers["x-everfresh-replica"]
                    self.answers.append(said)
                else:
                    self.failures.append(response.text)


def answered(clients: list[Client], version: int) -> bool:
    """Whether each client's newest answer came from this version or a later one."""
    return all(client.answers and client.answers[-1]["version"] >= version for client in clients)


def start_experiment(run: ServingRun) -> None:
    kafka = run.settings.kafka
    with KafkaDefinitionLog(Brokers(kafka.bootstrap_servers), kafka.topic_prefix) as log:
        assert log.write("green", define()) == 0


def in_experiment(clients: list[Client]) -> bool:
    """Whether the last answers of each client, from either replica, name the user's arm."""
    arms = Assignments([(0, define())])
    for client in clients:
        last = client.answers[-40:]
        expected = arms.assign(client.user)
        told = {(each["experiment"], each["arm"], each["definition_version"]) for each in last}
        if told != {("green", expected.arm, 0)} or len({each["replica"] for each in last}) < 2:
            return False
    return True


def test_a_swap_restarts_nothing_drops_nothing_and_mixes_nothing(
    run: ServingRun, tmp_path: Path
) -> None:
    driver = run.start()
    try:
        url = run.url()
        with httpx.Client(base_url=url, timeout=240) as client:
            early = ask(client)
            assert early.status_code == 503
            assert early.headers["content-type"] == "application/problem+json"
            assert "retry-after" in early.headers
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
            versions = {1: publish(run.store, 1)}
            wait_until(lambda: both_have(run, 1), "version 1 on both replicas")
            before, replicas = run.settled(), set(run.titled("ServeReplica"))
            assert len(replicas) == 2

            clients = [Client(url, user) for user in (USER, "stranger", USER)]
            for asker in clients:
                asker.start()
            wait_until(partial(answered, clients, 1), "an answer of version 1 for everyone")
            for version in range(2, 8):
                versions[version] = publish(run.store, version)
                wait_until(partial(both_have, run, version), f"version {version}")
                wait_until(partial(answered, clients, version), f"answers of version {version}")
            start_experiment(run)
            wait_until(partial(in_experiment, clients), "answers of the experiment")
            for asker in clients:
                asker.done.set()
            for asker in clients:
                asker.join()
            assert_an_arm_is_answered_by_its_own_track(run, client)

        given = [answer for asker in clients for answer in asker.answers]
        assert [failure for asker in clients for failure in asker.failures] == []
        assert set(Counter(answer["version"] for answer in given)) == set(versions)
        assert len({answer["replica"] for answer in given}) == 2
        # Nothing was started; what may end is a Ray worker without work, or a former HAProxy.
        assert set(run.processes()) <= before
        assert set(run.titled("ServeReplica")) == replicas
        # Replicas look once a second here, so most versions came by push.
        statuses = replica_statuses(run).values()
        assert all(status.figures["pushed_files"] >= 4 for status in statuses)
        for answer in given:
            items, scores = recomputed(versions[answer["version"]], answer["user_id"])
            assert answer["items"] == items
            assert np.allclose(answer["scores"], scores, atol=1e-4)
            known = answer["user_id"] == USER
            assert answer["source"] == ("model" if known else "popular")
            assert answer["state_offset"] == (OFFSET if known else None)
            assert (answer["note"] is None) == known
        assert outside(run.processes()) == []
        assert outside([psutil.Process(driver.pid)]) == []
        assert_exposed(run, given)
        assert_catalogue_is_obeyed(run, url, tmp_path)
    finally:
        status = driver.stop(STOP_SECONDS)
    assert status == 0, run.output.read_text()
    assert not (run.settings.home / "run" / "serving.json").exists()
    assert not run.titled("haproxy")


def assert_an_arm_is_answered_by_its_own_track(run: ServingRun, client: httpx.Client) -> None:
    """A track that is started while replicas run answers for the arms that name it."""
    tracks, kafka = FsspecTracks(run.settings), run.settings.kafka
    fast = publish(tracks.store("fast"), 1)
    tracks.declare(Track(name="fast", started=1, changed=1))
    arms = [Arm("control", 0.5, "fast"), Arm("treatment", 0.5, "fast")]
    with KafkaDefinitionLog(Brokers(kafka.bootstrap_servers), kafka.topic_prefix) as log:
        log.write("green", define(arms=arms, since=0))

    def by_fast() -> bool:
        last = [ask(client) for _ in range(20)]
        replicas = {each.headers["x-everfresh-replica"] for each in last}
        return len(replicas) == 2 and {each.json()["track"] for each in last} == {"fast"}

    wait_until(by_fast, "answers of the track from both replicas")
    said = ask(client).json()
    assert (said["version"], said["items"]) == (1, recomputed(fast, USER)[0])
    # The tests after this one ask for the default track.
    with KafkaDefinitionLog(Brokers(kafka.bootstrap_servers), kafka.topic_prefix) as log:
        log.write("green", define(arms=arms, since=0, stopped=6))


def both_have(run: ServingRun, version: int) -> bool:
    live = replica_statuses(run)
    return sorted(status.figures["version"] or 0 for status in live.values()) == [version, version]


def another(run: ServingRun, earlier: set[str]) -> bool:
    """Whether there is a replica that was not there earlier."""
    return bool(set(replica_statuses(run)) - earlier)


def joined(run: ServingRun, earlier: set[str], version: int) -> bool:
    """Whether every replica that was not there earlier has the version."""
    new = [status for name, status in replica_statuses(run).items() if name not in earlier]
    return all(status.figures["version"] == version for status in new)


def replica_statuses(run: ServingRun) -> dict[str, ComponentStatus]:
    kafka = run.settings.kafka
    with RecordTail(Brokers(kafka.bootstrap_servers), kafka.topic_prefix, [STATUS]) as tail:
        statuses = [status for status in tail.read_to_end() if isinstance(status, ComponentStatus)]
    newest = {status.component: status for status in statuses}
    return {name: status for name, status in newest.items() if status.state != "stopped"}


def assert_exposed(run: ServingRun, given: list[dict[str, Any]]) -> None:
    """Every answer is in the log, with the version and the offset that made it."""
    kafka = run.settings.kafka
    exposures: dict[str, Exposure] = {}
    with RecordTail(Brokers(kafka.bootstrap_servers), kafka.topic_prefix, [EXPOSURES]) as tail:

        def all_there() -> bool:
            polled = [exposure for exposure in tail.poll() if isinstance(exposure, Exposure)]
            exposures.update({exposure.request_id: exposure for exposure in polled})
            return all(answer["request_id"] in exposures for answer in given)

        wait_until(all_there, "the exposures")
    for answer in given:
        shown = exposures[answer["request_id"]]
        assert (shown.version, shown.state_offset) == (answer["version"], answer["state_offset"])
        assert shown.items == answer["items"]
        for name in ("experiment", "arm", "track", "definition_version", "probability"):
            assert getattr(shown, name) == answer[name]


def test_what_dies_is_replaced_at_the_current_version(run: ServingRun) -> None:
    newest = max(run.store.versions(), default=0) + 1
    publish(run.store, newest)
    driver = run.start()
    try:
        url = run.url()
        wait_until(lambda: both_have(run, newest), "both replicas")
        with contextlib.ExitStack() as pool:
            kept = [pool.enter_context(keeping(url)) for _ in range(8)]
            assert {ask(client).status_code for client in kept} == {200}
            for replica in run.titled("ServeReplica"):
                before = set(replica_statuses(run))
                replica.kill()
                wait_until(partial(another, run, before), "another replica")
                with httpx.Client(base_url=url, timeout=240) as client:
                    assert {ask(client).json()["version"] for _ in range(50)} == {newest}
                    assert_every_door_answers(client, run.grpc_address(), newest)
                wait_until(partial(joined, run, before, newest), "the version on the new replica")
            # These were idle meanwhile, and HAProxy was loaded anew for each replica that went.
            with ThreadPoolExecutor(len(kept)) as threads:
                answers = list(threads.map(ask, kept))
        assert [answer.text for answer in answers if answer.status_code != 200] == []
        assert {answer.json()["version"] for answer in answers} == {newest}
        assert_replicas_refuse_long_messages(run)
        live = [status.figures["version"] for status in replica_statuses(run).values()]
        assert set(live) == {newest}, "none joined without it"
    finally:
        # The worst way to go: Serve stays behind, with its door, and nobody holds it.
        os.kill(driver.pid, signal.SIGKILL)
        driver.stop(1.0)
    driver = run.start()
    try:
        with httpx.Client(base_url=run.url(), timeout=240) as client:
            assert ask(client).json()["version"] == newest
    finally:
        assert driver.stop(STOP_SECONDS) == 0


def test_a_driver_that_is_stopped_while_it_starts_leaves_nothing(run: ServingRun) -> None:
    # A controller of the test before would be taken for this driver's, which has no handler yet.
    wait_until(lambda: not run.titled("ray::Serve"), "the end of the Serve before")
    driver = run.start()
    wait_until(lambda: bool(run.titled("ServeController")), "Serve's controller")
    assert driver.stop(STOP_SECONDS) == 0, run.output.read_text()
    wait_until(lambda: not run.titled("ray::Serve") and not run.titled("haproxy"), "the end")


def test_a_taken_port_is_one_line_and_no_traceback(run: ServingRun) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", free_ports(1)[0]))
        held.listen()
        port = held.getsockname()[1]
        driver = run.start(EVERFRESH_SERVING__PORT=str(port))
        wait_until(lambda: driver.poll() is not None, "the driver's end")
    said = run.output.read_text().splitlines()
    assert driver.stop(1.0) == 1
    # What was on its way before stands above it.
    assert [line for line in said if line.startswith("error: ")] == said[-1:]
    assert str(port) in said[-1]
    assert not any("Traceback" in line for line in said)
