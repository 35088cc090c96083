"""The files that the security settings name: read or refused in one line, and no secret shown."""

from __future__ import annotations

import stat
from pathlib import Path

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.kafka.security import KafkaSecurity

_OF_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_LARGEST_SECRET = 65_536


def require_readable(
    setting: str, path: str, *, secret: bool = False, group: str = "kafka.security"
) -> None:
    """``SettingsError`` where it is no file that can be read, or others may read a ``secret``."""
    named = f"{group}.{setting} names {path}, "
    try:
        with Path(path).open("rb") as file:
            file.read(1)
            mode = Path(path).stat().st_mode
    except OSError as error:
        raise SettingsError(
            f"{named}which cannot be read ({error.strerror}); name a file that can"
        ) from None
    if secret and mode & _OF_OTHERS:
        raise SettingsError(
            f"{named}which others may read or write (mode {stat.S_IMODE(mode):04o}), and it holds "
            f"a secret; run chmod 600 {path} (for a Kubernetes secret, defaultMode: 0440)"
        )


def password(security: KafkaSecurity) -> str:
    """The password that logs in, from the setting or from its file."""
    return security.password or first_line("password_file", security.password_file)


def key_password(security: KafkaSecurity) -> str:
    """The password of the private key; empty for none."""
    if security.key_password or not security.key_password_file:
        return security.key_password
    return first_line("key_password_file", security.key_password_file)


def first_line(setting: str, path: str, group: str = "kafka.security") -> str:
    """The secret that a file of the settings' group holds; ``SettingsError`` for any other file."""
    require_readable(setting, path, secret=True, group=group)
    try:
        secret = Path(path).read_bytes()[:_LARGEST_SECRET].decode()
    except UnicodeDecodeError:
        raise SettingsError(
            f"{group}.{setting} names {path}, which is no text in UTF-8; write the password "
            "alone into it"
        ) from None
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret or "\n" in secret:
        found = "more than one line" if secret else "nothing"
        raise SettingsError(
            f"{group}.{setting} names {path}, which holds {found}; write the password alone into it"
        )
    return secret
