"""What is at an address that should be a Kafka broker: one diagnosis for every part that connects.

Asked before a client connects, because the clients only say that no broker answers. It speaks the
smallest part of Kafka's protocol: which versions a broker knows, and the addresses it sends its
clients on to. What answers otherwise is looked at more closely: TLS, SASL, HTTP, or silence.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterable

from everfresh.adapters.kafka.assertions import require_assertions
from everfresh.adapters.kafka.security.handshakes import (
    Fault,
    begin_tls,
    log_in,
    require_no_alert,
)
from everfresh.adapters.kafka.security.tls import tls_context
from everfresh.adapters.kafka.wire import ILLEGAL_SASL_STATE, NotKafka, Versions, WireConnection
from everfresh.adapters.machine.tcp_ports import bracketed, connected, parse_address
from everfresh.contracts.errors import Unreachable
from everfresh.contracts.kafka.security import Brokers, KafkaSecurity

SETTING = "kafka.bootstrap_servers (--bootstrap-servers HOST:PORT)"
_CONNECT_S = 3.0
_TRIAL_S = 2.0

Address = tuple[str, int]


def require_broker(brokers: Brokers, setting: str = SETTING, wait_s: float = 10.0) -> None:
    """``Unreachable`` with one line where none of the addresses is a broker that can be used.

    An answer is waited for up to ``wait_s``. ``SettingsError`` where an address is none or a file
    that the security names cannot be used, ``MissingDependency`` under ``python -O``.
    """
    require_assertions()
    servers, security = brokers.servers, brokers.security
    places = [parse_address(part, setting.split(maxsplit=1)[0]) for part in servers.split(",")]
    look = _Look(security, wait_s)
    faults: list[tuple[Address, Fault]] = []
    for place in places:
        try:
            look.at(place)
        except Fault as fault:
            faults.append((place, fault))
        else:
            return
    found = [
        f"{shown(place)} {fault.found}" if len(faults) > 1 else fault.found
        for place, fault in faults
    ]
    advice = dict.fromkeys(fault.advice.replace("{setting}", setting) for _, fault in faults)
    raise Unreachable(
        f"no Kafka broker answers at {servers}: it {', and '.join(found)}; {'; '.join(advice)}"
    )


def shown(place: Address) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    host, port = place
    return f"{bracketed(host)}:{port}"


class _Look:
    """Speaks Kafka with what is at an address, by the security that the settings name."""

    def __init__(self, security: KafkaSecurity, wait_s: float) -> None:
        self._security = security
        self._wait_s = wait_s
        self._tls = tls_context(security) if security.has_tls else None

    def at(self, place: Address) -> None:
        """``Fault`` where that does not come to a list of brokers that are there."""
        with self._opened(place) as connection:
            wire = WireConnection(connection, self._wait_s)
            try:
                versions = wire.versions()
            except NotKafka as answer:
                raise self._what_else(place, answer.first_bytes) from None
            except TimeoutError:
                raise self._what_else(place, b"") from None
            except OSError as error:
                require_no_alert(error, self._security)
                self._listen_for_alert(place)
                raise self._what_else(place, None) from None
            if self._security.has_login:
                self._require_reachable(place, self._after_login(wire, versions))
                return
        with self._opened(place) as connection:
            try:
                brokers = WireConnection(connection, self._wait_s).brokers(versions)
            except (NotKafka, OSError):
                mechanisms = self._sasl_mechanisms(place)
                if mechanisms is None:
                    return  # it is Kafka, and busy or of another kind: the client will say so
                raise Fault(
                    f"wants a login (SASL: {', '.join(mechanisms) or 'no mechanism named'}), and "
                    f"kafka.security.protocol is {self._security.protocol}",
                    f"set it to {'SASL_SSL' if self._tls else 'SASL_PLAINTEXT'}, with "
                    "kafka.security.mechanism, username and password",
                ) from None
        self._require_reachable(place, brokers)

    def _after_login(self, wire: WireConnection, versions: Versions) -> list[Address]:
        try:
            log_in(wire, self._security)
            return wire.brokers(versions)
        except (NotKafka, OSError):
            raise Fault(
                "hangs up on the login, or does not answer it", "look into that broker's log"
            ) from None

    def _require_reachable(self, place: Address, brokers: Iterable[Address]) -> None:
        """One of the addresses that the broker sends its clients on to must lead somewhere."""
        why: Fault | None = None
        for broker in brokers:
            if broker == place:
                return
            try:
                self._opened(broker).close()
            except Fault as fault:
                why = why or Fault(f"{shown(broker)}, which {fault.found}", fault.advice)
            else:
                return
        if why is not None:
            raise Fault(
                f"answers, and sends clients on to {why.found}",
                "correct advertised.listeners of that broker, or make the name known to this "
                "machine"
                if "{setting}" in why.advice
                else why.advice,
            )

    def _opened(self, place: Address) -> socket.socket:
        """A connection, with TLS where the settings say so."""
        connection = _connected(place)
        if self._tls is None:
            return connection
        try:
            connection.settimeout(self._wait_s)
            return begin_tls(connection, self._tls, place[0], self._security)
        except OSError as error:
            raise self._no_tls(place, error) from None
        finally:
            connection.close()  # with TLS on it, it is another object's

    def _listen_for_alert(self, place: Address) -> None:
        """A broker that refuses a certificate says so after the handshake. Where something has been
        sent to it meanwhile, the words can be lost with the connection: so nothing is sent here."""
        if self._tls is None:
            return
        with self._opened(place) as connection:
            connection.settimeout(_TRIAL_S)
            try:
                connection.recv(1)
            except OSError as error:
                require_no_alert(error, self._security)

    def _no_tls(self, place: Address, error: OSError) -> Fault:
        protocol = self._security.protocol
        with contextlib.suppress(OSError, NotKafka, Fault), _connected(place) as connection:
            WireConnection(connection, _TRIAL_S).versions()
            plain = "SASL_PLAINTEXT" if self._security.has_login else "PLAINTEXT"
            return Fault(
                f"speaks Kafka without TLS, and kafka.security.protocol is {protocol}",
                f"name its TLS listener in {{setting}}, or set {plain}",
            )
        if _speaks_http(place):
            return Fault("speaks HTTP")
        reason = getattr(error, "reason", None) or error.strerror or "no answer in time"
        return Fault(
            f"does not take part in a TLS handshake ({str(reason).lower().replace('_', ' ')})"
        )

    def _what_else(self, place: Address, said: bytes | None) -> Fault:
        """What is there instead of Kafka. It ``said`` this first; ``None`` where it hung up."""
        if said and said.startswith(b"HTTP/"):
            return Fault("speaks HTTP")
        tls = said and said[0] in (0x15, 0x16) and said[1:2] == b"\x03"
        if self._tls is None and (tls or _speaks_tls(place)):
            protocol = self._security.protocol
            return Fault(
                f"speaks TLS, and kafka.security.protocol is {protocol}",
                f"set it to {protocol.replace('PLAINTEXT', 'SSL')}",
            )
        if said:
            return Fault(f"speaks another protocol: its first bytes are {said[:16]!r}")
        if self._tls is None and _speaks_http(place):
            return Fault("speaks HTTP")
        if said is None:
            return Fault("accepts a connection and hangs up as it is asked for its version")
        return Fault("accepts a connection and says nothing")

    def _sasl_mechanisms(self, place: Address) -> list[str] | None:
        """The ways to log in that it offers; ``None`` where it wants no login."""
        with contextlib.suppress(OSError, NotKafka, Fault), self._opened(place) as connection:
            code, offered = WireConnection(connection, self._wait_s).sasl_handshake("PLAIN")
            return None if code == ILLEGAL_SASL_STATE else offered
        return None


def _connected(place: Address) -> socket.socket:
    try:
        return connected(*place, _CONNECT_S)
    except socket.gaierror as error:
        raise Fault(f"has a host that is not known here ({error.strerror})") from None
    except TimeoutError:
        raise Fault(f"gives no sign in {_CONNECT_S:.0f} s, as behind a firewall") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Fault(f"accepts no connections ({reason})") from None


def _speaks_tls(place: Address) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent but the handshake: it only matters whether there is one.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, Fault), _connected(place) as connection:
        connection.settimeout(_TRIAL_S)
        try:
            context.wrap_socket(connection).close()
        except ssl.SSLError as error:
            return "ALERT" in (error.reason or "")
        return True
    return False


def _speaks_http(place: Address) -> bool:
    with contextlib.suppress(OSError, Fault), _connected(place) as connection:
        connection.settimeout(_TRIAL_S)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(5) == b"HTTP/"
    return False
