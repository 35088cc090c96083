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
from everfresh.adapters.kafka.wire import NotKafka, WireConnection
from everfresh.adapters.machine.tcp_ports import bracketed, connected, parse_address
from everfresh.contracts.errors import Unreachable

SETTING = "kafka.bootstrap_servers (--bootstrap-servers HOST:PORT)"
_CONNECT_S = 3.0
_TRIAL_S = 2.0
_PLAINTEXT = "name a PLAINTEXT listener of that cluster in {setting}"
_START = "start it, or correct {setting}"

Address = tuple[str, int]


class _Fault(Exception):
    """Why an address cannot be used: what was found there, and what to do."""

    def __init__(self, found: str, advice: str = _START) -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice


def require_broker(bootstrap_servers: str, setting: str = SETTING, wait_s: float = 10.0) -> None:
    """``Unreachable`` with one line where none of ``host:port[,…]`` is a broker that can be used.

    An answer is waited for up to ``wait_s``. ``SettingsError`` where the text is not of that form,
    ``MissingDependency`` under ``python -O``.
    """
    require_assertions()
    places = [
        parse_address(part, setting.split(maxsplit=1)[0]) for part in bootstrap_servers.split(",")
    ]
    faults: list[tuple[Address, _Fault]] = []
    for place in places:
        try:
            _look_at(place, wait_s)
        except _Fault as fault:
            faults.append((place, fault))
        else:
            return
    found = [
        f"{shown(place)} {fault.found}" if len(faults) > 1 else fault.found
        for place, fault in faults
    ]
    advice = dict.fromkeys(fault.advice.format(setting=setting) for _, fault in faults)
    raise Unreachable(
        f"no Kafka broker answers at {bootstrap_servers}: it {', and '.join(found)}; "
        f"{'; '.join(advice)}"
    )


def shown(place: Address) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    host, port = place
    return f"{bracketed(host)}:{port}"


def _look_at(place: Address, wait_s: float) -> None:
    """Speak Kafka with what is there; ``_Fault`` where that does not come to a list of brokers."""
    with _connected(place) as connection:
        try:
            versions = WireConnection(connection, wait_s).versions()
        except NotKafka as answer:
            raise _what_else(place, answer.first_bytes) from None
        except TimeoutError:
            raise _what_else(place, b"") from None
        except OSError:
            raise _what_else(place, None) from None
    with _connected(place) as connection:
        try:
            brokers = WireConnection(connection, wait_s).brokers(versions)
        except (NotKafka, OSError):
            mechanisms = _sasl_mechanisms(place, wait_s)
            if mechanisms is None:
                return  # it is Kafka, and busy or of another kind: the client will say what it is
            raise _Fault(
                f"wants a login (SASL: {', '.join(mechanisms) or 'no mechanism named'}), and "
                "everfresh has no settings for SASL yet",
                _PLAINTEXT,
            ) from None
    _require_reachable(place, brokers)


def _require_reachable(place: Address, brokers: Iterable[Address]) -> None:
    """One of the addresses that the broker sends its clients on to must lead somewhere."""
    why = ""
    for broker in brokers:
        if broker == place:
            return
        try:
            _connected(broker).close()
        except _Fault as fault:
            why = why or f"{shown(broker)}, which {fault.found}"
        else:
            return
    if why:
        raise _Fault(
            f"answers, and sends clients on to {why}",
            "correct advertised.listeners of that broker, or make the name known to this machine",
        )


def _connected(place: Address) -> socket.socket:
    try:
        return connected(*place, _CONNECT_S)
    except socket.gaierror as error:
        raise _Fault(f"has a host that is not known here ({error.strerror})") from None
    except TimeoutError:
        raise _Fault(f"gives no sign in {_CONNECT_S:.0f} s, as behind a firewall") from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _Fault(f"accepts no connections ({reason})") from None


def _what_else(place: Address, said: bytes | None) -> _Fault:
    """What is there instead of Kafka. It ``said`` this first; ``None`` where it hung up."""
    if said and said.startswith(b"HTTP/"):
        return _Fault("speaks HTTP")
    if (said and said[0] in (0x15, 0x16) and said[1:2] == b"\x03") or _speaks_tls(place):
        return _Fault("speaks TLS, and everfresh has no settings for TLS yet", _PLAINTEXT)
    if said:
        return _Fault(f"speaks another protocol: its first bytes are {said[:16]!r}")
    if _speaks_http(place):
        return _Fault("speaks HTTP")
    if said is None:
        return _Fault("accepts a connection and hangs up as it is asked for its version")
    return _Fault("accepts a connection and says nothing")


def _speaks_tls(place: Address) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent but the handshake: it only matters whether there is one.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, _Fault), _connected(place) as connection:
        connection.settimeout(_TRIAL_S)
        try:
            context.wrap_socket(connection).close()
        except ssl.SSLError as error:
            return "ALERT" in (error.reason or "")
        return True
    return False


def _speaks_http(place: Address) -> bool:
    with contextlib.suppress(OSError, _Fault), _connected(place) as connection:
        connection.settimeout(_TRIAL_S)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(5) == b"HTTP/"
    return False


def _sasl_mechanisms(place: Address, wait_s: float) -> list[str] | None:
    """The ways to log in that it offers; ``None`` where it wants no login."""
    with contextlib.suppress(OSError, NotKafka, _Fault), _connected(place) as connection:
        return WireConnection(connection, wait_s).sasl_mechanisms()
    return None
