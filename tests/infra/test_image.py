"""The image's recipe: it copies all that is needed, and its steps are those of the Makefile."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "infra" / "image" / "Containerfile"
ROOMS = {link.name for link in (ROOT / "everfresh").iterdir() if link.is_symlink()}


def steps(name: str) -> list[str]:
    """What stands behind each ``COPY``, ``RUN`` and so on, lines joined."""
    text = re.sub(r"\\\n", " ", RECIPE.read_text())
    return re.findall(rf"^{name} +(.+)$", text, re.M)


def copied() -> set[str]:
    """Files and folders of the repository that come into the image."""
    words = [step.split() for step in steps("COPY") if "--from" not in step]
    return {source for *sources, _ in words for source in sources}


def test_the_image_has_every_room_and_what_the_setup_reads() -> None:
    wanted = {"Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "everfresh"}
    assert copied() == wanted | ROOMS
    assert all((ROOT / source).exists() for source in copied())
    ignored = RECIPE.with_name("Containerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied()


@pytest.mark.process
def test_the_makefile_installs_there_what_the_parts_need_and_nothing_of_developers() -> None:
    (setup,) = [step for step in steps("RUN") if step.startswith("make ")]
    made = subprocess.run(
        [*setup.split(), "--dry-run", "--always-make"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (extras,) = re.findall(r"install .* -c constraints.txt -e '\.\[(.*)\]'", made.stdout)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = known["all"]
    parts = set(re.findall(r"[\w]+", everything)) - {"everfresh", "java"}
    assert set(extras.split(",")) == parts | {"s3"}


def test_it_runs_as_the_user_of_the_chart() -> None:
    (user,) = steps("USER")
    template = ROOT / "infra" / "charts" / "everfresh" / "templates" / "_helpers.tpl"
    number = re.findall(r"runAs(?:User|Group): (\d+)", template.read_text())
    assert user.split(":") == number
    assert steps("ENTRYPOINT") == ['["tini", "--"]']
