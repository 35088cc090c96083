"""The TLS context of a Kafka client: whom it trusts, and the certificate that it shows."""

from __future__ import annotations

import ssl

from everfresh.adapters.kafka.security.files import key_password, require_readable
from everfresh.contracts.errors import SettingsError
from everfresh.contracts.kafka.security import KafkaSecurity


def require_files(security: KafkaSecurity) -> None:
    """``SettingsError`` where a file that is named cannot serve."""
    if security.ca_file:
        require_readable("ca_file", security.ca_file)
    if security.certificate_file:
        require_readable("certificate_file", security.certificate_file)
        require_readable("key_file", security.key_file, secret=True)


def tls_context(security: KafkaSecurity) -> ssl.SSLContext:
    """With ``ca_file`` it trusts the authorities in it alone. ``SettingsError`` for a bad file."""
    require_files(security)
    try:
        context = ssl.create_default_context(cafile=security.ca_file or None)
    except (ssl.SSLError, ValueError):
        raise SettingsError(
            f"kafka.security.ca_file names {security.ca_file}, which holds no certificate in PEM "
            "form; name the CA's certificate"
        ) from None
    context.check_hostname = security.verify_host
    # Python 3.13 and later refuse CAs that lack an extension, and no other Kafka client does.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if security.certificate_file:
        _show_certificate(context, security)
    return context


def _show_certificate(context: ssl.SSLContext, security: KafkaSecurity) -> None:
    secret = key_password(security)
    try:
        # Given as a function, so that OpenSSL never asks for it on the terminal.
        context.load_cert_chain(security.certificate_file, security.key_file, lambda: secret)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or ""
        if "MISMATCH" in reason:
            found = "do not belong together"
        elif secret:
            found = (
                "are no certificate and key in PEM form, or kafka.security.key_password is wrong"
            )
        else:
            found = (
                "are no certificate and key in PEM form, or the key is encrypted and "
                "kafka.security.key_password is empty"
            )
        raise SettingsError(
            f"kafka.security.certificate_file {security.certificate_file} and key_file "
            f"{security.key_file} {found}; correct them"
        ) from None
