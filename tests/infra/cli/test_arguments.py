"""Arguments that nobody means: each is refused in one line, and none is a traceback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from everfresh.adapters.machine.endpoint_record import write_endpoint
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.infra import cli
from tests.infra.cli.command import MAIN, everfresh

HUGE = "9" * 5_000
LONG = "9" * 30
NO_UTF8 = "caf\udce9"  # a byte that is no UTF-8, as Python hands it over

ABSURD = [
    (["state", LONG], 1, "between -2\\^63 and 2\\^63 - 1, found one of 30 digits"),
    (["state", HUGE], 1, "found one of 5000 digits"),
    (["state", f"-{LONG}"], 2, "No such option"),
    (["state", "--", f"-{LONG}"], 1, "between -2"),
    (["state", ""], 1, "1 to 200 bytes of UTF-8 text, found 0"),
    (["state", '""'], 1, "found 0"),
    (["state", "ä" * 101], 1, "found 202"),
    (["state", NO_UTF8], 1, "an id is UTF-8 text, found 'caf.udce9'"),
    (["state", "7", "--last", LONG], 2, "--last"),
    (["recommend", HUGE], 1, "found one of 5000 digits"),
    (["recommend", NO_UTF8], 1, "an id is UTF-8 text"),
    (["recommend", "7", "-k", HUGE], 2, "-k"),
    (["recommend", "7", "-k", "-1"], 2, "-k"),
    (["recommend", "7"], 1, "does not answer"),
    (["rollback", "-1"], 2, "No such option"),
    (["rollback", "--", "-1"], 2, "VERSION"),
    (["rollback", LONG], 2, "VERSION"),
    (["rollback", "7"], 1, "7"),
    (["dlq", "show", f"0:{LONG}", "--bootstrap-servers", "SILENT"], 1, "PARTITION:OFFSET"),
    (["dlq", "show", "٣:٣", "--bootstrap-servers", "SILENT"], 1, "PARTITION:OFFSET"),
    (["dlq", "list", "--limit", LONG], 2, "--limit"),
    (["dlq", "list", "--partition", LONG], 2, "--partition"),
    (["dlq", "list", "--since", f"{HUGE}s"], 1, "--since is"),
    (["dlq", "list", "--since", "0001-01-01T00:00+23:59"], 1, "nothing is up|--since is"),
    (["dlq", "list", "--since", "999999999999d"], 1, "nothing is up"),
    (["replay", "good.jsonl", "--format", "jsonl", "--speed", "nan"], 2, "--speed"),
    (["replay", "good.jsonl", "--format", "jsonl", "--speed", "inf"], 2, "--speed"),
    (["replay", NO_UTF8, "--format", "jsonl"], 1, "caf.udce9 does not exist"),
    (["replay", "x" * 5_000, "--format", "jsonl"], 1, "name"),
    (["evaluate", "good.jsonl", "--format", "jsonl", "--first", "nan"], 2, "--first"),
    (["evaluate", "good.jsonl", "--format", "jsonl", "--window-s", "nan"], 2, "--window-s"),
    (["evaluate", "good.jsonl", "--format", "jsonl", "--windows", LONG], 2, "--windows"),
    (["evaluate", "good.jsonl", "--format", "jsonl", "--limit", LONG], 2, "--limit"),
    (["evaluate", "good.jsonl", "--format", "jsonl", "--seed", LONG], 2, "--seed"),
    (["demo", "--events", LONG], 2, "--events"),
    (["demo", "--speed", "nan"], 2, "--speed"),
    (["status", "--home", ""], 1, "home: .*empty; name a folder"),
    (["status", "--home", NO_UTF8], 1, "home: a path of UTF-8 text.*udce9"),
    (["status", "--home", "a\nb"], 1, "home: a path of UTF-8 text"),
    (["status", "--home", "x" * 5_000], 1, "too long"),
    (["status", "--config", ""], 1, "--config is empty"),
    (["status", "--config", NO_UTF8], 1, "which is not a file"),
    (["status", "--bootstrap-servers", ","], 1, "must be host:port"),
    (["status", "--bootstrap-servers", f"{'a' * 70}:1"], 1, "is no host's name"),
    (["status", "--bootstrap-servers", "..:1"], 1, "is no host's name"),
    (["status", "--bootstrap-servers", f"h:{HUGE}"], 1, "must be host:port"),
    (["up", "--bootstrap-servers", "SILENT", "--ray-address", "a:b"], 1, "no Kafka broker"),
    (["versions", ""], 2, "unexpected extra argument"),
    ([""], 2, "No such command ''"),
    ([NO_UTF8], 2, "No such command 'caf.udce9'"),
]


@pytest.fixture
def silent() -> Iterator[str]:
    """An address at which a connection is refused at once."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(("words", "code", "message"), ABSURD)
def test_an_absurd_argument_is_refused_in_one_line(
    words: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    silent: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERFRESH_CONFIG", "")  # --config sets it, and it is put back afterwards
    monkeypatch.delenv("EVERFRESH_CONFIG")
    monkeypatch.setattr(Interrupts, "install", lambda self: None)
    Path("good.jsonl").write_text('{"type": "view", "user_id": 1, "item_id": 2}\n')
    write_endpoint(tmp_path / ".everfresh", f"http://{silent}", "")
    with pytest.raises(SystemExit) as ended:
        cli.main([word.replace("SILENT", silent) for word in words])
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (code, ""), errors
    assert re.search(message, errors), errors
    assert len(errors) < 1_000 + max(map(len, words))
    if code == 1:
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1


@pytest.mark.process
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_whatever_the_terminals_encoding_output_is_no_error(tmp_path: Path, encoding: str) -> None:
    code, output, errors = everfresh("versions", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert (code, errors) == (0, "")
    assert "no version is in" in output
    home = "/x/漢字"
    code, output, errors = everfresh(
        "down", "--home", home, cwd=tmp_path, PYTHONIOENCODING=encoding
    )
    shown = home if encoding == "utf-8" else r"/x/\u6f22\u5b57"
    assert (code, errors) == (0, "")
    assert f"nothing is up in {shown}" in output


@pytest.mark.process
def test_without_standard_output_a_command_still_ends_as_it_should(tmp_path: Path) -> None:
    # The shell closes both; Python then has neither.
    closed = ["sh", "-c", '"$@" >&- 2>&-', "sh", *MAIN, "settings"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    assert subprocess.run(closed, cwd=tmp_path, env=env, timeout=900, check=False).returncode == 0
