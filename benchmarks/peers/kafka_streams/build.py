"""Builds the Kafka Streams peer the first time: libraries by Maven, then javac. Needs a JDK 17."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
POM, SOURCE = HERE / "pom.xml", HERE / "LastEvents.java"
BUILT = HERE.parents[2] / "build" / "kafka_streams"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
HEAP_MB = 512


def streams_command() -> list[str]:
    """What starts it, up to its arguments; builds it where pom or source are new."""
    folder = BUILT / hashlib.sha256(POM.read_bytes() + SOURCE.read_bytes()).hexdigest()[:8]
    if not folder.is_dir():
        _build(folder)
    classes = f"{folder / 'classes'}:{folder / 'jars'}/*"
    return ["java", f"-Xmx{HEAP_MB}m", "-cp", classes, SOURCE.stem]


def _build(folder: Path) -> None:
    for program in ("mvn", "javac"):
        if shutil.which(program) is None:
            raise SystemExit(
                f"{program} is not installed, and Kafka Streams is built with it; on Debian: "
                "apt-get install maven openjdk-17-jdk-headless"
            )
    print("fetching Kafka Streams …", file=sys.stderr)
    draft = folder.with_suffix(".partial")
    shutil.rmtree(draft, ignore_errors=True)
    jars, classes = draft / "jars", draft / "classes"
    fetch = ["mvn", "-q", "-B", "-f", str(POM), _COPY, f"-DoutputDirectory={jars}"]
    subprocess.run([*fetch, "-DincludeScope=runtime"], check=True)
    subprocess.run(["javac", "-cp", f"{jars}/*", "-d", str(classes), str(SOURCE)], check=True)
    draft.rename(folder)
