"""What the chart renders is what Kubernetes and the operators take, field by field."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.infra.charts.crds import MODULES, schema
from tests.infra.charts.rendering import only, render, sample, samples

OLDEST, NEWEST = "1.27", kubernetes_validate.latest_version()


def objects(built_in: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in samples():
        for one in render(sample(name)):
            if (one["apiVersion"].partition("/")[0] not in MODULES) == built_in:
                yield name, one


@pytest.fixture(autouse=True)
def schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads megabytes for each object."""
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", _schema_contents)


_schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
def test_kubernetes_takes_every_object(release: str) -> None:
    for name, one in objects(built_in=True):
        try:
            kubernetes_validate.validate(one, release, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{name}: {one['kind']}: {error.message} at {list(error.path)}")


@pytest.mark.process
def test_operators_take_every_object_of_theirs() -> None:
    checked = {one["kind"] for _, one in objects(built_in=False)}
    assert checked == {"RayCluster", "PodMonitor", "PrometheusRule"}
    for name, one in objects(built_in=False):
        known = schema(one["apiVersion"], one["kind"])
        errors = list(jsonschema.Draft7Validator(known).iter_errors(one))
        assert not errors, f"{name}: {one['kind']}: {errors[0].message} at {list(errors[0].path)}"


def test_a_pod_template_of_rays_is_one_that_kubernetes_takes() -> None:
    """The definition of a RayCluster says less of a pod than Kubernetes does."""
    cluster = only(render(sample("kuberay")), "RayCluster")["spec"]
    templates = [cluster["headGroupSpec"]["template"]]
    templates += [group["template"] for group in cluster["workerGroupSpecs"]]
    for template in templates:
        metadata = {"name": "pod", **template["metadata"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        kubernetes_validate.validate(pod, NEWEST, strict=True)


@pytest.mark.process
def test_a_field_that_an_operator_does_not_know_is_found() -> None:
    cluster = only(render(sample("kuberay")), "RayCluster")
    cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    known = schema(cluster["apiVersion"], "RayCluster")
    errors = list(jsonschema.Draft7Validator(known).iter_errors(cluster))
    assert [error.message for error in errors] == [
        "Additional properties are not allowed ('imag' was unexpected)"
    ]
