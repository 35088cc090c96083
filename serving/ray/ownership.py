"""Whose Ray Serve is: it has one door for a cluster, so one everfresh at a time may have it.

Before it starts Serve, a driver writes who it is into the key-value store of the cluster. The entry
stays when the driver is killed, as Serve does. Nobody starts, replaces or ends a Serve that is not
its own by that entry, and the entry of a Serve that does not run means nothing.

The store is a private part of Ray (``ray_patches.RAY_VERSION``): there is no public place for a few
bytes that costs no process.
"""

from __future__ import annotations

import socket
import time

import msgspec
import ray
from ray.experimental import internal_kv

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings

CONTROLLER = {"name": "SERVE_CONTROLLER_ACTOR", "namespace": "serve"}
"""Serve's controller among Ray's named actors."""

_KEY = "serving"
_NAMESPACE = "everfresh"
_STARTING_S = 10.0
"""How long an entry without a Serve may be that of a driver which is just about to start it."""

_LOOK_S = 0.2


class Owner(msgspec.Struct, frozen=True):
    """An everfresh, by its home and the machine that has it."""

    home: str
    host: str

    @classmethod
    def of(cls, settings: Settings) -> Owner:
        """The one with these settings, on this machine."""
        return cls(str(settings.home.resolve()), socket.gethostname())


def take_serve(mine: Owner, address: str) -> bool:
    """Make Serve ours; true where an earlier driver of this home left one, which is to be ended.

    ``Unreachable`` where it is another's: that everfresh is named, and nothing is touched.
    """
    held = internal_kv._internal_kv_put(
        _KEY, msgspec.json.encode(mine), overwrite=False, namespace=_NAMESPACE
    )
    owner = read_owner() if held else mine
    if held and owner != mine:
        _await_start()
    if not serve_runs():
        _write(mine)
        return False
    if held and owner == mine:
        return True
    if not held:
        release_serve()
    raise Unreachable(_refusal(owner if held else None, mine, address))


def owns_serve(mine: Owner) -> bool:
    """Whether a Serve runs and is ours."""
    return serve_runs() and read_owner() == mine


def read_owner() -> Owner | None:
    """Whose entry there is, if any that can be read."""
    entry = internal_kv._internal_kv_get(_KEY, namespace=_NAMESPACE)
    try:
        return msgspec.json.decode(entry, type=Owner) if entry else None
    except msgspec.DecodeError:
        return None


def release_serve() -> None:
    """Take the entry away; ours alone, and once Serve has ended."""
    internal_kv._internal_kv_del(_KEY, namespace=_NAMESPACE)


def serve_runs() -> bool:
    """Whether Serve's controller is there; it stays until somebody shuts Serve down."""
    return CONTROLLER in ray.util.list_named_actors(all_namespaces=True)


def _write(mine: Owner) -> None:
    internal_kv._internal_kv_put(_KEY, msgspec.json.encode(mine), namespace=_NAMESPACE)


def _await_start() -> None:
    until = time.monotonic() + _STARTING_S
    while not serve_runs() and time.monotonic() < until:
        time.sleep(_LOOK_S)


def _refusal(owner: Owner | None, mine: Owner, address: str) -> str:
    if owner is None:
        return (
            f"Ray Serve runs on the cluster at {address} already, and no everfresh has put its "
            "name to it; everfresh opens a door of its own: name a Ray without Serve, or end that "
            "one with `serve shutdown`"
        )
    where = "" if owner.host == mine.host else f" on {owner.host}"
    return (
        f"the Ray at {address} serves another everfresh, that of home {owner.home}{where}, and one "
        "Ray has one door: name another Ray, leave --ray-address out to have one started here, or "
        f"stop the other with `everfresh down --home {owner.home}`{where} (where it was killed, "
        "start it again first)"
    )
