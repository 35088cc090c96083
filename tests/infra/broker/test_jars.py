"""The jar cache and its fetch, from a Maven repository on loopback that only pretends."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest

from everfresh.adapters.machine.user_cache import user_cache
from everfresh.contracts.errors import MissingDependency
from everfresh.infra.broker import jar_download, jars
from everfresh.infra.broker.jars import kafka_jars

BROKER = "org/apache/kafka/kafka_2.13/4.4.0/kafka_2.13-4.4.0.jar"
CLIENTS = "org/apache/kafka/kafka-clients/4.4.0/kafka-clients-4.4.0.jar"
CONTENT = {BROKER: b"the broker", CLIENTS: b"the clients " * 1000}


class Repository:
    """Serves ``content``; ``status`` and ``cut`` spoil the answers to the paths that they name."""

    def __init__(self) -> None:
        self.content = dict(CONTENT)
        self.status: dict[str, list[int]] = {}
        self.cut: dict[str, int] = {}
        self.asked: list[str] = []
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("/maven2/")[2]
        self.asked.append(path)
        planned = self.status.get(path)
        status = planned.pop(0) if planned else 200 if path in self.content else 404
        body = self.content.get(path, b"no such file") if status == 200 else b"not now"
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cut.get(path, len(body))])
        request.close_connection = True


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    made = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    pins = tmp_path / "jars.sha256"
    pins.write_text(
        "".join(f"{hashlib.sha256(data).hexdigest()}  {at}\n" for at, data in CONTENT.items())
    )
    monkeypatch.setattr(jars, "PINS", pins)
    monkeypatch.setattr(jar_download, "_PAUSE_S", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/maven2"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


Fetch = Callable[[], Path]


@pytest.fixture
def fetch(repository: Repository) -> Fetch:
    return lambda: kafka_jars(repository.url, lambda text: None)


def refusal(fetch: Fetch) -> str:
    with pytest.raises(MissingDependency) as raised:
        fetch()
    text = str(raised.value)
    assert "\n" not in text
    assert "kafka.jars_url" in text
    assert "--bootstrap-servers" in text
    assert not [folder for folder in user_cache().glob("kafka-*") if not is_unfinished(folder)]
    return text


def is_unfinished(entry: Path) -> bool:
    return entry.suffix in (".partial", ".lock")


def test_every_pin_names_a_jar_of_maven_and_its_hash() -> None:
    pins = jars._pins()
    assert [len(bytes.fromhex(pin.sha256)) for pin in pins] == [32] * len(pins)
    assert len({pin.name for pin in pins}) == len(pins)
    for pin in pins:
        *_, artifact, version, name = pin.path.split("/")
        assert name == f"{artifact}-{version}.jar"
    maven = "{http://maven.apache.org/POM/4.0.0}"
    for wanted in ElementTree.parse(jars.PINS.with_name("pom.xml")).iter(f"{maven}dependency"):
        artifact, version = (wanted.findtext(f"{maven}{tag}") for tag in ("artifactId", "version"))
        assert f"{artifact}-{version}.jar" in {pin.name for pin in pins}
    kafka = {pin.path.split("/")[-2] for pin in pins if pin.path.startswith("org/apache/kafka/")}
    assert kafka == {jars.kafka_version()}


def test_the_jars_come_once_and_as_a_whole(repository: Repository) -> None:
    said: list[str] = []
    folder = kafka_jars(repository.url + "/", said.append)
    assert {jar.name: jar.read_bytes() for jar in folder.iterdir()} == {
        path.rpartition("/")[2]: data for path, data in CONTENT.items()
    }
    assert kafka_jars(repository.url, said.append) == folder
    assert repository.asked == [BROKER, CLIENTS]
    assert any("kafka-clients-4.4.0.jar (2 of 2)" in text for text in said)


def test_two_at_once_fetch_once(repository: Repository, fetch: Fetch) -> None:
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert repository.asked == [BROKER, CLIENTS]


def test_a_jar_with_another_hash_is_refused(repository: Repository, fetch: Fetch) -> None:
    repository.content[CLIENTS] = b"<html>log in to the network first</html>"
    assert f"{CLIENTS} has another content than the one that is pinned" in refusal(fetch)


def test_a_jar_that_is_not_there_is_named(repository: Repository, fetch: Fetch) -> None:
    del repository.content[CLIENTS]
    assert f"{CLIENTS} is answered with status 404" in refusal(fetch)
    assert repository.asked.count(CLIENTS) == 1


def test_a_jar_that_is_cut_short_is_asked_for_again_and_then_named(
    repository: Repository, fetch: Fetch
) -> None:
    repository.cut[CLIENTS] = 100
    assert f"{CLIENTS}: peer closed connection" in refusal(fetch)
    assert repository.asked.count(CLIENTS) == 3


def test_a_repository_that_is_busy_is_asked_again(repository: Repository, fetch: Fetch) -> None:
    repository.status[CLIENTS] = [503, 429]
    assert fetch().is_dir()
    assert repository.asked.count(CLIENTS) == 3


def test_an_answer_without_end_is_cut_off(
    repository: Repository, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jar_download, "_LARGEST", 5000)
    assert f"{CLIENTS} has more than" in refusal(fetch)


def test_what_came_before_a_failure_is_kept(repository: Repository, fetch: Fetch) -> None:
    repository.status[CLIENTS] = [404]
    refusal(fetch)
    assert fetch().is_dir()
    assert repository.asked == [BROKER, CLIENTS, CLIENTS]


def test_what_a_killed_fetch_left_is_checked_and_gone_on_with(
    repository: Repository, fetch: Fetch
) -> None:
    folder = fetch()
    left = folder.rename(folder.with_name(folder.name + ".partial"))
    half = left / "kafka-clients-4.4.0.jar"
    half.rename(half.with_suffix(".jar.new")).write_bytes(b"the cli")
    assert fetch() == folder
    assert repository.asked == [BROKER, CLIENTS, CLIENTS]
    assert len(list(folder.iterdir())) == 2


def test_jars_that_another_version_had_are_not_fetched_again(
    repository: Repository, fetch: Fetch
) -> None:
    other = user_cache() / "kafka-4.3.0-01234567"
    other.mkdir(parents=True)
    (other / "kafka_2.13-4.4.0.jar").write_bytes(CONTENT[BROKER])
    (other / "kafka-clients-4.4.0.jar").write_bytes(b"of another kind")
    fetch()
    assert repository.asked == [CLIENTS]


def test_without_a_network_it_is_said_where_it_was_looked_for(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://name:secret@127.0.0.1:9/maven2"
    text = refusal(lambda: kafka_jars(url, lambda text: None))
    assert "could not be fetched from http://127.0.0.1:9/maven2" in text
    assert "secret" not in text


def test_the_proxy_of_the_environment_is_asked(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, repository.url.removesuffix("/maven2"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    kafka_jars("http://maven.invalid/maven2", lambda text: None)
    assert repository.asked == [BROKER, CLIENTS]


def test_a_mirror_on_this_machine_is_asked_without_a_proxy(
    repository: Repository, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fetch()
    assert repository.asked == [BROKER, CLIENTS]


@pytest.mark.parametrize(
    ("name", "value"),
    [("https_proxy", "socks9://there:1"), ("SSL_CERT_FILE", "/no/such/file")],
)
@pytest.mark.usefixtures("repository")
def test_an_environment_that_cannot_be_used_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    text = refusal(lambda: kafka_jars("https://maven.invalid/maven2", lambda text: None))
    assert "HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE" in text


def test_a_cache_that_cannot_be_written_is_named(
    repository: Repository, tmp_path: Path, fetch: Fetch
) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(MissingDependency, match=r"cannot be kept in .*XDG_CACHE_HOME"):
        fetch()


def test_without_a_home_the_cache_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(MissingDependency, match="HOME is not set; set XDG_CACHE_HOME"):
        user_cache()
