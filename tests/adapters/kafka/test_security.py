"""TLS and login: what the broker or the files have against it is one line with the setting."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from everfresh.adapters.kafka.diagnosis import require_broker
from everfresh.adapters.kafka.security.files import password
from everfresh.adapters.kafka.security.options import librdkafka_options, python_options
from everfresh.adapters.kafka.security.tls import tls_context
from everfresh.contracts.errors import SettingsError, Unreachable
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from everfresh.streaming.producer import EventProducer
from tests.adapters.kafka.listeners import kafka, listening, with_tls
from tests.adapters.kafka.refusals import SECRET, said
from tests.certificates import Authority, Pair

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("broker", HERE, "localhost")


def tls(authority: Authority, **more: Any) -> KafkaSecurity:
    return KafkaSecurity(**{"protocol": "SSL", "ca_file": str(authority.file), **more})


def login(authority: Authority, **more: Any) -> KafkaSecurity:
    plain = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "ann", "password": SECRET}
    return tls(authority, **{**plain, **more})


def test_a_broker_behind_tls_and_a_login_is_one(authority: Authority, pair: Pair) -> None:
    with listening(with_tls(pair, kafka())) as servers:
        require_broker(Brokers(servers, tls(authority)))
    token = f"ann\0ann\0{SECRET}".encode()
    answer = with_tls(pair, kafka(sasl=True, offered=["PLAIN"], token=token))
    with listening(answer) as servers:
        require_broker(Brokers(servers, login(authority)))
        words = said(servers, login(authority, password="wrong"))
        assert "it refuses the login of 'ann' by PLAIN (Authentication failed: Inval" in words
        assert "correct kafka.security.username and kafka.security.password" in words


def test_a_certificate_that_cannot_be_trusted_names_cause_and_setting(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    with listening(with_tls(pair, kafka())) as servers:
        words = said(servers, tls(other))
        assert (
            "it shows a certificate of a CA that is not trusted; name that cluster's CA in" in words
        )
        assert f"kafka.security.ca_file, which is {other.file}" in words
        assert "kafka.security.ca_file, which is not set" in said(
            servers, KafkaSecurity(protocol="SSL")
        )
    with listening(with_tls(authority.issue("old", HERE, days=-1), kafka())) as servers:
        assert "it shows a certificate that has expired; renew" in said(servers, tls(authority))
    with listening(with_tls(authority.issue("else", "kafka.example"), kafka())) as servers:
        words = said(servers, tls(authority))
        assert (
            f"it shows a certificate that does not name {HERE}; name the broker in kafka.b" in words
        )
        assert "(kafka.security.verify_host turns this check off)" in words
        require_broker(Brokers(servers, tls(authority, verify_host=False)))


def test_an_advertised_address_must_show_its_certificate_too(
    authority: Authority, pair: Pair
) -> None:
    with listening(with_tls(authority.issue("else", "kafka.example"), kafka())) as other:
        advertised = (HERE, int(other.rpartition(":")[2]))
        with listening(with_tls(pair, kafka(advertised))) as servers:
            words = said(servers, tls(authority))
    assert f"sends clients on to {other}, which shows a certificate that does not name" in words


def test_tls_against_plain_text_and_the_reverse_are_told_apart(
    authority: Authority, pair: Pair
) -> None:
    with listening(kafka()) as servers:
        words = said(servers, tls(authority))
        assert "it speaks Kafka without TLS, and kafka.security.protocol is SSL; name its" in words
    with listening(with_tls(pair, kafka())) as servers:
        words = said(servers, KafkaSecurity())
        assert "it speaks TLS, and kafka.security.protocol is PLAINTEXT; set it to SSL" in words
        words = said(servers, login(authority, protocol="SASL_PLAINTEXT", ca_file=""))
        assert "kafka.security.protocol is SASL_PLAINTEXT; set it to SASL_SSL" in words
    with listening(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as servers:
        assert "it does not take part in a TLS handshake" in said(servers, tls(authority))


def test_a_certificate_that_is_wanted_or_refused_names_its_setting(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    with listening(with_tls(pair, kafka(), str(authority.file))) as servers:
        words = said(servers, tls(authority))
        assert "it wants a certificate of its clients (" in words
        assert "set kafka.security.certificate_file and kafka.security.key_file" in words
        foreign = Authority(tmp_path, "foreign").issue("ann")
        files = {"certificate_file": str(foreign.certificate), "key_file": str(foreign.key)}
        words = said(servers, tls(authority, **files))
        assert "it refuses this client's certificate (" in words
        assert f"correct kafka.security.certificate_file, which is {foreign.certificate}" in words
        ours = authority.issue("ann")
        files = {"certificate_file": str(ours.certificate), "key_file": str(ours.key)}
        require_broker(Brokers(servers, tls(authority, **files)))


def test_a_login_that_is_not_offered_or_not_wanted_names_its_setting(
    authority: Authority, pair: Pair
) -> None:
    with listening(with_tls(pair, kafka(sasl=True))) as servers:
        words = said(servers, login(authority))
        assert (
            "it offers the logins SCRAM-SHA-512, GSSAPI, and kafka.security.mechanism is" in words
        )
        words = said(servers, tls(authority))
        assert (
            "wants a login (SASL: SCRAM-SHA-512, GSSAPI), and kafka.security.protocol is" in words
        )
        assert "set it to SASL_SSL" in words
    with listening(with_tls(pair, kafka())) as servers:
        words = said(servers, login(authority))
        assert "it wants no login, and kafka.security.protocol is SASL_SSL; set it to SSL" in words


def test_a_secret_file_is_read_without_its_line_break(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch(0o600)
    for content in (b"t0p s\xc3\xa9cret", b"t0p s\xc3\xa9cret\n", b"t0p s\xc3\xa9cret\r\n"):
        file.write_bytes(content)
        assert password(_of_file(file)) == "t0p sécret"


def _of_file(file: Path) -> KafkaSecurity:
    return KafkaSecurity(
        protocol="SASL_SSL", mechanism="PLAIN", username="ann", password_file=str(file)
    )


@pytest.mark.parametrize(
    ("content", "mode", "found"),
    [
        (None, 0, "which cannot be read (No such file or directory); name a file that can"),
        (b"x", 0o644, "which others may read or write (mode 0644), and it holds a secret; run chm"),
        (b"", 0o600, "which holds nothing; write the password alone into it"),
        (b"\n", 0o600, "which holds nothing"),
        (b"a\nb\n", 0o400, "which holds more than one line"),
        (b"\xff", 0o440, "which is no text in UTF-8"),
    ],
)
def test_a_password_file_that_cannot_serve_is_refused(
    tmp_path: Path, content: bytes | None, mode: int, found: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    brokers = Brokers(f"{HERE}:1", _of_file(file))
    for make in (python_options, librdkafka_options):
        with pytest.raises(SettingsError) as caught:
            make(brokers)
        assert f"kafka.security.password_file names {file}, {found}" in str(caught.value)


@pytest.fixture
def client(authority: Authority) -> dict[str, Any]:
    pair = authority.issue("client", key_password=SECRET)
    return {
        "certificate_file": str(pair.certificate),
        "key_file": str(pair.key),
        "key_password": SECRET,
    }


def test_an_encrypted_key_is_opened_by_its_password_alone(
    authority: Authority, client: dict[str, Any], tmp_path: Path
) -> None:
    tls_context(tls(authority, **client))
    Producer(librdkafka_options(Brokers(f"{HERE}:1", tls(authority, **client))))
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text(f"{SECRET}\n")
    tls_context(tls(authority, **(client | {"key_password": "", "key_password_file": str(file)})))
    for wrong, found in (
        ("", "kafka.security.key_password is empty"),
        ("x", "key_password is wron"),
    ):
        with pytest.raises(SettingsError, match=found):
            tls_context(tls(authority, **(client | {"key_password": wrong})))


def test_files_of_tls_that_cannot_serve_are_refused(
    authority: Authority, client: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"ca_file names /nowhere, which cannot be read"):
        tls_context(tls(authority, ca_file="/nowhere"))
    with pytest.raises(SettingsError, match=r"ca_file names .*, which holds no certificate in PEM"):
        tls_context(tls(authority, ca_file=client["key_file"]))
    other = authority.issue("another")
    with pytest.raises(SettingsError, match=r"key_file .* do not belong together"):
        tls_context(tls(authority, **(client | {"key_file": str(other.key), "key_password": ""})))
    Path(client["key_file"]).chmod(0o604)
    with pytest.raises(SettingsError, match=r"key_file names .*others may read .*\(mode 0604\)"):
        tls_context(tls(authority, **client))


def test_both_libraries_verify_the_host_unless_told_otherwise(authority: Authority) -> None:
    for verified, name in ((True, "https"), (False, "none")):
        brokers = Brokers(f"{HERE}:1", tls(authority, verify_host=verified))
        of_librdkafka = librdkafka_options(brokers)
        assert of_librdkafka["ssl.endpoint.identification.algorithm"] == name
        assert "enable.ssl.certificate.verification" not in of_librdkafka
        context = python_options(brokers)["ssl_context"]
        assert (context.check_hostname, context.verify_mode) == (verified, 2)


def test_the_producer_client_says_it_too(authority: Authority, pair: Pair) -> None:
    with listening(with_tls(pair, kafka(sasl=True, offered=["PLAIN"]))) as servers:
        with pytest.raises(Unreachable, match="refuses the login of 'ann'"):
            EventProducer(servers, security=login(authority))
        with pytest.raises(Unreachable, match=r"speaks TLS, and kafka\.security\.protocol is"):
            EventProducer(servers)
