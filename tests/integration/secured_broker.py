"""A real Kafka broker with a listener for each way to secure it, and an authorizer.

The PLAINTEXT listener is the administrator's, who may do everything: there, users are nobody
(``ANONYMOUS``). On the others nobody may do anything that no ACL allows.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from everfresh.adapters.kafka.admin import broker_answers
from everfresh.adapters.machine.tcp_ports import free_ports
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity
from everfresh.infra.broker.broker import EmbeddedBroker
from tests.certificates import Authority

HOST = "127.0.0.1"
WAIT_S = 240.0
PASSWORD = "s3cret, with {signs} = \" and '"
LISTENERS = ("SCRAM", "PLAIN", "OAUTH", "MUTUAL")
_MODULES = "org.apache.kafka.common.security"

_PROPERTIES = """
listeners=PLAINTEXT://{host}:{{port}},CONTROLLER://{host}:{{controller_port}},\
SCRAM://{host}:{SCRAM},PLAIN://{host}:{PLAIN},OAUTH://{host}:{OAUTH},MUTUAL://{host}:{MUTUAL}
advertised.listeners=PLAINTEXT://{host}:{{port}},SCRAM://{host}:{SCRAM},PLAIN://{host}:{PLAIN},\
OAUTH://{host}:{OAUTH},MUTUAL://{host}:{MUTUAL}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,\
PLAIN:SASL_PLAINTEXT,OAUTH:SASL_PLAINTEXT,MUTUAL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.scram.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.scram.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.plain.sasl.enabled.mechanisms=PLAIN
listener.name.plain.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
user_ann="open-sesame";
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule \
required unsecuredLoginStringClaim_sub="nobody";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


_OPERATIONS = {each.name.title().replace("_", ""): each for each in ACLOperation}
"""By the names that Kafka's tools print, such as ``DescribeConfigs``."""


class Allowed(msgspec.Struct, frozen=True):
    """Some operations on a topic, a group (``group:NAME``) or the cluster (``cluster``)."""

    resource: str
    operations: str

    def acls(self, user: str) -> list[ACL]:
        kind, _, name = self.resource.rpartition(":")
        if self.resource == "cluster":
            kind, name = "cluster", "kafka-cluster"
        pattern = ResourcePattern(
            ResourceType[(kind or "topic").upper()], name, ACLResourcePatternType.LITERAL
        )
        return [
            ACL(
                principal=f"User:{user}",
                host="*",
                operation=_OPERATIONS[operation],
                permission_type=ACLPermissionType.ALLOW,
                resource_pattern=pattern,
            )
            for operation in self.operations.split()
        ]


class SecuredBroker:
    """Start it in a ``with``; ``folder`` holds data and certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "ca")
        keystore = self.authority.issue("broker", HOST, "localhost").both
        self._ports = dict(zip(LISTENERS, free_ports(len(LISTENERS), HOST), strict=True))
        more = _PROPERTIES.format(
            host=HOST,
            keystore=keystore,
            truststore=self.authority.file,
            modules=_MODULES,
            **self._ports,
        )
        self.embedded = EmbeddedBroker(folder / "data", heap_mb=256, more=more)

    def __enter__(self) -> SecuredBroker:
        self.embedded.start()
        self._admin = KafkaAdminClient(bootstrap_servers=self.admin.servers)
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()
        self.embedded.stop()

    @property
    def admin(self) -> Brokers:
        """The way in of the administrator."""
        return Brokers(self.embedded.bootstrap_servers)

    def servers(self, listener: str) -> str:
        return f"{HOST}:{self._ports[listener]}"

    def add_user(self, name: str, mechanism: str = "SCRAM-SHA-512") -> KafkaSecurity:
        """A user who logs in by SCRAM over TLS, with the password of all."""
        kind = ScramMechanism[mechanism.replace("-", "_")]
        change = UserScramCredentialUpsertion(name, kind, PASSWORD)
        assert self._admin.alter_user_scram_credentials([change]) == {name: None}
        security = KafkaSecurity(
            protocol="SASL_SSL",
            mechanism=mechanism,
            username=name,
            password=PASSWORD,
            ca_file=str(self.authority.file),
        )
        # What the controller has written, the broker knows a moment later.
        _until(lambda: broker_answers(Brokers(self.servers("SCRAM"), security)))
        return security

    def mutual(self, name: str) -> KafkaSecurity:
        """The security of a user who shows a certificate."""
        pair = self.authority.issue(name)
        return KafkaSecurity(
            protocol="SSL",
            ca_file=str(self.authority.file),
            certificate_file=str(pair.certificate),
            key_file=str(pair.key),
        )

    def plain(self, password: str = "open-sesame") -> KafkaSecurity:
        """The security of the only user of PLAIN, without TLS."""
        return KafkaSecurity(
            protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="ann", password=password
        )

    def by_token(self, url: str) -> KafkaSecurity:
        """The security of whom the token endpoint names, without TLS."""
        login = {"mechanism": "OAUTHBEARER", "username": "app", "password": PASSWORD}
        return KafkaSecurity(protocol="SASL_PLAINTEXT", token_url=url, **login)

    def allow(self, user: str, *rows: Allowed) -> None:
        """Returns once the broker knows it."""
        acls = [acl for row in rows for acl in row.acls(user)]
        if acls:
            self._admin.create_acls(acls)
        wanted = ACLFilter(
            f"User:{user}",
            None,
            ACLOperation.ANY,
            ACLPermissionType.ANY,
            ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
        )
        _until(lambda: len(self._admin.describe_acls(wanted)[0]) >= len(acls))


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


@contextmanager
def token_endpoint(user: str) -> Iterator[str]:
    """Its URL. It gives everybody a token in this user's name, without a signature."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            answer = {"access_token": _unsigned(user), "expires_in": 3000}
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/token"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _unsigned(user: str) -> str:
    claims = {"sub": user, "iat": time.time() - 60, "exp": time.time() + 3000}
    parts = ({"alg": "none"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
    return ".".join(part.decode().rstrip("=") for part in encoded) + "."
