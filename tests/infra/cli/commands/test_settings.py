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


@pytest.mark.process
def test_the_security_of_kafka_is_a_table_of_its_own_without_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "everfresh.toml").write_text(
        '[kafka.security]\nprotocol = "SASL_SSL"\nmechanism = "PLAIN"\nusername = "ann"\n'
    )
    secret = {"EVERFRESH_KAFKA__SECURITY__PASSWORD": "t0p-secret"}
    code, output, errors = everfresh("settings", cwd=tmp_path, COLUMNS="200", **secret)
    assert code == 0
    assert "\n[kafka.security]  TLS and login of every connection" in output
    assert 'protocol = "SASL_SSL"  from everfresh.toml; default "PLAINTEXT"\n' in output
    assert 'password = "**********"  from EVERFRESH_KAFKA__SECURITY__PASSWORD; def' in output
    assert "t0p-secret" not in output + errors


def test_every_setting_has_a_sentence() -> None:
    listed = rows(load_settings(), {}, {})
    assert len(listed) > 30
    assert all(row.sentence.endswith(".") for row in listed)
