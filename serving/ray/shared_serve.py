"""What Ray Serve has beside our application, and whether its door can be ours as well.

One Ray cluster has one Serve, and one Serve one door: an address, a port for HTTP and one for
gRPC, and the limits on requests that whoever started it has given it. Who comes later answers
behind that door, at a path of its own (``serving.route_prefix``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import ray
from ray.exceptions import RayError

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.serving.ray import ownership

if TYPE_CHECKING:
    from ray.serve.config import HTTPOptions, gRPCOptions

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANSWER_S = 10.0
"""How long Serve's controller may take to say what it has. Ray itself sets no limit."""

SERVICE = "everfresh.serving.rpc.registration.add_recommender_to_server"
"""What Serve must know to open a gRPC door for our service."""


class Door(msgspec.Struct, frozen=True):
    """Where Serve's door is. A port of 0 means that there is none."""

    host: str
    port: int
    grpc_port: int


class Serve(msgspec.Struct, frozen=True):
    """What runs: applications with their paths, and the door."""

    prefixes: dict[str, str | None]
    door: Door

    @property
    def applications(self) -> list[str]:
        """Their names, sorted."""
        return sorted(self.prefixes)

    def others(self, name: str) -> list[str]:
        """The applications beside the one of that name."""
        return [other for other in self.applications if other != name]


def read() -> Serve:
    """What runs now. ``RayError`` where Serve does not say in time."""
    asked = ("get_serve_instance_details", "get_http_config", "get_grpc_config")
    return _of(*_ask(*asked))


def details() -> dict[str, Any]:
    """All that Serve's controller says of itself. ``RayError`` after :data:`ANSWER_S`, where
    ``serve.status()`` would wait without end."""
    [found] = _ask("get_serve_instance_details")
    return dict(found)


def _of(details: Mapping[str, Any], http: HTTPOptions, grpc: gRPCOptions) -> Serve:
    is_open = not str(details.get("proxy_location")).endswith("Disabled")
    knows_us = is_open and SERVICE in grpc.grpc_servicer_functions
    return Serve(
        {name: found.get("route_prefix") for name, found in details["applications"].items()},
        Door(
            # Behind HAProxy as we start it, HTTP servers listen elsewhere than the door.
            ownership.door_of_serve() or str(http.host),
            http.port if is_open and http.host else 0,
            grpc.port if knows_us else 0,
        ),
    )


def require_place(serve: Serve, settings: Settings) -> None:
    """``Unreachable`` where our application cannot stand behind that door as the settings say."""
    address, wanted, door = settings.ray.address, settings.serving, serve.door
    end = "; or name another Ray"
    if not door.port:
        raise Unreachable(
            f"Ray Serve runs at {address} without a door (its proxy_location is Disabled): start "
            f"Serve with one{end}"
        )
    for name in serve.others(settings.ray.application):
        if serve.prefixes[name] == wanted.route_prefix:
            raise Unreachable(
                f"Ray Serve at {address} has an application at {wanted.route_prefix} already, "
                f"{name!r}: set serving.route_prefix to a path of its own, such as "
                f"/{settings.ray.application}{end}"
            )
    if _seen_from(door.host) != _seen_from(wanted.host):
        raise Unreachable(
            f"Ray Serve runs at {address}, and its door is at {door.host}, not at serving.host "
            f"({wanted.host}): one Serve has one door; set serving.host to {door.host} if our "
            f"addresses may be seen there{end}"
        )
    for setting, port in (("port", door.port), ("grpc_port", door.grpc_port)):
        if (chosen := getattr(wanted, setting)) and chosen != port:
            has = f"at port {port}" if port else "closed to our service"
            raise Unreachable(
                f"serving.{setting} is {chosen}, and the door of the Ray Serve at {address} is "
                f"{has}: one Serve has one door; set serving.{setting} to {port}{end}"
            )


def _seen_from(host: str) -> str:
    """The host, by one name for all that mean this machine alone."""
    return "this machine" if host in _LOOPBACK else host


def _ask(*questions: str) -> list[Any]:
    try:
        controller = ray.get_actor(**ownership.CONTROLLER)
    except ValueError:
        raise RayError("Ray Serve has been shut down") from None
    asked = [getattr(controller, question).remote() for question in questions]
    answers: list[Any] = ray.get(asked, timeout=ANSWER_S)
    return answers
