"""promtool, of Debian's package prometheus; tests that need it are skipped where it is missing."""

from __future__ import annotations

import shutil
import subprocess

import pytest

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing; the package prometheus has it"
)


def promtool(*words: str, text: str | None = None) -> tuple[int, str]:
    """Exit status and output of ``promtool WORDS``, which reads ``text``."""
    ended = subprocess.run(
        ["promtool", *words], input=text, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr
