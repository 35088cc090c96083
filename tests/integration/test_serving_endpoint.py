"""A door that closes while clients go on asking, and one that opens with more replicas."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from everfresh.infra.broker.broker import EmbeddedBroker
from tests.integration.serving_run import STOP_SECONDS, USER, ServingRun, serving_run, wait_until
from tests.serving.replica_in_memory import publish

pytestmark = pytest.mark.integration
BODY = json.dumps({"user_id": USER, "k": 5}).encode()
NOTHING = ("refused", "closed")


@pytest.fixture(scope="module")
def run(kafka: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingRun]:
    with serving_run(kafka, tmp_path_factory.mktemp("home")) as made:
        yield made


class Asker(threading.Thread):
    """Asks on a new connection each time, and keeps what came of it: see :func:`outcome`."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        at = urlsplit(url)
        self._address = (at.hostname or "", at.port or 0)
        self.done = threading.Event()
        self.seen: list[str] = []

    def run(self) -> None:
        while not self.done.is_set():
            self.seen.append(outcome(ask(self._address)))


def ask(address: tuple[str, int]) -> bytes | None:
    """All bytes that come back until the other side closes; ``None`` where it takes no call."""
    head = f"POST /v1/recommend HTTP/1.1\r\nhost: a\r\ncontent-length: {len(BODY)}\r\n"
    raw = b""
    try:
        with socket.create_connection(address, timeout=240) as line:
            try:
                line.sendall(f"{head}connection: close\r\n\r\n".encode() + BODY)
                while more := line.recv(65_536):
                    raw += more
            except ConnectionError:
                return raw
    except ConnectionRefusedError:
        return None
    return raw


def outcome(raw: bytes | None) -> str:
    """``refused``, ``closed`` before a byte of an answer, its status, or what is torn or wrong."""
    if not raw:
        return "refused" if raw is None else "closed"
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    status = lines[0].split(" ")[1]
    if len(body) != int(fields.get("content-length", -1)):
        return f"torn: {raw!r}"
    said = json.loads(body)
    whole = len(said.get("items", [])) == 5
    problem = fields["content-type"] == "application/problem+json" and said["status"] == int(status)
    return status if (whole if status == "200" else problem) else f"wrong: {raw!r}"


def test_a_torn_answer_and_a_wrong_one_are_found() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 21\r\n\r\n"
    answer = b'{"items":[1,2,3,4,5]}'
    assert outcome(whole + answer) == "200"
    assert outcome(whole + answer[:-1]).startswith("torn")
    assert outcome(whole[:40]).startswith("torn")
    assert outcome(whole.replace(b"200 OK", b"503 No") + answer).startswith("wrong")
    assert (outcome(b""), outcome(None)) == ("closed", "refused")


def test_a_door_that_closes_under_load_tears_no_answer(run: ServingRun) -> None:
    publish(run.store, 1)
    driver = run.start()
    try:
        askers = [Asker(run.url()) for _ in range(4)]
        for asker in askers:
            asker.start()
        wait_until(lambda: all(asker.seen.count("200") > 20 for asker in askers), "answers")
    finally:
        status = driver.stop(STOP_SECONDS)
    wait_until(lambda: all(asker.seen[-1] == "refused" for asker in askers), "the end")
    for asker in askers:
        asker.done.set()
        asker.join()
    assert status == 0, run.output.read_text()
    seen = Counter(word for asker in askers for word in asker.seen)
    assert set(seen) <= {"200", "503", "504", *NOTHING}, seen
    for asker in askers:
        answered = [word not in NOTHING for word in asker.seen]
        assert answered == sorted(answered, reverse=True), "once closed it stays closed"


def test_after_a_restart_with_one_replica_more_all_answer_with_the_current_version(
    run: ServingRun,
) -> None:
    newest = max(run.store.versions(), default=0) + 1
    publish(run.store, newest)
    driver = run.start(EVERFRESH_SERVING__REPLICAS="3")
    try:
        answered: dict[str, int] = {}
        with httpx.Client(base_url=run.url(), timeout=240) as client:

            def all_answer() -> bool:
                said = client.post("/v1/recommend", content=BODY)
                assert said.status_code == 200, said.text
                answered[said.headers["x-everfresh-replica"]] = said.json()["version"]
                return len(answered) == 3

            wait_until(all_answer, "an answer of each")
        assert set(answered.values()) == {newest}
    finally:
        assert driver.stop(STOP_SECONDS) == 0, run.output.read_text()
