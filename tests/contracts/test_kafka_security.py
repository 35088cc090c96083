"""Security settings that exclude each other are refused; no secret is ever shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.kafka.security import KafkaSecurity
from everfresh.contracts.settings import load_settings
from everfresh.infra.components import settings_environment

SECRET = 't0p"{secret'
PLAIN = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "ann"}
TOKENS = {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "username": "app"}


@pytest.fixture(autouse=True)
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"protocol": "SASL_SSL"}, "protocol is SASL_SSL and mechanism is empty; set one of PLAIN, SC"),
    ({**PLAIN}, "mechanism is PLAIN and password is empty; set it, or password_file"),
    ({**PLAIN, "username": "", "password": SECRET}, "mechanism is PLAIN and username is empty"),
    ({"mechanism": "PLAIN"}, "protocol is PLAINTEXT, which has no login, and mechanism is set"),
    ({"protocol": "SSL", "password": SECRET}, "protocol is SSL, which has no login, and password"),
    ({"ca_file": "ca"}, "protocol is PLAINTEXT, which has no TLS, and ca_file is set; set protoco"),
    (
        {**PLAIN, "protocol": "SASL_PLAINTEXT", "password": SECRET, "verify_host": False},
        "protocol is SASL_PLAINTEXT, which has no TLS, and verify_host is set; set protocol to SAS",
    ),
    ({"protocol": "SSL", "certificate_file": "c"}, "certificate_file is set and key_file is not"),
    ({"protocol": "SSL", "key_file": "k"}, "key_file is set and certificate_file is not"),
    ({"protocol": "SSL", "key_password": SECRET}, "key_password is set and key_file is not"),
    (
        {**PLAIN, "password": SECRET, "password_file": "p"},
        "password and password_file are both set; keep one of them",
    ),
    ({**TOKENS, "password": SECRET}, "mechanism is OAUTHBEARER and token_url is empty"),
    (
        {**TOKENS, "password": SECRET, "token_url": "http://login.example/token"},
        "token_url must begin with https://, since the client's secret is sent there",
    ),
    (
        {**TOKENS, "token_url": "https://login.example/token"},
        "password (the client's secret) is empty",
    ),
    ({**PLAIN, "password": SECRET, "token_scope": "x"}, "token_scope is set and mechanism is PLAI"),
]


@pytest.mark.parametrize(("values", "said"), WRONG, ids=[said[:40] for _, said in WRONG])
def test_security_that_contradicts_itself_is_refused_in_one_line(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as by_settings:
        load_settings({"kafka": {"security": values}})
    with pytest.raises(SettingsError) as by_producer:
        KafkaSecurity(**values)
    for refused in (by_settings, by_producer):
        words = str(refused.value)
        assert said in words
        assert "\n" not in words
        assert SECRET not in words
    assert "kafka.security: " in str(by_settings.value)


def test_an_unknown_protocol_or_mechanism_names_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match=r"protocol must be one of PLAINTEXT, SSL, SASL_PLAIN"):
        KafkaSecurity(protocol="TLS")
    with pytest.raises(SettingsError, match=r"mechanism must be one of PLAIN, .* found 'GSSAPI'"):
        KafkaSecurity(protocol="SASL_SSL", mechanism="GSSAPI")
    with pytest.raises(SettingsError, match=r"kafka\.security\.protocol: Input should be 'PLAIN"):
        load_settings({"kafka": {"security": {"protocol": "TLS"}}})


def test_a_secret_reaches_a_child_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = {"certificate_file": "c.pem", "key_file": "k.pem", "key_password": SECRET}
    given = {**PLAIN, "password": SECRET, **certificate}
    sent = load_settings({"home": tmp_path, "kafka": {"security": given}})
    for name, value in settings_environment(sent).items():
        monkeypatch.setenv(name, value)
    taken = load_settings()
    assert taken == sent
    security = taken.kafka.security.of_client
    assert (security.password, security.key_password) == (SECRET, SECRET)
    assert security.certificate_file == str(tmp_path / "c.pem")
    for shown in (taken, taken.kafka.brokers, security, [security]):
        assert SECRET not in f"{shown} {shown!r}"
        assert "t0p" not in f"{shown} {shown!r}"


def test_the_examples_of_the_page_can_be_loaded(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text()
    (example,) = re.findall("```toml\n(.*?)```", page, flags=re.S)
    (tmp_path / "everfresh.toml").write_text(example)
    brokers = load_settings().kafka.brokers
    assert brokers.security.protocol == "SASL_SSL"
    assert brokers.servers.count(":9093") == 2
    (code,) = re.findall("```python\n(.*?)```", page, flags=re.S)
    made: dict[str, Any] = {}
    exec(code[: code.index("with EventProducer")], made)
    assert made["security"].username == "shop"


def test_the_file_has_the_group_as_a_table(tmp_path: Path) -> None:
    (tmp_path / "everfresh.toml").write_text(
        '[kafka]\nbootstrap_servers = "kafka.example:9093"\n[kafka.security]\n'
        'protocol = "SASL_SSL"\nmechanism = "SCRAM-SHA-512"\nusername = "everfresh"\n'
        'password_file = "secret"\n'
    )
    brokers = load_settings().kafka.brokers
    assert brokers.servers == "kafka.example:9093"
    assert brokers.security.mechanism == "SCRAM-SHA-512"
    assert brokers.security.password_file == str(tmp_path / "secret")
    (tmp_path / "everfresh.toml").write_text('[kafka.security]\npasword = "x"\n')
    with pytest.raises(SettingsError, match=r"did you mean kafka\.security\.password\?"):
        load_settings()
