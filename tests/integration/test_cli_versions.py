"""``everfresh versions`` beside a run: what it takes from the log, on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from msgspec import structs

from everfresh.adapters.kafka.report_sink import KafkaReportSink
from everfresh.adapters.kafka.topics import ensure_topics
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.manifest import FORMAT, Pointer, WeightManifest
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.settings import Settings
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.infra.cli.commands.versions import run_versions
from tests.conformance.test_sinks import REPORT
from tests.serving.replica_in_memory import Bench, publish


@pytest.mark.integration
def test_a_versions_life_is_put_together_from_reports_and_replicas_last_words(
    kafka: EmbeddedBroker,
    topic_prefix: str,
    make_settings: Callable[..., Settings],
    capsys: pytest.CaptureFixture[str],
) -> None:
    servers = kafka.bootstrap_servers
    settings = make_settings(kafka={"bootstrap_servers": servers})
    ensure_topics(Brokers(servers), settings)
    store = FsspecWeightStore(settings.weights_url)
    for version in (1, 2):
        parent = version - 1 or None
        store.write(
            WeightManifest(FORMAT, version, parent, version, 9, {}, {}, [], {}, 1, 1, {}), {}
        )
    store.advance(Pointer(0, 2))

    bench = Bench()
    publish(bench.store, 1)
    bench.replica.start()
    bench.replica.stop()
    words = [structs.replace(bench.replica.status(), state="serving")]
    figures = {"joined_ms": 900, "lived": [(1, 0, 1_600), (2, 0, 3_000)]}
    words += [ComponentStatus("replica-b", "replica", 1_500, "serving", figures)]
    sink = KafkaReportSink(Brokers(servers), topic_prefix)
    report = structs.replace(REPORT, version=1, appended=[200, 300], published_ms=1_100)
    sink.window(report)
    for word in words:
        sink.status(word)
    sink.close()

    run_versions(settings, as_json=True)
    first, second = json.loads(capsys.readouterr().out)["versions"]
    assert (first["age_published_s"], first["closed_ms"]) == (0.8, report.closed_ms)
    assert (first["live_everywhere_ms"], first["live_after_s"]) == (1_600, 0.5)
    assert second["live_everywhere_ms"] is None, "no report of it"
