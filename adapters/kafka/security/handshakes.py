"""The TLS handshake and the login as the diagnosis does them: what failed, and by which setting."""

from __future__ import annotations

import socket
import ssl

from kafka.net.sasl import get_sasl_mechanism

from everfresh.adapters.kafka.security.options import python_login
from everfresh.adapters.kafka.wire import ILLEGAL_SASL_STATE, WireConnection
from everfresh.contracts.kafka.security import SASL_SSL, SSL, KafkaSecurity

_MOST_STEPS = 4  # of a login; SCRAM takes two
_NOT_YET_VALID, _EXPIRED = 9, 10
_OF_UNKNOWN_CA = (2, 18, 19, 20, 21)
_OF_OTHER_HOST = (62, 64)


class Fault(Exception):
    """Why an address cannot be used: what was found there, and what to do. ``{setting}`` in the
    advice stands for the setting that names the address."""

    def __init__(self, found: str, advice: str = "start it, or correct {setting}") -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice


def begin_tls(
    connection: socket.socket, context: ssl.SSLContext, host: str, security: KafkaSecurity
) -> ssl.SSLSocket:
    """The connection with TLS on it. ``Fault`` where one side does not trust the other,
    ``OSError`` where there is no handshake."""
    try:
        return context.wrap_socket(connection, server_hostname=host.rstrip("."))
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(error, host, security) from None
    except ssl.SSLError as error:
        require_no_alert(error, security)
        raise


def require_no_alert(error: OSError, security: KafkaSecurity) -> None:
    """``Fault`` where the error says that the broker ended TLS: it does so for a certificate."""
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" not in reason:
        return
    said = reason.lower().replace("_", " ")
    if "certificate" not in said and "unknown ca" not in said:
        raise Fault(f"ends the TLS handshake ({said})", "look into that broker's log") from None
    if not security.certificate_file:
        raise Fault(
            f"wants a certificate of its clients ({said})",
            "set kafka.security.certificate_file and kafka.security.key_file",
        ) from None
    raise Fault(
        f"refuses this client's certificate ({said})",
        f"correct kafka.security.certificate_file, which is {security.certificate_file}",
    ) from None


def _untrusted(error: ssl.SSLCertVerificationError, host: str, security: KafkaSecurity) -> Fault:
    code = error.verify_code
    if code == _EXPIRED:
        return Fault("shows a certificate that has expired", "renew that broker's certificate")
    if code == _NOT_YET_VALID:
        return Fault(
            "shows a certificate that is not valid yet",
            "set this machine's clock, or mend that broker's certificate",
        )
    if code in _OF_OTHER_HOST:
        return Fault(
            f"shows a certificate that does not name {host}",
            "name the broker in {setting} by a host of its certificate (kafka.security.verify_host "
            "turns this check off)",
        )
    if code in _OF_UNKNOWN_CA:
        now = f", which is {security.ca_file}" if security.ca_file else ", which is not set"
        return Fault(
            "shows a certificate of a CA that is not trusted",
            f"name that cluster's CA in kafka.security.ca_file{now}",
        )
    return Fault(
        f"shows a certificate that is not trusted ({error.verify_message})",
        "mend that broker's certificate, or correct kafka.security.ca_file",
    )


def log_in(wire: WireConnection, security: KafkaSecurity) -> None:
    """Log in as the settings say. ``Fault`` where the broker does not want that, ``SettingsError``
    or ``Unreachable`` where there is no password or token."""
    mechanism = security.mechanism
    code, offered = wire.sasl_handshake(mechanism)
    if code == ILLEGAL_SASL_STATE:
        without = SSL if security.protocol == SASL_SSL else "PLAINTEXT"
        raise Fault(
            f"wants no login, and kafka.security.protocol is {security.protocol}",
            f"set it to {without}, or name another listener in {{setting}}",
        )
    if mechanism not in offered:
        raise Fault(
            f"offers the logins {', '.join(offered) or '(none)'}, and kafka.security.mechanism is "
            f"{mechanism}",
            "set it to one of them",
        )
    client = get_sasl_mechanism(mechanism)(**python_login(security))
    for _ in range(_MOST_STEPS):
        code, said, answer = wire.sasl_authenticate(client.auth_bytes())
        if code:
            raise _refused(security, said)
        try:
            client.receive(answer)
        except (ValueError, KeyError):
            raise _refused(
                security, "its answer does not prove that it knows the password"
            ) from None
        if client.is_done():
            return
    raise _refused(security, "")


def _refused(security: KafkaSecurity, said: str) -> Fault:
    return Fault(
        f"refuses the login of {security.username!r} by {security.mechanism}"
        + (f" ({' '.join(said.split())[:300]})" if said else ""),
        "correct kafka.security.username and kafka.security.password (or password_file)",
    )
