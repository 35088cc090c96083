"""Definitions of the kinds that operators bring, from Go's module proxy; none is kept here.

The proxy gives a module's files whole; their hash is pinned here.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

# Ray needs it, and leaves it without types.
yaml: Any = importlib.import_module("yaml")

MODULES: Mapping[str, tuple[str, str, str]] = {
    "ray.io": (
        "github.com/ray-project/kuberay/ray-operator@v1.6.2",
        "h1:XUckRswLMyk71D00L62d2Vanh0fVkNqu56+IF/rr+O0=",
        "config/crd/bases/ray.io_{plural}.yaml",
    ),
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml",
    ),
}
"""Group of a kind -> module with its version, its hash, and where its definitions lie."""

DOWNLOAD_S = 120


@cache
def schema(api_version: str, kind: str) -> Mapping[str, Any]:
    """The schema of a kind, closed: a field that it does not know is an error.

    Skips the test where it cannot be had; in CI (the variable ``CI``) that is a failure.
    """
    group, _, version = api_version.partition("/")
    name, pinned, pattern = MODULES[group]
    folder = _download(name, pinned)
    file = folder / pattern.format(plural=f"{kind.lower()}s")
    # A megabyte, which the loader in Python would read for half a minute.
    definition = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
    (served,) = [one for one in definition["spec"]["versions"] if one["name"] == version]
    return _closed(served["schema"]["openAPIV3Schema"], top=True)


def _download(name: str, pinned: str) -> Path:
    go = shutil.which("go")
    if go is None:
        _unavailable("Go is missing")
    ended = subprocess.run(
        [str(go), "mod", "download", "-json", name],
        # The hash is compared below, so no other server is asked for it.
        env={**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOSUMDB": "off"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=DOWNLOAD_S,
    )
    said = json.loads(ended.stdout) if ended.stdout.startswith("{") else {}
    if "Dir" not in said:
        _unavailable(f"Go's module proxy gives no {name}: {said.get('Error') or ended.stderr}")
    assert said["Sum"] == pinned, f"{name} is another than the one that was pinned"
    return Path(said["Dir"])


def _unavailable(why: str) -> None:
    message = f"kinds of operators are not checked: {why}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _closed(node: Any, *, top: bool = False) -> Any:
    """As a cluster prunes it: objects with named fields have no others."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    result = {
        key: {name: _closed(one) for name, one in value.items()}
        if key == "properties"
        else _closed(value)
        for key, value in node.items()
    }
    if top:
        result["properties"]["metadata"] = {"type": "object"}
    if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    if node.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
    return result
