"""The pod of the chart, as it is rendered, on this machine: it gets ready, and stops in order."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.infra.broker.broker import EmbeddedBroker
from everfresh.streaming.producer import EventProducer
from tests.infra.charts.rendering import only, render
from tests.integration.network_namespace import network_namespace
from tests.integration.pod import Pod, require_root
from tests.integration.serving_run import wait_until

pytestmark = pytest.mark.integration


def probe(url: str) -> int:
    """Status of an answer; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_pod_gets_ready_with_the_first_version_and_stops_in_order(tmp_path: Path) -> None:
    require_root()
    with (
        network_namespace() as ip,
        EmbeddedBroker(tmp_path / "kafka", heap_mb=256) as kafka,
    ):
        [port, grpc_port] = free_ports(2, ip)
        values = {
            "kafka": {"bootstrapServers": kafka.bootstrap_servers},
            "serving": {"port": port, "grpcPort": grpc_port},
            "settings": {"windows": {"seconds": 1}, "kafka": {"partitions": 2}},
        }
        objects = render(values)
        spec = only(objects, "StatefulSet")["spec"]["template"]["spec"]
        settings = only(objects, "ConfigMap")
        pod = Pod(spec, tmp_path / "pod", ip, {settings["metadata"]["name"]: settings["data"]})
        try:
            pod.start("everfresh")
            pod.start("metrics")
            up = "The loop is up"
            wait_until(
                lambda: up in pod.said("everfresh") or pod.ended("everfresh") is not None, up
            )
            assert up in pod.said("everfresh"), pod.said("everfresh")
            assert probe(f"http://{ip}:{port}/healthz") == 200
            assert probe(f"http://{ip}:{port}/readyz") == 503
            with EventProducer(kafka.bootstrap_servers) as events:
                for at in range(400):
                    events.send(type="view", user_id=at % 20, item_id=at * 7 % 30)
            wait_until(lambda: probe(f"http://{ip}:{port}/readyz") == 200, "a version")
            with urllib.request.urlopen(f"http://{ip}:9100/metrics", timeout=240) as answer:
                series = answer.read().decode()
            for kind, number in {"worker": 1, "trainer": 1, "replica": 2}.items():
                assert (
                    sum(
                        line.startswith("everfresh_exporter_component_up{") and f'"{kind}"' in line
                        for line in series.splitlines()
                    )
                    == number
                ), series
            (record,) = [json.loads((pod.home() / "home/run/serving.json").read_text())]
            assert record["url"] == f"http://127.0.0.1:{port}"
            assert "other users" not in pod.said("everfresh")
            assert any((tmp_path / "pod" / "volumes" / "tmp").iterdir()), (
                "Ray's sockets are in /tmp"
            )
            assert pod.stop("metrics") == 0
            assert pod.stop("everfresh") == 0, pod.said("everfresh")
        finally:
            pod.close()
