"""What the environment of whoever started us must not do to this process and its children.

Variables are set for other programs: a proxy for the outside world, a locale of ASCII alone. This
process's environment is corrected once, when it starts, and its children inherit that.
"""

from __future__ import annotations

import locale
import os
from collections.abc import MutableMapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
_EXEMPT = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
_ASCII = ("ANSI_X3.4-1968", "US-ASCII", "ASCII", "646")
"""Names that C libraries give to the encoding of the locales C and POSIX."""


def correct_environment() -> None:
    """Call it before anything else is loaded or started. Harmless twice."""
    spare_loopback(os.environ)
    speak_utf8(os.environ, locale.nl_langinfo(locale.CODESET))


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Where a proxy is named, name loopback among what is not asked of it: no proxy reaches it."""
    if not any(name.lower() in _PROXIES and value for name, value in environment.items()):
        return
    for name in _EXEMPT:
        # gRPC takes the first of its two names that is set, others prefer the lower case.
        others = environment.get(name) or environment.get("no_proxy") or environment.get("NO_PROXY")
        named = [part.strip() for part in (others or "").split(",") if part.strip()]
        missing = [host for host in LOOPBACK if host not in named]
        environment[name] = ",".join([*named, *missing])


def speak_utf8(environment: MutableMapping[str, str], encoding: str) -> None:
    """Where the locale's ``encoding`` is ASCII, give children UTF-8: paths may hold any letter.

    Python takes UTF-8 there by itself; Java and the C library do not.
    """
    if encoding in _ASCII:
        environment["LC_ALL"] = "C.UTF-8"
