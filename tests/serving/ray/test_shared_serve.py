"""Whether an application of ours can stand behind the door of a Serve that runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import GetTimeoutError, RayError

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.serving.ray import ownership, shared_serve
from everfresh.serving.ray.shared_serve import SERVICE, Door, Serve, require_place


def running(host: str = "127.0.0.1", port: int = 8000, grpc: int = 9000) -> Serve:
    return Serve({"theirs": "/theirs", "mine": "/mine"}, Door(host, port, grpc))


def settings(**serving: object) -> Settings:
    given = {"route_prefix": "/mine", **serving}
    return Settings(ray={"address": "10.9.8.7:6379", "application": "mine"}, serving=given)


@pytest.mark.parametrize(
    "serving",
    [{}, {"port": 8000}, {"grpc_port": 9000}, {"route_prefix": "/"}, {"host": "localhost"}],
)
def test_an_application_at_a_path_of_its_own_has_a_place(serving: dict[str, object]) -> None:
    require_place(running(), settings(**serving))


@pytest.mark.parametrize(
    ("serve", "serving", "said"),
    [
        (running(), {"route_prefix": "/theirs"}, r"at /theirs already, 'theirs': .* such as /mine"),
        (running("0.0.0.0"), {}, r"door is at 0\.0\.0\.0, not at serving\.host \(127\.0\.0\.1\)"),
        (running(), {"port": 80}, r"serving\.port is 80, .* at port 8000: .* to 8000"),
        (running(), {"grpc_port": 90}, r"serving\.grpc_port is 90, .* at port 9000"),
        (running(grpc=0), {"grpc_port": 90}, r"grpc_port is 90, .* closed to our service: .* to 0"),
        (running(port=0), {}, r"at 10\.9\.8\.7:6379 without a door"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_that_says_what_to_set(
    serve: Serve, serving: dict[str, object], said: str
) -> None:
    with pytest.raises(Unreachable, match=said):
        require_place(serve, settings(**serving))


class Controller:
    """Serve's controller, as Ray's calls reach it. ``hangs`` answers nothing."""

    def __init__(
        self, details: dict[str, Any], grpc: SimpleNamespace, *, hangs: bool = False
    ) -> None:
        self.said = {
            "get_serve_instance_details": details,
            "get_http_config": SimpleNamespace(host="127.0.0.1", port=8123),
            "get_grpc_config": grpc,
        }
        self.hangs = hangs

    def __getattr__(self, name: str) -> Any:
        answer = self.said[name]
        return type("Method", (), {"remote": staticmethod(lambda: answer)})()


def stand(monkeypatch: pytest.MonkeyPatch, controller: Controller, bind: str = "") -> None:
    def get(answers: list[Any], timeout: float) -> list[Any]:
        assert 0 < timeout < 60, "a controller that does not answer is not waited for without end"
        if controller.hangs:
            raise GetTimeoutError("not in time")
        return answers

    monkeypatch.setattr(ray, "get_actor", lambda name, namespace: controller)
    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ownership, "door_of_serve", lambda: bind)


def grpc(*services: str) -> SimpleNamespace:
    return SimpleNamespace(port=9123, grpc_servicer_functions=list(services))


DETAILS: dict[str, Any] = {
    "proxy_location": "HeadOnly",
    "applications": {"theirs": {"route_prefix": "/"}},
}


def test_applications_their_paths_and_the_door_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = grpc(SERVICE)
    stand(monkeypatch, Controller(DETAILS, ours))
    assert shared_serve.read() == Serve({"theirs": "/"}, Door("127.0.0.1", 8123, 9123))
    stand(monkeypatch, Controller(DETAILS, grpc()), bind="10.0.0.1")
    assert shared_serve.read().door == Door("10.0.0.1", 8123, 0)
    closed = {**DETAILS, "proxy_location": "Disabled"}
    stand(monkeypatch, Controller(closed, ours))
    assert shared_serve.read().door == Door("127.0.0.1", 0, 0)


def test_a_controller_that_does_not_answer_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand(monkeypatch, Controller(DETAILS, grpc(), hangs=True))
    for ask in (shared_serve.read, shared_serve.details):
        with pytest.raises(RayError):
            ask()


def test_a_serve_that_went_between_two_looks_is_an_error_of_rays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get_actor(name: str, namespace: str) -> None:
        raise ValueError(name + namespace)

    monkeypatch.setattr(ray, "get_actor", get_actor)
    with pytest.raises(RayError, match="shut down"):
        shared_serve.read()
