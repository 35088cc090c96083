"""Fetches pinned jars over HTTPS from a Maven repository: Maven Central, or a mirror of it.

A jar takes its name only after its hash has been checked, so what stands under a jar's name is that
jar. Proxies and certificates are taken from the environment (``HTTPS_PROXY``, ``NO_PROXY``,
``SSL_CERT_FILE``) and from the system.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import msgspec

from everfresh.adapters.machine.surroundings import LOOPBACK
from everfresh.contracts.errors import MissingDependency

ELSEWHERE = "or pass --bootstrap-servers HOST:PORT to use a Kafka that runs elsewhere"
_TRIES = 3
_PAUSE_S = 1.0
_TIMEOUT_S = 30.0
_LARGEST = 64 * 2**20  # bytes; the largest pinned jar has 11 MB
_BUSY = (408, 429, 500, 502, 503, 504)

OnProgress = Callable[[str], None]


class Pin(msgspec.Struct, frozen=True):
    """One jar: the SHA-256 of its bytes, and its path below a Maven repository."""

    sha256: str
    path: str

    @property
    def name(self) -> str:
        """The jar's file name."""
        return self.path.rpartition("/")[2]

    def fits(self, file: Path) -> bool:
        """Whether ``file`` has the pinned bytes."""
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256


def download(pins: Sequence[Pin], repository: str, folder: Path, on_progress: OnProgress) -> None:
    """Every jar into ``folder``, under its name. Those that came stay where a later one fails.

    ``repository`` is the root of a Maven repository. ``MissingDependency`` where a jar cannot be
    fetched or is not the pinned one, ``OSError`` where it cannot be kept.
    """
    with _client(repository) as client:
        for count, pin in enumerate(pins, 1):
            draft = folder / f"{pin.name}.new"
            _fetch(client, pin.path, draft)
            if not pin.fits(draft):
                raise _failure(
                    client, f"{pin.path} has another content than the one that is pinned (sha256)"
                )
            draft.rename(folder / pin.name)
            on_progress(f"fetched {pin.name} ({count} of {len(pins)})")


def _client(repository: str) -> httpx.Client:
    # A mirror on this machine is never asked for through a proxy.
    trust_env = True
    try:
        root = httpx.URL(repository.rstrip("/") + "/")
        trust_env = root.host not in LOOPBACK
        context = httpx.create_ssl_context(trust_env=trust_env)
        # Those of the system beside httpx's own: a company's proxy may sign with the former.
        context.load_default_certs()
        return httpx.Client(
            base_url=root,
            verify=context,
            trust_env=trust_env,
            timeout=_TIMEOUT_S,
            follow_redirects=True,
        )
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise MissingDependency(
            f"Apache Kafka cannot be fetched from {repository} with the environment as it is: "
            f"{error}; correct HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE or kafka.jars_url, {ELSEWHERE}"
        ) from None


def _fetch(client: httpx.Client, path: str, target: Path) -> None:
    """The body at ``path`` into ``target``. What may pass is tried again after a moment."""
    for left in reversed(range(_TRIES)):
        try:
            with client.stream("GET", path) as response:
                if response.status_code == httpx.codes.OK:
                    return _keep(client, response, target)
                problem = f"{path} is answered with status {response.status_code}"
                if response.status_code not in _BUSY:
                    break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = f"{path}: {error or type(error).__name__}"
        if left:
            time.sleep(_PAUSE_S)
    raise _failure(client, problem)


def _keep(client: httpx.Client, response: httpx.Response, target: Path) -> None:
    size = 0
    with target.open("wb") as file:
        for piece in response.iter_bytes():
            size += len(piece)
            if size > _LARGEST:
                raise _failure(client, f"{response.url.path} has more than {_LARGEST >> 20} MB")
            file.write(piece)


def _failure(client: httpx.Client, problem: str) -> MissingDependency:
    where = client.base_url.copy_with(userinfo=b"")
    return MissingDependency(
        f"Apache Kafka could not be fetched from {where}: {problem}; check the network and try "
        "again (what came is kept), name a proxy in HTTPS_PROXY or a mirror of Maven Central in "
        f"kafka.jars_url, {ELSEWHERE}"
    )
