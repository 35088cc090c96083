"""The jar cache, with a Maven and a Java that only pretend."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from everfresh.adapters.machine.user_cache import user_cache
from everfresh.contracts.errors import MissingDependency
from everfresh.infra.broker.jars import find_java, java_major, kafka_jars, kafka_version

COPIES = """
for word in "$@"; do case $word in -DoutputDirectory=*) out=${word#*=};; esac; done
echo "[INFO] Downloaded from there: here/kafka-clients.jar (5 MB)"
echo run >> "$RUNS"
sleep 0.2
touch "$out/kafka_2.13-$VERSION.jar" "$out/kafka-clients.jar"
"""
FAILS = """
touch "$(dirname "$3")/half.jar"
echo "[ERROR] no such host"; exit 1
"""

Fake = Callable[[str, str], Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a shell script on a PATH that holds little else, and empties the cache."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "sleep", "touch", "dirname", "cat"):
        (programs / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("VERSION", kafka_version())
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def install(name: str, script: str) -> Path:
        program = programs / name
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)
        return program

    return install


@pytest.mark.process
def test_the_jars_come_once_and_as_a_whole(fake: Fake, tmp_path: Path) -> None:
    fake("mvn", COPIES)
    said: list[str] = []
    folder = kafka_jars(said.append)
    assert (folder / f"kafka_2.13-{kafka_version()}.jar").is_file()
    assert kafka_jars(said.append) == folder
    assert (tmp_path / "runs").read_text() == "run\n"
    assert any("kafka-clients.jar" in text for text in said)


@pytest.mark.process
def test_two_at_once_fetch_once(fake: Fake, tmp_path: Path) -> None:
    fake("mvn", COPIES)
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(kafka_jars(lambda text: None)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert (tmp_path / "runs").read_text() == "run\n"


@pytest.mark.process
def test_a_failed_fetch_leaves_nothing_and_says_why(fake: Fake) -> None:
    fake("mvn", FAILS)
    with pytest.raises(MissingDependency, match=r"no such host.*--bootstrap-servers"):
        kafka_jars(lambda text: None)
    assert not [entry for entry in user_cache().iterdir() if entry.is_dir()]


@pytest.mark.process
def test_what_a_killed_fetch_left_is_removed_by_the_next(fake: Fake) -> None:
    fake("mvn", COPIES)
    folder = kafka_jars(lambda text: None)
    left = folder.rename(folder.with_name(folder.name + ".partial-killed"))
    assert kafka_jars(lambda text: None) == folder
    assert not left.exists()


def test_without_maven_the_message_says_what_to_install(fake: Fake) -> None:
    with pytest.raises(MissingDependency, match=r"apt install maven.*--bootstrap-servers"):
        kafka_jars(lambda text: None)


def test_without_java_the_message_says_what_to_install(fake: Fake) -> None:
    with pytest.raises(MissingDependency, match=r"openjdk-17.*--bootstrap-servers"):
        find_java()


@pytest.mark.process
def test_a_java_that_is_too_old_is_named(fake: Fake) -> None:
    old = fake("java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    with pytest.raises(MissingDependency, match=f"{old} is Java 11"):
        find_java()


@pytest.mark.process
def test_java_home_comes_before_the_path(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = fake("java", """echo 'openjdk version "21.0.2" 2024-01-16' >&2""")
    assert find_java() == str(new)
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find_java() == str(new)
    (home / "bin" / "java").write_text("#!/bin/sh\necho 'openjdk version \"17\"' >&2\n")
    (home / "bin" / "java").chmod(0o755)
    assert find_java() == str(home / "bin" / "java")


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
