"""Whose Serve a cluster has, and whose its applications are. Nobody ends what is another's.

Serve has one door for a cluster. Who starts it writes who it is, and where the door is, into the
key-value store of the cluster; who deploys an application writes an entry of its name there. The
entries stay when their driver is killed, as Serve does. An entry of what does not run means
nothing, and a Serve or an application without an entry is somebody else's.

The store is a private part of Ray (``ray_patches.RAY_VERSION``): there is no public place for a few
bytes that costs no process.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection

import msgspec
import ray
from ray.experimental import internal_kv

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings

CONTROLLER = {"name": "SERVE_CONTROLLER_ACTOR", "namespace": "serve"}
"""Serve's controller among Ray's named actors."""

DEFAULT_APPLICATION = "everfresh"
_DOOR = "serving"
_NAMESPACE = "everfresh"
_STARTING_S = 10.0
"""How long an entry of what does not run may be that of a driver which is about to start it."""

_LOOK_S = 0.2


class Owner(msgspec.Struct, frozen=True):
    """An everfresh, by its home and the machine that has it."""

    home: str
    host: str

    @classmethod
    def of(cls, settings: Settings) -> Owner:
        """The one with these settings, on this machine."""
        return cls(str(settings.home.resolve()), socket.gethostname())


class _Entry(msgspec.Struct, frozen=True):
    """``bind`` is the address at which the owner has opened the door."""

    home: str
    host: str
    bind: str = ""


def take_serve(mine: Owner, bind: str) -> bool:
    """Whether Serve is ours to start, with its door at ``bind``; false where it runs already,
    whoever's it is."""
    entry = _Entry(mine.home, mine.host, bind)
    held = not _put(_DOOR, entry, overwrite=False)
    if held and owner_of_serve() != mine:
        _await(serve_runs)
    if serve_runs():
        if not held:
            release_serve()
        return False
    _put(_DOOR, entry)
    return True


def owner_of_serve() -> Owner | None:
    """Who started the Serve that runs, if it was an everfresh."""
    return _owner(_read(_DOOR))


def door_of_serve() -> str:
    """The address at which an everfresh has opened the door; empty if it was none."""
    entry = _read(_DOOR)
    return entry.bind if entry else ""


def release_serve() -> None:
    """Take the entry away; ours alone, and once Serve has ended."""
    internal_kv._internal_kv_del(_DOOR, namespace=_NAMESPACE)


def serve_runs() -> bool:
    """Whether Serve's controller is there; it stays until somebody shuts Serve down."""
    return CONTROLLER in ray.util.list_named_actors(all_namespaces=True)


def await_end() -> None:
    """Return once a Serve that was shut down is gone, for some seconds at most."""
    _await(lambda: not serve_runs())


def take_application(
    name: str, mine: Owner, running: Callable[[], Collection[str]], address: str
) -> bool:
    """Make the application's name ours; true where an earlier driver of this home left one.

    ``Unreachable`` where it is another's: nothing is touched. ``running`` are the applications.
    """
    entry = _Entry(mine.home, mine.host)
    held = not _put(_application(name), entry, overwrite=False)
    if held and owner_of_application(name) not in (mine, None):
        _await(lambda: name in running())
    if name not in running():
        _put(_application(name), entry)
        return False
    if not held:
        # Written by nobody, or by an earlier release, which had one entry for all.
        release_application(name)
    owner = owner_of_application(name)
    if owner == mine:
        _put(_application(name), entry)
        return True
    raise Unreachable(_refusal(name, owner, mine, address))


def owner_of_application(name: str) -> Owner | None:
    """Whose the application of this name is, if an everfresh's."""
    found = _owner(_read(_application(name)))
    if found is None and name == DEFAULT_APPLICATION:
        return owner_of_serve()
    return found


def release_application(name: str) -> None:
    """Take the entry away; ours alone, and once the application has ended."""
    internal_kv._internal_kv_del(_application(name), namespace=_NAMESPACE)


def _application(name: str) -> str:
    return f"application {name}"


def _put(key: str, entry: _Entry, *, overwrite: bool = True) -> bool:
    """Whether it was written; it is not where there is one and ``overwrite`` is false."""
    value = msgspec.json.encode(entry)
    existed = internal_kv._internal_kv_put(key, value, overwrite=overwrite, namespace=_NAMESPACE)
    return overwrite or not existed


def _read(key: str) -> _Entry | None:
    entry = internal_kv._internal_kv_get(key, namespace=_NAMESPACE)
    try:
        return msgspec.json.decode(entry, type=_Entry) if entry else None
    except msgspec.DecodeError:
        return None


def _owner(entry: _Entry | None) -> Owner | None:
    return Owner(entry.home, entry.host) if entry else None


def _await(runs: Callable[[], bool]) -> None:
    until = time.monotonic() + _STARTING_S
    while not runs() and time.monotonic() < until:
        time.sleep(_LOOK_S)


def _refusal(name: str, owner: Owner | None, mine: Owner, address: str) -> str:
    advice = "give this one another name (ray.application), or name another Ray"
    if owner is None:
        return (
            f"Ray Serve at {address} has an application {name!r} already, which no everfresh "
            f"started: {advice}"
        )
    where = "" if owner.host == mine.host else f" on {owner.host}"
    return (
        f"the Ray at {address} has an everfresh named {name!r} already, that of home "
        f"{owner.home}{where}: {advice}, or stop the other with `everfresh down --home "
        f"{owner.home}`{where} (where it was killed, start it again first)"
    )
