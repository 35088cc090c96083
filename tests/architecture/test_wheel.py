"""The wheel: one top-level package, and a producer that works from it without torch or Ray."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from everfresh.adapters.kafka.topics import end_offsets, ensure_topics
from everfresh.contracts.kafka.security import Brokers
from everfresh.contracts.settings import Settings
from everfresh.contracts.topics import EVENTS, topic_name
from everfresh.infra.broker.broker import EmbeddedBroker

ROOT = Path(__file__).parents[2]
OF_OPERATORS = {"charts", "image"}
"""Folders of infra that are taken from the repository: the chart, and the image's recipe."""
ROOMS = {path.name for path in (ROOT / "everfresh").iterdir() if path.is_symlink()}

# What the base install brings beside everfresh: `dependencies` in pyproject.toml.
BASE = ("kafka", "msgspec")

SEND = """
import importlib.util, sys
sys.path.append(sys.argv[1])
from everfresh import EventProducer
for name in ("torch", "ray", "numpy", "pydantic"):
    assert importlib.util.find_spec(name) is None, name
with EventProducer(*sys.argv[2:]) as producer:
    producer.send(user_id=7, item_id="film", type="view")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because setuptools writes into the tree it builds from."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("everfresh", *ROOMS):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*build, "--no-index", "--wheel-dir", str(folder), str(source)],
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.process
def test_the_wheel_holds_one_top_level_package_with_every_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"everfresh"}
    expected = {
        f"everfresh/{path.relative_to(ROOT)}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and not {"__pycache__", *OF_OPERATORS} & set(path.parts)
    }
    assert names == expected | {"everfresh/__init__.py", "everfresh/py.typed"}


@pytest.mark.integration
def test_the_producer_sends_from_the_wheel_and_its_two_dependencies_alone(
    wheel: Path, tmp_path: Path, kafka: EmbeddedBroker, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(kafka={"partitions": 1})
    servers, topic = kafka.bootstrap_servers, topic_name(settings.kafka.topic_prefix, EVENTS)
    ensure_topics(Brokers(servers), settings)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for name in BASE:
        specification = find_spec(name)
        assert specification is not None
        assert specification.submodule_search_locations is not None
        (tmp_path / "site" / name).symlink_to(specification.submodule_search_locations[0])
    # -I and -S: neither this environment's packages nor this folder can be imported.
    command = [sys.executable, "-I", "-S", "-W", "ignore::DeprecationWarning", "-c", SEND]
    sent = subprocess.run(
        [*command, str(tmp_path / "site"), servers, topic],
        check=False,
        capture_output=True,
        text=True,
    )
    assert sent.returncode == 0, sent.stderr
    assert end_offsets(Brokers(servers), topic) == {0: 1}
