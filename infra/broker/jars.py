"""The broker's jars, fetched once, and the Java that runs them.

Maven fetches the jars once, by the pinned ``pom.xml`` beside this file, into a user cache that all
projects share. The cache folder appears by one rename, so it is complete or not there. A lock file
lets one process at a time fetch.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.user_cache import user_cache
from everfresh.contracts.errors import MissingDependency

POM = Path(__file__).with_name("pom.xml")
MINIMUM_JAVA = 17
_OTHERWISE = "or pass --bootstrap-servers HOST:PORT to use a Kafka that runs elsewhere"
_NAMESPACE = "{http://maven.apache.org/POM/4.0.0}"

OnProgress = Callable[[str], None]


def kafka_version() -> str:
    """The Kafka version that ``pom.xml`` pins."""
    for dependency in ElementTree.parse(POM).iter(f"{_NAMESPACE}dependency"):
        if dependency.findtext(f"{_NAMESPACE}artifactId", "").startswith("kafka_"):
            return dependency.findtext(f"{_NAMESPACE}version", "")
    raise AssertionError("pom.xml pins no kafka")


def find_java() -> str:
    """Path of a Java that is new enough: ``$JAVA_HOME`` first, then ``PATH``."""
    home = os.environ.get("JAVA_HOME")
    own = Path(home) / "bin" / "java" if home else None
    java = str(own) if own and own.is_file() else shutil.which("java")
    if java is None:
        raise MissingDependency(
            f"Java {MINIMUM_JAVA} or newer is needed for the embedded Kafka and none was found; "
            f"install one (Debian: apt install openjdk-17-jre-headless) {_OTHERWISE}"
        )
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    major = java_major(shown)
    if major < MINIMUM_JAVA:
        version = f"Java {major}" if major else "of unknown version"
        raise MissingDependency(
            f"Java {MINIMUM_JAVA} or newer is needed for the embedded Kafka, {java} is {version}; "
            f"install a newer one, set JAVA_HOME to it, {_OTHERWISE}"
        )
    return java


def java_major(shown: str) -> int:
    """The major version in the output of ``java -version``; 0 where there is none.

    ``"17.0.15"`` is 17, and ``"1.8.0_402"``, in the numbering before Java 9, is 8.
    """
    match = re.search(r'version "(?:1\.)?(\d+)', shown)
    return int(match.group(1)) if match else 0


def kafka_jars(on_progress: OnProgress) -> Path:
    """The folder of the broker's jars. Fetches them where the cache lacks them."""
    pinned = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    folder = user_cache() / f"kafka-{kafka_version()}-{pinned}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_name(folder.name + ".lock"), on_progress):
            if not folder.is_dir():
                _fetch(folder, on_progress)
    except OSError as error:
        raise MissingDependency(
            f"the Kafka jars cannot be kept in {folder.parent}: {error}; make it writable, set "
            f"XDG_CACHE_HOME to a folder that is, {_OTHERWISE}"
        ) from None
    return folder


@contextmanager
def _lock(path: Path, on_progress: OnProgress) -> Iterator[None]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_progress("waiting for another process that fetches Apache Kafka")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path, on_progress: OnProgress) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingDependency(
            "Maven is needed once, to fetch Apache Kafka, and mvn was not found; install it "
            f"(Debian: apt install maven) {_OTHERWISE}"
        )
    # This process has the lock, so a partial folder was left by a killed one.
    for leftover in folder.parent.glob(f"{folder.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        shutil.copy(POM, partial / "pom.xml")
        output = _run_maven(maven, partial, on_progress)
        if not (partial / f"kafka_2.13-{kafka_version()}.jar").is_file():
            raise MissingDependency(
                f"Maven could not fetch Apache Kafka {kafka_version()}: {_first_error(output)}; "
                f"check the network and ~/.m2/settings.xml and try again, {_OTHERWISE}"
            )
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run_maven(maven: str, folder: Path, on_progress: OnProgress) -> list[str]:
    """Copy the pinned jars into ``folder``; return Maven's output lines."""
    on_progress(f"fetching Apache Kafka {kafka_version()} with Maven (about 45 MB, once)")
    command = [
        *(maven, "--batch-mode", "--file", str(folder / "pom.xml")),
        "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={folder}",
    ]
    maven_process = ChildProcess(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines: list[str] = []
    try:
        for line in maven_process.output():
            lines.append(line)
            done = re.match(r"(?:\[INFO\] )?Downloaded .*/([^/ ]+\.jar) ", line)
            if done:
                on_progress(f"fetched {done.group(1)}")
    finally:
        maven_process.stop(grace_s=2.0)
    return lines


def _first_error(lines: list[str]) -> str:
    errors = [line.removeprefix("[ERROR] ") for line in lines if line.startswith("[ERROR] ")]
    return errors[0][:300] if errors else "it ended without the broker's jar"
