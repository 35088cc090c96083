"""``everfresh settings``: what is printed of each setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from everfresh.contracts.settings import load_settings
from everfresh.infra.cli.commands.settings import rows
from tests.infra.cli.command import everfresh


@pytest.mark.process
def test_settings_are_printed_with_source_and_sentence(tmp_path: Path) -> None:
    (tmp_path / "everfresh.toml").write_text("[windows]\nseconds = 9\n")
    code, output, _ = everfresh("settings", cwd=tmp_path, COLUMNS="200", EVERFRESH_MODEL__DIM="32")
    assert code == 0
    assert "seconds = 9.0  from everfresh.toml; default 2.0\n    Length of a training" in output
    assert "dim = 32  from EVERFRESH_MODEL__DIM; default 64\n    Width of item" in output
    assert "\npartitions = 4\n    Number of partitions of the events topic" in output


def test_every_setting_has_a_sentence() -> None:
    listed = rows(load_settings(), {}, {})
    assert len(listed) > 30
    assert all(row.sentence.endswith(".") for row in listed)
