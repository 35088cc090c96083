"""The chart: what it refuses, and what its objects say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helm_python import HelmError
from helm_python.chart import lint

from everfresh.contracts.settings import load_settings
from tests.infra.charts.rendering import CHART, only, render, sample, samples, yaml

PLAIN = sample("plain")
COMPONENT = "app.kubernetes.io/component"
each = pytest.mark.parametrize("name", samples())


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pod templates among them; that of the loop comes first."""
    found = []
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "StatefulSet":
            found.append(spec["template"])
        if one["kind"] == "RayCluster":
            found += [spec["headGroupSpec"]["template"]]
            found += [group["template"] for group in spec.get("workerGroupSpecs", ())]
    return sorted(found, key=lambda one: one["metadata"]["labels"][COMPONENT] != "loop")


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Those that stand in the chart; secrets are not among them."""
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def container(objects: list[dict[str, Any]], name: str = "everfresh") -> dict[str, Any]:
    """Of the pod that runs the loop."""
    (found,) = [one for one in pods(objects)[0]["spec"]["containers"] if one["name"] == name]
    return dict(found)


@each
def test_helm_has_nothing_to_say_of_the_chart(name: str) -> None:
    report = lint(CHART, sample(name), strict=True)
    assert report["errors"] == []
    said = [message["error"] for message in report["messages"]]
    assert said == ["icon is recommended"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka": {"bootstrapServers": ""}}, "/kafka/bootstrapServers"),
        ({"kafka": {"bootstrapServers": "kafka"}}, "/kafka/bootstrapServers"),
        ({"replicas": 3}, "replicas"),
        ({"kafka": {**PLAIN["kafka"], "partitions": 3}}, "partitions"),
        ({"settings": {"kafka": {"bootstrap_servers": "a:1"}}}, "bootstrap_servers"),
        ({"settings": {"serving": {"port": 1}}}, "port"),
        ({"env": {"EVERFRESH_HOME": "/x"}}, "EVERFRESH_HOME"),
        ({"ingress": {"enabled": True}}, "/ingress/host"),
        ({"serving": {"port": 80}}, "/serving/port"),
        ({"serving": {"adminToken": {"name": "a"}}}, "adminToken"),
        ({"serving": {"adminToken": "secret"}}, "adminToken"),
        ({"kafka": {**PLAIN["kafka"], "security": {"password": "secret"}}}, "password"),
        ({"kafka": {**PLAIN["kafka"], "security": {"protocol": "SASL_SSL"}}}, "security"),
        ({"kafka": {**PLAIN["kafka"], "security": {"ca": {"name": "a", "key": "b"}}}}, "ca"),
        ({"kuberay": {"enabled": True, "trainers": {"replicas": 1}}}, "settings.weights.url"),
        (
            {"followers": {"replicas": 1}, "settings": {"weights": {"url": "s3://a/b"}}},
            "settings.state.snapshot_url",
        ),
    ],
    ids=str,
)
def test_values_that_cannot_be_right_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(HelmError) as refused:
        render({**PLAIN, **wrong})
    assert named in str(refused.value)


def test_every_object_of_the_schema_refuses_names_that_it_does_not_know() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def closed(node: Any, at: str) -> None:
        if not isinstance(node, dict):
            return
        if "properties" in node and node.get("type") == "object" and not at.startswith("/settings"):
            assert node.get("additionalProperties") is False, at
        for key, value in node.get("properties", {}).items():
            closed(value, f"{at}/{key}")

    closed(schema, "")
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) == {*values, "global"}


@each
def test_the_parts_understand_what_the_chart_sets(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = sample(name)
    objects = render(values)
    settings = only(objects, "ConfigMap", "demo-everfresh")["data"]["everfresh.toml"]
    file = tmp_path / "everfresh.toml"
    file.write_text(settings)
    given = variables(container(objects))
    for secret in re.findall(r"/etc/everfresh/secrets/[\w-]+", str(given)):
        path = tmp_path / Path(secret).name
        path.write_text("secret")
        path.chmod(0o440)
        given = {key: value.replace(secret, str(path)) for key, value in given.items()}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("EVERFRESH_CONFIG", str(file))
    loaded = load_settings()
    assert loaded.kafka.bootstrap_servers == values["kafka"]["bootstrapServers"]
    for group, wanted in values.get("settings", {}).items():
        for setting, value in wanted.items():
            found = getattr(getattr(loaded, group), setting)
            assert list(found) == value if isinstance(value, list) else found == value, setting
    registry = (loaded.registry.password_file, loaded.registry.ca_file)
    assert all(registry) == any(registry) == bool(values.get("registry"))
    security, wanted = loaded.kafka.security, values["kafka"].get("security", {})
    assert security.protocol == wanted.get("protocol", "PLAINTEXT")
    assert (security.mechanism, security.username) == (
        wanted.get("mechanism", ""),
        wanted.get("username", ""),
    )
    files = {"password": "password", "ca": "ca", "certificate": "certificate", "key": "key"}
    for value, setting in files.items():
        assert bool(getattr(security, f"{setting}_file")) == (value in wanted), setting
    assert (loaded.serving.host, loaded.serving.port) == ("0.0.0.0", 8000)


@each
def test_no_secret_stands_in_what_is_rendered(name: str) -> None:
    objects = render(sample(name))
    assert not [one for one in objects if one["kind"] == "Secret"]
    for template in pods(objects):
        for one in template["spec"]["containers"]:
            names = {name.rpartition("__")[2].lower() for name in variables(one)}
            assert not {"password", "key_password", "admin_token"} & names


@each
def test_containers_have_no_rights_and_write_to_volumes_alone(name: str) -> None:
    for template in pods(render(sample(name))):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"]
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for one in pod["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert one["resources"]["requests"]["memory"]
            assert one["resources"]["limits"]["memory"]
            places = {mount["mountPath"]: mount for mount in one["volumeMounts"]}
            assert {"/tmp", "/var/lib/everfresh"} <= set(places)
            volumes = {volume["name"] for volume in pod["volumes"]} | {"home"}
            assert {mount["name"] for mount in one["volumeMounts"]} <= volumes
        for volume in pod["volumes"]:
            # 0440 in YAML; everfresh refuses secrets that others may read.
            if "projected" in volume:
                assert volume["projected"]["defaultMode"] == 0o440


@each
def test_selectors_find_the_pods_and_ports_that_they_mean(name: str) -> None:
    values = sample(name)
    objects = render(values)
    loop, *others = pods(objects)
    trainers = [one for one in others if one["spec"]["containers"][0]["name"] == "ray"]
    followers = [one for one in others if one not in trainers]
    labels, ports = loop["metadata"]["labels"], container(objects)["ports"]

    def chosen(selector: dict[str, str], template: dict[str, Any]) -> bool:
        return selector.items() <= template["metadata"]["labels"].items()

    service = only(objects, "Service", "demo-everfresh")["spec"]
    assert all(chosen(service["selector"], one) for one in [loop, *followers])
    assert not any(chosen(service["selector"], trainer) for trainer in trainers)
    assert {port["targetPort"] for port in service["ports"]} == {
        one["containerPort"] for one in ports
    }
    budget = only(objects, "PodDisruptionBudget")["spec"]
    assert all(chosen(budget["selector"]["matchLabels"], one) for one in [loop, *followers])
    assert budget["minAvailable"] == max(1, values.get("followers", {}).get("replicas", 0))
    policy = only(objects, "NetworkPolicy")["spec"]
    assert all(chosen(policy["podSelector"]["matchLabels"], one) for one in [loop, *others])
    assert ("Egress" in policy["policyTypes"]) == ("egress" in values.get("networkPolicy", {}))
    if values.get("podMonitor"):
        monitor = only(objects, "PodMonitor")["spec"]
        (endpoint,) = monitor["podMetricsEndpoints"]
        for one in [loop, *others]:
            assert chosen(monitor["selector"]["matchLabels"], one)
            offered = [p["name"] for c in one["spec"]["containers"] for p in c.get("ports", ())]
            assert offered.count(endpoint["port"]) == 1
    assert labels[COMPONENT] == "loop"


def test_followers_are_pods_of_their_own_that_answer_and_train_nothing() -> None:
    values = sample("secured")
    objects = render(values)
    follower = only(objects, "StatefulSet", "demo-everfresh-follower")["spec"]
    assert follower["replicas"] == 3
    assert only(objects, "StatefulSet", "demo-everfresh")["spec"]["replicas"] == 1
    main, exporter = follower["template"]["spec"]["containers"]
    assert main["args"] == ["everfresh", "up", "--follow"]
    assert exporter["name"] == "metrics"
    with_ray = render({**values, "kuberay": {"enabled": True}})
    (beside,) = [one for one in pods(with_ray) if one["spec"]["containers"][0]["name"] != "ray"]
    names = {entry["name"] for entry in beside["spec"]["containers"][0]["env"]}
    assert "EVERFRESH_RAY__ADDRESS" not in names, "each follower has a Ray of its own"


def test_ready_is_who_has_a_version_live_and_nothing_kills_a_pod_that_waits_for_one() -> None:
    loop = container(render(PLAIN))
    assert loop["readinessProbe"]["httpGet"]["path"] == "/readyz"
    start = loop["startupProbe"]
    assert start["httpGet"]["path"] == "/healthz"
    waits_s = start["periodSeconds"] * start["failureThreshold"]
    assert waits_s > load_settings().run.start_timeout_s
    assert "livenessProbe" not in loop


def test_probes_and_ingress_ask_at_the_path_that_is_set() -> None:
    values = {
        **PLAIN,
        "settings": {"serving": {"route_prefix": "/shop", "replicas": "2..6"}},
        "ingress": {"enabled": True, "host": "shop.example.com"},
    }
    objects = render(values)
    loop = container(objects)
    assert loop["readinessProbe"]["httpGet"]["path"] == "/shop/readyz"
    assert loop["startupProbe"]["httpGet"]["path"] == "/shop/healthz"
    [rule] = only(objects, "Ingress")["spec"]["rules"]
    assert rule["http"]["paths"][0]["path"] == "/shop/v1"


def test_a_pod_stops_in_order_before_it_is_killed() -> None:
    for template in pods(render(sample("kuberay"))):
        grace_s = template["spec"]["terminationGracePeriodSeconds"]
        slept = [
            int(one["lifecycle"]["preStop"]["exec"]["command"][1])
            for one in template["spec"]["containers"]
            if "lifecycle" in one
        ]
        assert max(slept) + 10 < grace_s  # `up` has stopped everything within 10 s
    ray, loop = (container(render(sample("kuberay")), name) for name in ("ray", "everfresh"))
    seconds = [int(one["lifecycle"]["preStop"]["exec"]["command"][1]) for one in (ray, loop)]
    assert seconds[0] > seconds[1] + 10


def test_kuberay_takes_the_first_container_and_the_loop_stands_beside_it() -> None:
    objects = render(sample("kuberay"))
    cluster = only(objects, "RayCluster")["spec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    assert head["containers"][0]["name"] == "ray"
    assert head["shareProcessNamespace"]
    mounts = [sorted(m["mountPath"] for m in one["volumeMounts"]) for one in head["containers"][:2]]
    assert mounts[0] == mounts[1]  # sockets, state and secrets lie at the same places
    assert (
        cluster["rayVersion"]
        == re.search(r"^ray==(.+)$", (CHART.parents[2] / "constraints.txt").read_text(), re.M)[1]
    )  # type: ignore[index]
    token = only(objects, "RayCluster")["metadata"]["name"]
    entry = next(e for e in container(objects)["env"] if e["name"] == "RAY_AUTH_TOKEN")
    assert entry["valueFrom"]["secretKeyRef"] == {"name": token, "key": "auth_token"}
    assert not [one for one in objects if one["kind"] in ("RayService", "StatefulSet")]


def test_a_changed_setting_makes_a_new_pod() -> None:
    def annotation(settings: dict[str, Any]) -> str:
        (template,) = pods(render({**PLAIN, "settings": settings}))
        return str(template["metadata"]["annotations"]["checksum/settings"])

    assert annotation({"windows": {"seconds": 2}}) == annotation({"windows": {"seconds": 2}})
    assert annotation({"windows": {"seconds": 2}}) != annotation({"windows": {"seconds": 5}})


def test_rules_and_dashboards_are_those_of_the_files() -> None:
    objects = render(sample("mutual-tls"))
    rule = only(objects, "PrometheusRule")
    links = [one["annotations"]["runbook_url"] for one in rule["spec"]["groups"][0]["rules"]]
    assert len(links) > 20
    assert all(
        link.startswith("https://wiki.example.com/everfresh/docs/runbook.md#") for link in links
    )
    wanted = yaml.safe_load((CHART / "rules" / "alerts.yml").read_text())
    found = only(render(sample("kuberay")), "PrometheusRule")["spec"]
    assert found == wanted
    boards = only(objects, "ConfigMap", "demo-everfresh-dashboards")
    files = {f"everfresh-{file.name}": file for file in (CHART / "dashboards").glob("*.json")}
    assert {key: json.loads(text) for key, text in boards["data"].items()} == {
        key: json.loads(file.read_text()) for key, file in files.items()
    }
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_what_is_not_wanted_is_not_there() -> None:
    kinds = {one["kind"] for one in render(PLAIN)}
    assert kinds == {
        *("ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"),
        "StatefulSet",
    }
    off = {"networkPolicy": {"enabled": False}, "podDisruptionBudget": {"enabled": False}}
    off["serviceAccount"] = {"create": False}
    assert {one["kind"] for one in render({**PLAIN, **off})} == {
        "ConfigMap",
        "Service",
        "StatefulSet",
    }
