"""The crash harness itself, a few rounds: broker and worker killed, a machine lost, under load."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crash_storm.measure import measure

pytestmark = pytest.mark.integration


def test_whatever_dies_state_windows_and_dead_letters_say_what_the_log_says(tmp_path: Path) -> None:
    findings = measure(rounds=3, seed=288, folder=tmp_path)
    assert findings.clean, findings.messages
    assert findings.events > 500
    assert findings.rejected > 10
    assert findings.faults.keys() >= {"kill worker", "kill broker", "lose machine"}
