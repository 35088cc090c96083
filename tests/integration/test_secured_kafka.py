"""Every way to Kafka over TLS and with a login, against a broker that allows what an ACL allows."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.kafka.dead_letters import Selection
from everfresh.adapters.kafka.definitions.reading import DefinitionReader
from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.kafka.exposure_sink import KafkaExposureSink
from everfresh.adapters.kafka.items.reading import KafkaItemSource
from everfresh.adapters.kafka.items.writing import KafkaItemLog
from everfresh.adapters.kafka.redrive import Redriver
from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.rights import (
    FOLLOWER,
    REPLICA,
    WORKER,
    require_group,
    require_rights,
)
from everfresh.adapters.kafka.tail import RecordTail
from everfresh.adapters.kafka.topics import end_offsets, ensure_topics
from everfresh.adapters.kafka.window_source import KafkaWindowSource
from everfresh.adapters.weights.tracks import FsspecTracks
from everfresh.contracts.errors import DeliveryError, EverfreshError, RunError
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.items.record import ItemChange
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, OUTCOMES, topic_name
from everfresh.infra.cli.board.watcher import Watcher
from everfresh.infra.cli.commands.dlq_list import run_list
from everfresh.infra.cli.commands.dlq_redrive import run_redrive
from everfresh.infra.cli.commands.experiment.change import Asked, run_reweigh, run_start, run_stop
from everfresh.infra.cli.commands.experiment.show import run_list as experiment_list
from everfresh.infra.cli.commands.items.known import changes_so_far
from everfresh.infra.cli.commands.items.load import run_remove
from everfresh.infra.cli.commands.items.show import run_get
from everfresh.infra.cli.commands.status import run_status
from everfresh.infra.cli.commands.tracks.change import run_end
from everfresh.infra.cli.commands.tracks.show import run_list as track_list
from everfresh.infra.cli.views.follow import RunFollower
from everfresh.infra.components import settings_environment
from everfresh.infra.guard.__main__ import guard_of
from everfresh.streaming.follower import READY_LINE
from everfresh.streaming.log.probe import LogProbe, log_identity
from everfresh.streaming.log.sender import KafkaSender
from everfresh.streaming.producer import EventProducer
from everfresh.trainer.wiring import open_ports
from tests.conformance.test_sinks import REPORT, exposure, status
from tests.contracts.experiments.definitions import define
from tests.experiments.verdict.made_outcomes import NAME
from tests.integration.secured_broker import PASSWORD, Allowed, SecuredBroker, token_endpoint
from tests.integration.secured_users import EVERY_TOPIC, Make, Users
from tests.integration.test_experiment_report import defined as definition_of
from tests.integration.test_experiment_report import made, write

pytestmark = pytest.mark.integration

WAIT_S = 240.0
NEVER = [
    f"{right} {name}" for right in ("Create", "DescribeConfigs", "Describe") for name in EVERY_TOPIC
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with SecuredBroker(tmp_path_factory.mktemp("secured")) as made:
        yield made


LOADING = "`everfresh items load`, `everfresh items remove`"
DEFINING = "`everfresh experiment start`, `everfresh experiment ramp`, `everfresh experiment stop`"
REWEIGHING = "`everfresh experiment reopen`, `everfresh experiment reweigh`"


@pytest.fixture
def users(broker: SecuredBroker, make_settings: Make, topic_prefix: str) -> Users:
    return Users(broker, make_settings, topic_prefix)


@contextmanager
def started(settings: Settings, package: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", package, *arguments],
        env={**os.environ, **settings_environment(settings), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(what: Callable[[], object], name: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < until, name
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def send_events(settings: Settings, number: int) -> None:
    kafka = settings.kafka
    security = kafka.security.of_client
    topic = topic_name(kafka.topic_prefix, EVENTS)
    with EventProducer(kafka.bootstrap_servers, topic, security=security) as events:
        for each in range(number):
            events.send(user_id=each % 7, item_id=each, type="click")
        events.send(user_id=1, item_id=1, type="unheard-of")


def test_each_part_runs_with_its_row_of_the_table_and_nothing_more(
    broker: SecuredBroker,
    users: Users,
    topic_prefix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    maker = users.settings("making the topics")
    ensure_topics(maker.kafka.brokers, maker)
    worker_settings = users.settings("stream worker")
    with started(worker_settings, "everfresh.streaming") as worker:
        send_events(users.settings("producer client"), 20)
        replica = users.settings("replica")
        require_rights(REPLICA, replica)
        exposures = KafkaExposureSink(replica.kafka.brokers, topic_prefix)
        exposures.send(exposure(1))
        exposures.close()
        words = KafkaReportSink(replica.kafka.brokers, topic_prefix)
        words.status(status("replica"))
        words.close()
        assert exposures.failed() == words.failed() == 0
        there = {"home": tmp_path / "there", "state": {"snapshot_url": str(tmp_path / "bucket")}}
        followed(users.settings("follower", **there))
        a_window_trained(users.settings("trainer"), worker)
        outcomes = topic_name(topic_prefix, OUTCOMES)
        wait_for(lambda: sum(end_offsets(broker.admin, outcomes).values()), "an outcome", worker)

        replayed(users.settings("`everfresh replay`"), tmp_path, 1)
        run_status(users.settings("`everfresh status`"))
        assert "events: 22 records in 2 partitions" in capsys.readouterr().out
        reader = users.settings("`everfresh versions`, `everfresh rollback`")
        with RecordTail(reader.kafka.brokers, topic_prefix) as tail:
            assert REPORT in tail.read_to_end()
        look_at_board(users.settings("`everfresh board`"))
        backfilled(users.settings("`everfresh backfill`"), tmp_path)
        show_and_end_a_track(users)
        stater = users.settings("`everfresh state`")
        assert end_offsets(stater.kafka.brokers, topic_name(topic_prefix, EVENTS))
        assert defined(users, replica) == ["green"]
        assert [(change.id, change.item) for change in catalogued(users, replica)] == [(7, None)]
        explainer = users.settings("`everfresh recommend --why`")
        assert [change.id for change in changes_so_far(explainer, print)] == [7]
        printed = capsys.readouterr()
        assert "green" in printed.out
        assert "not known" not in printed.out + printed.err
        run_list(
            users.settings("`everfresh dlq list`"), Selection(), 10, oldest=False, as_json=False
        )
        run_redrive(users.settings("`everfresh dlq redrive`"), Selection(), again=False, act=True)
        shown = capsys.readouterr().out
        assert "unknown_type" in shown

        arguments = Path(f"/proc/{worker.pid}/cmdline").read_text()
        worker.send_signal(signal.SIGTERM)
        said, wrong = worker.communicate(timeout=WAIT_S)
        assert (worker.returncode, wrong) == (0, "")
    logs = "".join(log.read_text() for log in (worker_settings.home / "logs").iterdir())
    for written in (arguments, said, shown, logs):
        assert PASSWORD not in written


def replayed(settings: Settings, folder: Path, user: int, *more: str) -> None:
    file = folder / f"of_{user}.jsonl"
    file.write_text(f'{{"user_id": {user}, "item_id": 2, "type": "view", "time": 1700000000000}}\n')
    with started(settings, "everfresh.streaming.replay", str(file), "--settle", *more) as replay:
        said, wrong = replay.communicate(timeout=WAIT_S)
    assert (replay.returncode, wrong) == (0, "")
    assert '"settled":true' in said.splitlines()[-1]


def backfilled(settings: Settings, folder: Path) -> None:
    """What it sends, and how it follows the trainer. Run here, it would end all our processes."""
    events = topic_name(settings.kafka.topic_prefix, EVENTS)
    assert len(end_offsets(settings.kafka.brokers, events)) == 2
    replayed(settings, folder, 3, "--window", "1000")
    with RunFollower(settings) as follower:
        until = time.monotonic() + WAIT_S
        while REPORT not in follower.reports.windows:
            assert time.monotonic() < until
            follower.poll(200)


def a_window_trained(settings: Settings, worker: subprocess.Popen[str]) -> None:
    """The trainer's connections read a window and report it."""
    trainer = open_ports(settings)
    with trainer.open_source() as source:
        wait_for(lambda: source.poll(200), "a window", worker)
    trainer.reports.window(REPORT)
    assert trainer.contents is not None
    trainer.contents.at_end_of(2**40)  # which reads the topic items
    trainer.close()


def followed(settings: Settings) -> None:
    """A follower brings the state to a machine of its own, and tells how it is."""
    ready = settings.home / "logs" / "follower.log"
    with started(settings, "everfresh.streaming.follower") as follower:
        assert follower.stdout is not None
        lines = iter(follower.stdout.readline, "")
        assert f"{READY_LINE}\n" in lines, ready.read_text()
        follower.send_signal(signal.SIGTERM)
        _, wrong = follower.communicate(timeout=WAIT_S)
        assert (follower.returncode, wrong) == (0, "")
    assert "ERROR" not in ready.read_text()


def filled(broker: SecuredBroker, topic: str) -> int:
    return sum(end_offsets(broker.admin, topic).values())


def test_a_bridge_runs_with_its_row_of_the_table_and_nothing_more(
    broker: SecuredBroker, users: Users, topic_prefix: str, make_settings: Make
) -> None:
    ensure_topics(broker.admin, make_settings(kafka={"partitions": 2}))
    topic = f"shop-{topic_prefix}clicks"
    with KafkaAdminClient(bootstrap_servers=broker.admin.servers) as admin:
        admin.create_topics([NewTopic(topic, 1, 1)])
    with KafkaProducer(bootstrap_servers=broker.admin.servers) as producer:
        producer.send(topic, b'{"user": 1, "item": 2}').get(timeout=WAIT_S)
        producer.send(topic, b"{").get(timeout=WAIT_S)
    shop = {"topic": topic, "user": "user", "item": "item", "type": "view"}
    part, package = "bridge of a source", "everfresh.streaming.sources"

    def settings(*without: str, read: bool = True) -> Settings:
        made = users.settings(part, *without, sources={"shop": shop})
        broker.allow(made.kafka.security.username, *[Allowed(topic, "Read")] * read)
        return made

    with started(settings(), package, "shop") as bridge:
        events, letters = (f"{topic_prefix}{name}" for name in ("events", "dead-letters"))
        for written in (events, letters):  # a transaction's marker stands behind each
            wait_for(functools.partial(filled, broker, written), written, bridge)
        bridge.send_signal(signal.SIGTERM)
        said, wrong = bridge.communicate(timeout=WAIT_S)
        assert (bridge.returncode, said, wrong) == (0, "", "")
    for lacking, right in (
        (settings(read=False), f"Read on topic {topic}"),
        (settings("Read source.NAME"), f"Read on group {topic_prefix}source.shop"),
        (
            settings("Write source.NAME-N"),
            f"Write on transactional id {topic_prefix}source.shop-0",
        ),
        (settings("Write dead-letters"), f"Write on topic {letters}"),
    ):
        with started(lacking, package, "shop") as bridge:
            _, wrong = bridge.communicate(timeout=WAIT_S)
        assert bridge.returncode == 1
        assert f"to {right}; add an ACL" in wrong
        assert wrong.count("\n") == 1


def test_the_guard_runs_with_its_row_of_the_table_and_nothing_more(
    broker: SecuredBroker, users: Users, topic_prefix: str, make_settings: Make
) -> None:
    admin = make_settings(kafka={"bootstrap_servers": broker.admin.servers, "partitions": 2})
    ensure_topics(broker.admin, admin)
    with KafkaDefinitionLog(broker.admin, topic_prefix) as log:
        log.write(NAME, define(NAME))
    write(admin, made(range(3000), {"control": 0.1, "treatment": 0.6}))
    part, package = "guard of experiments", "everfresh.infra.guard"
    for lacking, said in (
        ("Read experiments", "{}experiments may not be read by user "),
        ("Read outcomes", "to Read on topic {}outcomes; add an ACL"),
        ("Write experiments", "to Write on topic {}experiments; add an ACL"),
    ):
        rounds = guard_of(users.settings(part, lacking))
        rounds.round()
        assert said.format(topic_prefix) in rounds.reason
        assert "\n" not in rounds.reason
        assert rounds.status(1, "running").figures["waiting"] == 1
    for lacking in ("Write status", "Describe reports"):
        with started(users.settings(part, lacking), package) as guard:
            _, wrong = guard.communicate(timeout=WAIT_S)
            right, topic = lacking.split()
            assert f"to {right} on topic {topic_prefix}{topic}; add an ACL" in wrong
            assert (guard.returncode, wrong.count("\n")) == (1, 1)
    assert definition_of(admin).arms[1].closed is None, "who may not look closes nothing"
    with started(users.settings(part), package) as guard:
        wait_for(lambda: definition_of(admin).arms[1].closed, "the arm is closed", guard)
        guard.send_signal(signal.SIGTERM)
        said, wrong = guard.communicate(timeout=WAIT_S)
        assert (guard.returncode, said, wrong) == (0, "", "")


def look_at_board(settings: Settings) -> None:
    with closing(Watcher(settings)) as watcher:
        seen = msgspec.json.decode(watcher.ask())
    assert (seen["error"], seen["windows"][0]["label"]) == ("", REPORT.label)
    assert seen["dead_letters"]


def defined(users: Users, replica: Settings) -> list[str]:
    """Defines, changes and lists experiments; those that run and that the replica reads then."""
    run_start(users.settings(DEFINING), "green", Asked(), 1.0, "", "")
    run_start(users.settings(DEFINING), "kept", Asked(), 1.0, "", "", "sticky")
    run_reweigh(users.settings(REWEIGHING), "kept", ["control=0.9", "treatment=0.1"])
    run_stop(users.settings(DEFINING), "kept")
    lister = users.settings("`everfresh experiment list`, `everfresh experiment assign`")
    experiment_list(lister, as_json=False)
    with DefinitionReader(replica.kafka.brokers, replica.kafka.topic_prefix) as definitions:
        definitions.read_to_end()
        return definitions.assignments().names()


def show_and_end_a_track(users: Users) -> None:
    """With what each needs of Kafka; the tracks themselves are in the weight store."""
    track_list(users.settings("`everfresh tracks list`, `everfresh tracks promote`"), as_json=True)
    ender = users.settings("`everfresh tracks end`")
    FsspecTracks(ender).declare(Track(name="fast", started=1, changed=1))
    run_end(ender, "fast", delete=False)


def catalogued(users: Users, replica: Settings) -> list[ItemChange]:
    """Removes an item; the records that the replica and a reader of items find then."""
    run_remove(users.settings(LOADING), ["7"])
    with pytest.raises(RunError, match="no record of 7"):
        run_get(users.settings("`everfresh items get`"), ["7"])
    with KafkaItemSource(replica.kafka.brokers, replica.kafka.topic_prefix) as source:
        return [change for batch in source.read_to_end() for change in batch]


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises((EverfreshError, DeliveryError)) as caught:
        act()
    words = str(caught.value)
    assert "\n" not in words
    assert PASSWORD not in words
    return words


def test_a_right_that_is_missing_is_named_by_every_door(
    broker: SecuredBroker, users: Users, topic_prefix: str, make_settings: Make
) -> None:
    nobody = users.settings("making the topics", *NEVER)
    words = refusal(lambda: ensure_topics(nobody.kafka.brokers, nobody))
    assert "has no right at" in words
    assert f"to Describe on topic {topic_prefix}events, {topic_prefix}dead-letters, " in words
    assert "it needs Create too; if somebody else makes them, set kafka.crea" in words
    seeing = users.settings("making the topics", *(f"Create {name}" for name in EVERY_TOPIC))
    words = refusal(lambda: ensure_topics(seeing.kafka.brokers, seeing))
    assert f"to Create on topic {topic_prefix}events; add an ACL" in words
    assert "set kafka.create_topics to false, which lists the commands" in words
    ensure_topics(broker.admin, make_settings(kafka={"partitions": 2}))
    checking = users.settings(
        "making the topics", *(f"DescribeConfigs {name}" for name in EVERY_TOPIC)
    )
    words = refusal(lambda: ensure_topics(checking.kafka.brokers, checking))
    assert f"to DescribeConfigs on topic {topic_prefix}events, {topic_prefix}dead" in words

    source = KafkaWindowSource(seeing.kafka.brokers, topic_prefix)
    words = refusal(lambda: source.poll(30_000))
    source.close()
    assert f"{topic_prefix}windows may not be read by user '{topic_prefix}of=us, " in words
    assert "let it read the topic (Kafka's ACLs)" in words

    at = nobody.kafka.brokers
    worker = users.settings("stream worker", "Write windows", "Read exposures", "Read stream")
    run_start(users.settings(DEFINING), "green", Asked(), 1.0, "", "")
    defining = users.settings(DEFINING, "Write experiments")
    doors: list[tuple[str, Callable[[], object]]] = [
        ("Describe on topic {}events", lambda: end_offsets(at, f"{topic_prefix}events")),
        ("Describe on topic {}events", lambda: log_identity(at, f"{topic_prefix}events")),
        ("Describe on topic {}windows", lambda: KafkaWindowSource(at, topic_prefix)),
        ("Describe on topic {}redrives", lambda: Redriver(at, topic_prefix).sent()),
        ("Describe on topic {}reports", lambda: RecordTail(at, topic_prefix)),
        ("Describe on topic {}exposures", lambda: KafkaExposureSink(at, topic_prefix)),
        ("Write on topic {}reports", lambda: KafkaReportSink(at, topic_prefix)),
        ("Describe on topic {}reports", lambda: KafkaReportSink(at, topic_prefix, windows=False)),
        ("Describe on topic {}items", lambda: KafkaItemSource(at, topic_prefix)),
        ("Write on topic {}items", lambda: writing(users.settings("`everfresh items get`"))),
        ("Describe on topic {}experiments", lambda: DefinitionReader(at, topic_prefix)),
        ("Write on topic {}experiments", lambda: run_stop(defining, "green")),
        ("Write on topic {}events", lambda: send_events(nobody, 1)),
        ("Write on any topic", lambda: asyncio.run(written(at, topic_prefix))),
        (
            "Read on topic {0}experiments, and to Read on topic {0}items, and to Write on topic "
            "{0}exposures, and to Write on t",
            lambda: require_rights(REPLICA, nobody),
        ),
        (
            "Read on topic {0}exposures, and to Write on topic {0}windows; add",
            lambda: require_rights(WORKER, worker),
        ),
        (
            "Read on topic {0}events, and to Write on topic {0}status",
            lambda: require_rights(FOLLOWER, nobody),
        ),
        ("Read on group {}stream", lambda: require_group(worker)),
        (
            "Read on topic {0}windows, and to Read on topic {0}items, and to Write on topic "
            "{0}reports, and to Write on topic {0}status",
            lambda: open_ports(nobody),
        ),
    ]
    for right, door in doors:
        words = refusal(door)
        assert f"has no right at {users.servers} to {right.format(topic_prefix)}" in words, words
        assert "docs/kafka.md lists what each part needs" in words


def writing(reader: Settings) -> None:
    with KafkaItemLog(reader.kafka.brokers, reader.kafka.topic_prefix) as log:
        log.write([ItemChange(7, None)])


async def written(brokers: Brokers, prefix: str) -> int:
    sender = KafkaSender(brokers, prefix)
    await sender.start()
    try:
        return await sender.broker_time_ms()
    finally:
        await sender.stop()


async def ends(brokers: Brokers, topic: str) -> dict[int, int]:
    probe = LogProbe(brokers, log_identity(brokers, topic))
    await probe.start()
    try:
        return await probe.ends([0, 1])
    finally:
        await probe.stop()


@pytest.mark.parametrize("way", ["SCRAM", "PLAIN", "OAUTH", "MUTUAL"])
def test_each_library_takes_each_way_to_be_known(
    broker: SecuredBroker, users: Users, topic_prefix: str, way: str
) -> None:
    user = "ann" if way == "PLAIN" else f"{topic_prefix}user"
    broker.allow(user, *(Allowed(f"topic:{topic_prefix}{name}", "All") for name in EVERY_TOPIC))
    with token_endpoint(user) as url:
        security = {
            "SCRAM": lambda: broker.add_user(user, "SCRAM-SHA-256"),
            "PLAIN": broker.plain,
            "OAUTH": lambda: broker.by_token(url),
            "MUTUAL": lambda: broker.mutual(user),
        }[way]()
        settings = users.secured(security, broker.servers(way))
        brokers = settings.kafka.brokers
        assert broker_answers(brokers)
        ensure_topics(brokers, settings)
        send_events(settings, 5)
        sink = KafkaExposureSink(brokers, topic_prefix)
        sink.send(exposure(1))
        sink.close()
        assert sink.failed() == 0
        assert asyncio.run(written(brokers, topic_prefix)) > 0
        topic = topic_name(topic_prefix, EVENTS)
        assert sum(asyncio.run(ends(brokers, topic)).values()) == 6


def test_who_is_not_let_in_hears_it_from_every_library(
    broker: SecuredBroker, topic_prefix: str
) -> None:
    known = broker.add_user(f"{topic_prefix}user")
    wrong = msgspec.structs.replace(known, password="wrong")
    no_certificate = KafkaSecurity(protocol="SSL", ca_file=known.ca_file)
    unknown_ca = msgspec.structs.replace(known, ca_file="")
    for listener, security, found in (
        ("SCRAM", wrong, f"it refuses the login of '{topic_prefix}user' by SCRAM-SHA-512 (Auth"),
        ("SCRAM", unknown_ca, "it shows a certificate of a CA that is not trusted; name that"),
        ("SCRAM", KafkaSecurity(), "it speaks TLS, and kafka.security.protocol is PLAINTEXT; set"),
        ("PLAIN", broker.plain("wrong"), "it refuses the login of 'ann' by PLAIN (Authentication"),
        ("PLAIN", known, "it speaks Kafka without TLS, and kafka.security.protocol is SASL_SSL;"),
        ("PLAIN", KafkaSecurity(), "it wants a login (SASL: PLAIN), and kafka.security.protocol"),
        ("MUTUAL", no_certificate, "it wants a certificate of its clients (sslv3 alert bad certi"),
    ):
        at = Brokers(broker.servers(listener), security)
        doors: list[Callable[[], object]] = [
            lambda at=at: KafkaReportSink(at, topic_prefix),
            lambda at=at: KafkaExposureSink(at, topic_prefix),
            lambda at=at: asyncio.run(written(at, topic_prefix)),
            lambda at=at: EventProducer(at.servers, security=at.security),
        ]
        for door in doors:
            words = refusal(door)
            assert f"no Kafka broker answers at {at}: {found}" in words
            assert "wrong'" not in words
