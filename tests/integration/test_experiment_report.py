"""A report on outcomes in a real Kafka, and the guardrail that closes an arm by itself."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer

from everfresh.adapters.kafka.definitions.writing import KafkaDefinitionLog
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.contracts.experiments.definition import Definition
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.outcome import Outcome, encode_outcome
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import OUTCOMES, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.cli.commands.experiment.change import run_reopen
from everfresh.infra.cli.commands.experiment.report import run_report
from everfresh.infra.components import settings_environment
from everfresh.infra.guard.looking import look
from tests.contracts.experiments.definitions import define
from tests.experiments.verdict.made_outcomes import NAME, outcome

pytestmark = pytest.mark.integration


def made(users: Iterable[int], skips: dict[str, float]) -> list[Outcome]:
    draw = random.Random(3)
    rows = []
    for user in users:
        arm = "treatment" if user % 2 else "control"
        types = ["click"] if draw.random() < 0.3 else []
        types += ["skip"] if draw.random() < skips[arm] else []
        rows.append(outcome(user, user, arm, types, user * 1000))
    return rows


def write(settings: Settings, outcomes: Iterable[Outcome]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, acks="all")
    topic = topic_name(settings.kafka.topic_prefix, OUTCOMES)
    for each in outcomes:
        value = encode_outcome(each)
        number = int(str(each.exposure.user_id)) % 2
        producer.send(topic, key=each.id.encode(), value=value, partition=number)
    producer.send(topic, key=b"x", value=b"no outcome", partition=0)
    producer.flush()
    producer.close()


def defined(settings: Settings) -> Definition:
    with KafkaDefinitionLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        return log.read()[1][NAME][1]


@contextmanager
def guarding(settings: Settings) -> Iterator[None]:
    """``python -m everfresh.infra.guard`` meanwhile, as `everfresh up` starts it; it ends cleanly
    when it is asked to, whatever it does."""
    verdict = settings.verdict.model_copy(update={"guard_every_s": 0.2})
    environment = settings_environment(settings.model_copy(update={"verdict": verdict}))
    guard = ChildProcess(
        [sys.executable, "-m", "everfresh.infra.guard"], env={**os.environ, **environment}
    )
    try:
        yield
        assert guard.stop(60.0) == 0
    finally:
        guard.stop(5.0)


def test_a_guardrail_that_is_crossed_closes_the_arm_and_only_a_person_opens_it(
    kafka: EmbeddedBroker,
    make_settings: Callable[..., Settings],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    servers = kafka.bootstrap_servers
    settings = make_settings(kafka={"partitions": 2, "bootstrap_servers": servers})
    ensure_topics(Brokers(servers), settings)
    with KafkaDefinitionLog(settings.kafka.brokers, settings.kafka.topic_prefix) as log:
        log.write(NAME, define(NAME))
    write(settings, made(range(600), {"control": 0.2, "treatment": 0.2}))

    assert "closed treatment" not in "".join(look(settings, NAME))
    run_report(settings, NAME, None, as_json=True)
    first = json.loads(capsys.readouterr().out)
    assert (first["counts"]["counted"], first["counts"]["foreign"]) == (600, 1)
    assert first["words"]["alarms"] == []

    write(settings, made(range(600, 3000), {"control": 0.1, "treatment": 0.6}))
    with guarding(settings):
        until = time.monotonic() + 240
        while defined(settings).arms[1].closed is None:
            assert time.monotonic() < until, "the guard closes the arm by itself"
            time.sleep(0.2)
    assert "worse in skips" in defined(settings).arms[1].why
    assert not any(line.startswith("closed") for line in look(settings, NAME))

    page = tmp_path / "page.html"
    run_report(settings, NAME, page, as_json=False)
    told = " ".join(capsys.readouterr().out.split())
    assert "It is closed." in told
    assert "3,000 answers" in told
    assert page.read_text().startswith("<!doctype html>")

    run_reopen(settings, NAME, "treatment")
    assert "treatment stays open, since a person has opened it again" in look(settings, NAME)
    assert defined(settings).arms[1].closed is None
