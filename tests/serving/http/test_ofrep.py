"""Other applications ask for a user's arm by OFREP, and get what answers are made for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, GeneralError, TargetingKeyMissingError
from openfeature.flag_evaluation import Reason

from everfresh.contracts.experiments.assignment import Assignments
from tests.contracts.experiments.definitions import define
from tests.serving.http_client import Client
from tests.serving.replica_in_memory import Bench

FLAGS = "/ofrep/v1/evaluate/flags"
RUNNING = Assignments([(4, define("first", coverage=0.5)), (9, define("second"))])


@pytest.fixture(autouse=True)
def running(bench: Bench) -> None:
    bench.assigner.assignments = RUNNING


@pytest.fixture
def address(client: Client) -> Iterator[str]:
    """Where the replica's interface listens on a socket."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = client.post(self.path, content=body)
            self.send_response(answer.status_code)
            for name in ("content-type", "content-length"):
                self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_standards_own_client_gets_the_arm_that_answers_are_made_for(
    address: str, client: Client, bench: Bench
) -> None:
    provider = OFREPProvider(address, timeout=240)
    seen = set()
    for user in range(12):
        context = EvaluationContext(str(user), {"country": "at"})
        served = client.post("/v1/recommend", json={"user_id": user}).json()
        for name in ("first", "second"):
            details = provider.resolve_string_details(name, "none", context)
            decides = served["experiment"] == name
            arm = served["arm"] if decides else "default"
            assert (details.value, details.variant) == (arm, arm)
            assert details.reason == (Reason.SPLIT if decides else Reason.DEFAULT)
            version = served["definition_version"] if decides else None
            assert details.flag_metadata.get("definitionVersion") == version
            seen.add((name, decides))
    assert len(seen) == 4
    # Only what was shown leaves an exposure.
    assert len(bench.exposures.exposures) == 12
    with pytest.raises(FlagNotFoundError, match="no experiment 'third' is running"):
        provider.resolve_string_details("third", "none", EvaluationContext("7"))
    with pytest.raises(TargetingKeyMissingError, match="targetingKey was expected"):
        provider.resolve_string_details("first", "none", EvaluationContext())
    provider.session.close()


def test_the_standards_own_client_gives_its_default_while_there_is_no_service() -> None:
    provider = OFREPProvider("http://127.0.0.1:9", timeout=240)
    with pytest.raises(GeneralError):
        provider.resolve_string_details("first", "none", EvaluationContext("7"))


def asked(user: object = "7") -> str:
    return json.dumps({"context": {"targetingKey": user}})


def test_all_flags_come_at_once_and_are_not_sent_again_while_nothing_changes(
    client: Client, bench: Bench
) -> None:
    first = client.post(FLAGS, content=asked())
    flags = {flag["key"]: flag["value"] for flag in first.json()["flags"]}
    decided = RUNNING.assign("7")
    assert list(flags) == ["first", "second"]
    for name, value in flags.items():
        assert value == (decided.arm if name == decided.experiment else "default")
    tag = first.headers["etag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.post(FLAGS, content=asked(), headers={"if-none-match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert client.post(FLAGS, content=asked(), headers={"if-none-match": '"x"'}).is_success
    bench.assigner.assignments = Assignments([(10, define("second"))])
    changed = client.post(FLAGS, content=asked(), headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_without_a_running_experiment_there_are_no_flags(client: Client, bench: Bench) -> None:
    bench.assigner.assignments = Assignments()
    assert client.post(FLAGS, content=asked()).json() == {"flags": []}
    assert client.post(f"{FLAGS}/first", content=asked()).status_code == 404


@pytest.mark.parametrize("path", [FLAGS, f"{FLAGS}/first"])
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"garbage", "PARSE_ERROR"),
        (b'{"context": 5}', "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "\xff"}}', "PARSE_ERROR"),
        (b"[" * 4_000, "PARSE_ERROR"),
        (b"{}", "TARGETING_KEY_MISSING"),
        (b'{"context": null}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "%s"}}' % (b"x" * 201), "INVALID_CONTEXT"),
    ],
)
def test_a_wrong_request_gets_the_protocols_error(
    client: Client, path: str, raw: bytes, code: str
) -> None:
    response = client.post(path, content=raw)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["errorCode"] == code
    assert body["errorDetails"]
    assert body.get("key") == ("first" if path != FLAGS else None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{FLAGS}/", 404),
        (f"{FLAGS}/no/such", 404),
        (f"{FLAGS}/%1b%5b2J", 404),
        (f"{FLAGS}x", 404),
        ("/ofrep/v1/configuration", 404),
    ],
)
def test_an_address_that_is_no_flag_is_not_found(client: Client, path: str, status: int) -> None:
    response = client.post(path, content=asked())
    assert response.status_code == status
    assert b"\x1b" not in response.content


def test_a_flag_is_asked_for_by_post(client: Client) -> None:
    response = client.get(f"{FLAGS}/first")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_it_is_measured_as_a_route_of_its_own(bench: Bench) -> None:
    told: list[tuple[Any, ...]] = []
    client = Client(bench, measure=lambda *each: told.append(each[:4]))
    client.post(f"{FLAGS}/first", content=asked())
    client.post(f"{FLAGS}/none", content=asked())
    assert told == [("http", "ofrep", "200", ""), ("http", "ofrep", "404", "ofrep-refused")]
