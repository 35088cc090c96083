"""The command line as an operator meets it: help, mistakes, exit codes. Nothing is started here."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from everfresh.infra.run.run_record import ProcessRecord, RunRecord, lock_home, write_record
from tests.infra.cli.command import everfresh


def interpreter(code: str) -> subprocess.CompletedProcess[str]:
    """What a fresh interpreter made of ``code``."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def silent_port() -> Iterator[int]:
    """Something that accepts connections and never says a word of Kafka's."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def files(folder: Path) -> None:
    good = '{"type": "view", "user_id": 1, "item_id": 2, "time": 1700000000000}\n'
    (folder / "good.jsonl").write_text(good)
    (folder / "bad.jsonl").write_text('{"type": "view"}\n')
    skips = [good.replace("view", "skip").replace("70000", f"7000{at}") for at in range(9)]
    (folder / "skips.jsonl").write_text("".join(skips))
    (folder / "refused.jsonl").write_text(good * 2 + good.replace("view", "addtocart"))
    (folder / "huge.jsonl").write_text(good * 2 + good.replace("2,", f"{2**64},"))
    (folder / "table.csv").write_text("user_id,item_id,time\n1,2,1700000000\n1,,1700000000\n")
    (folder / "periods").mkdir()
    (folder / "periods" / "period_1.txt").write_text("1 2\n")
    (folder / "foreign.dat").write_text("hello\n")
    (folder / "empty.data").write_text("")
    (folder / "wrong.toml").write_text("[windows]\nsecond = 5\n")
    (folder / "broken.toml").write_text("[windows\n")
    (folder / "latin.toml").write_bytes(b'user = "caf\xe9"\n')
    (folder / "unit.toml").write_text('\ufefftime_unit = "sec"\n')
    (folder / "marked.toml").write_text("\ufeff[windows]\n")


MISTAKES = [
    ("frobnicate", 2, "No such command"),
    ("replay", 2, "Missing argument"),
    ("replay good.jsonl --format orc", 2, "'orc' is not one of"),
    ("replay good.jsonl --format ml-1m --user id --bootstrap-servers SILENT", 1, "ml-1m says all"),
    ("replay table.csv --bootstrap-servers SILENT", 1, "no column that says what users did"),
    ("replay table.csv --type view --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("evaluate table.csv --type view", 1, "table.csv line 3: missing_field: item_id is missing"),
    ("replay table.csv --type view --check", 1, "1 of 2 rows cannot become events"),
    ("replay table.csv --rename view", 1, "--rename is OLD=NEW"),
    ("replay table.csv --mapping wrong.toml", 1, "wrong.toml: .*unknown field .windows"),
    ("evaluate table.csv", 1, "no column that says what users did"),
    ("replay good.jsonl --format jsonl --speed -1", 2, "--speed.*greater than or equal to 0"),
    ("replay good.jsonl --format jsonl --speed fast", 2, "--speed.*number"),
    ("replay absent.jsonl --format jsonl", 1, "absent.jsonl does not exist"),
    ("backfill absent.jsonl --format jsonl", 1, "absent.jsonl does not exist"),
    ("backfill good.jsonl --format jsonl", 1, "nothing is up in .*start it with `everfresh up`"),
    ("backfill good.jsonl --format jsonl --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("replay good.jsonl --format jsonl", 1, "nothing is up in .*start it with `everfresh up`"),
    ("replay bad.jsonl --format jsonl --bootstrap-servers SILENT", 1, "bad.jsonl"),
    ("replay refused.jsonl --format jsonl --check", 1, "line 3: unknown_type"),
    ("replay foreign.dat --format ml-1m --bootstrap-servers SILENT", 1, "foreign.dat.*ml-1m|Movie"),
    ("replay empty.data --format ml-100k --bootstrap-servers SILENT", 1, "empty.data"),
    ("replay good.jsonl --format jsonl --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("evaluate", 2, "Missing argument"),
    ("evaluate good.jsonl --format jsonl --first 1", 2, "--first.*0.95"),
    ("evaluate absent.jsonl --format jsonl", 1, "absent.jsonl does not exist"),
    ("evaluate good.jsonl --format jsonl --plot no/folder.png", 1, "no is no folder"),
    ("scaling-law absent.jsonl --format jsonl", 1, "absent.jsonl does not exist"),
    ("scaling-law good.jsonl --format jsonl --plot no/folder.png", 1, "no is no folder"),
    ("scaling-law good.jsonl --format jsonl --prefixes 3", 2, "--prefixes"),
    ("scaling-law good.jsonl --format jsonl", 1, "1 events make a shortest prefix of 0"),
    ("evaluate huge.jsonl --format jsonl", 1, "huge.jsonl line 3: bad_item_id"),
    (
        "evaluate good.jsonl --format jsonl",
        1,
        r"good.jsonl: all of it is 1 window \(1 events\); at least two",
    ),
    ("evaluate skips.jsonl --windows 3", 1, "no event after the first window .* all are refusals"),
    ("evaluate good.jsonl --window-s 1e-9", 1, "windows are 0.001 seconds long at least"),
    ("evaluate good.jsonl --plot plot.txt", 2, "--plot.*drawn as .png, .svg, .pdf"),
    ("scaling-law good.jsonl --plot plot", 2, "--plot.*drawn as .png, .svg, .pdf"),
    ("evaluate good.jsonl --json periods", 1, "periods is a folder; name a file in it"),
    ("evaluate good.jsonl --check --limit 5", 1, "leave --limit out"),
    ("scaling-law good.jsonl --folder foreign.dat", 1, "foreign.dat is no folder"),
    ("replay good.jsonl --mapping absent.toml", 1, "absent.toml, which does not exist"),
    ("replay good.jsonl --mapping latin.toml", 1, "latin.toml is no TOML: .*utf-8"),
    ("replay good.jsonl --mapping unit.toml", 1, "unit.toml: .*it is one of s, ms, us, ns, iso"),
    ("replay periods --format ader --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("replay . --format ader --bootstrap-servers SILENT", 1, "holds no period_N.txt"),
    ("recommend 7", 1, "nothing is up in .*start it with `everfresh up`"),
    ("recommend 7 -k 0", 2, "-k.*greater than or equal to 1"),
    ("status", 1, "nothing is up in"),
    ("state 7", 1, "there is no state of everfresh.events in .*start the loop with"),
    ("state 7 --last -1", 2, "--last.*greater than or equal to 0"),
    ("dlq list", 1, "nothing is up in"),
    ("experiment list", 1, "nothing is up in"),
    ("experiment start a --coverage 2", 2, "--coverage"),
    ("experiment start green --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("dlq list --since yesterday --bootstrap-servers SILENT", 1, "--since is 'yesterday'; expect"),
    ("dlq list --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("dlq show first --bootstrap-servers SILENT", 1, "PARTITION:OFFSET.*found 'first'"),
    ("dlq redrive --bootstrap-servers SILENT", 2, "choose dead letters by place, by --reason"),
    ("dlq redrive --all --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("status --bootstrap-servers SILENT", 1, "no Kafka broker"),
    ("status --bootstrap-servers nonsense", 1, "must be host:port"),
    ("settings --config absent.toml", 1, "absent.toml, which is not a file"),
    ("settings --config wrong.toml", 1, "windows.second"),
    ("settings --config broken.toml", 1, "settings cannot be read"),
    ("settings --config marked.toml", 1, "marked.toml: it begins with a byte order mark: save it"),
    ("up --bootstrap-servers SILENT --ray-address SILENT", 1, "no Kafka broker answers at"),
    ("up --ray-address nonsense --bootstrap-servers SILENT", 1, "host:port|no Kafka broker"),
    ("demo --events 5", 2, "--events.*2000"),
]


@pytest.mark.process
@pytest.mark.parametrize(("words", "code", "message"), MISTAKES)
def test_a_mistake_is_one_clear_message_and_no_traceback(
    words: str, code: int, message: str, tmp_path: Path, silent_port: int
) -> None:
    files(tmp_path)
    # The port is bound and nobody listens, so a connection is refused at once.
    words = words.replace("SILENT", f"127.0.0.1:{silent_port}")
    ended, output, errors = everfresh(*words.split(), cwd=tmp_path)
    assert ended == code, errors
    assert re.search(message, errors), errors
    assert "Traceback" not in output + errors
    if code == 1:
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1


@pytest.mark.process
def test_a_wrong_environment_names_the_setting(tmp_path: Path) -> None:
    code, _, errors = everfresh("settings", cwd=tmp_path, EVERFRESH_WINDOWS__SECONDS="soon")
    assert code == 1
    assert errors.startswith("error: wrong setting: windows.seconds: ")
    _, _, errors = everfresh("settings", cwd=tmp_path, EVERFRESH_EVENTS__ACTIONS="view,like")
    assert "EVERFRESH_EVENTS… has a list or an object that is no JSON; write it as" in errors
    for command in (["replay"], ["items", "load"]):
        code, _, errors = everfresh(*command, "", cwd=tmp_path)
        assert (code, "it is empty, which names no file" in errors) == (2, True)


@pytest.mark.process
def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, errors = everfresh("up", "--home", "file", cwd=tmp_path)
    assert code == 1
    assert re.match(r"error: .*file.*(exists|directory)", errors)
    assert errors.count("\n") == 1


@pytest.mark.process
def test_a_disk_that_is_full_at_the_start_is_named(tmp_path: Path) -> None:
    run = tmp_path / ".everfresh" / "run"
    run.mkdir(parents=True)
    (run / "run.new").symlink_to("/dev/full")  # every write to it finds the disk full
    code, output, errors = everfresh("up", cwd=tmp_path)
    assert code == 1
    assert errors == (
        f"error: home is {tmp_path}/.everfresh, and {run}/run.new cannot be written: No space left "
        "on device; mend that, or name another folder with --home\n"
    )
    assert not output
    assert not list(tmp_path.glob(".everfresh/logs/*"))


@pytest.mark.process
def test_a_taken_serving_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, _, errors = everfresh("up", cwd=tmp_path, EVERFRESH_SERVING__PORT=port)
    assert code == 1
    assert f"serving.port is {port}" in errors
    assert not list(tmp_path.glob(".everfresh/logs/*"))
    assert not (tmp_path / ".everfresh/run/run.json").exists()


@pytest.mark.process
def test_a_second_up_says_who_is_up(tmp_path: Path) -> None:
    home = tmp_path / ".everfresh"
    me = ProcessRecord.of_this_process()
    with lock_home(home):
        write_record(home, RunRecord("other", me, 1, "ready", "127.0.0.1:1", "e.", "", {}))
        code, _, errors = everfresh("up", cwd=tmp_path)
    assert code == 1
    assert f"is up already (process {me.pid}); `everfresh down` stops it" in errors


@pytest.mark.process
def test_help_and_every_commands_help(tmp_path: Path) -> None:
    code, output, _ = everfresh("--help", cwd=tmp_path)
    assert code == 0
    many = ("up", "demo", "replay", "backfill", "recommend", "status", "state", "down")
    for name in (*many, "settings"):
        assert re.search(rf"^  {name}  ", output, re.MULTILINE)
        assert everfresh(name, "--help", cwd=tmp_path)[0] == 0
    for name in ("list", "show", "redrive"):
        assert everfresh("dlq", name, "--help", cwd=tmp_path)[0] == 0


@pytest.mark.process
def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['everfresh', '--help']; from everfresh.infra.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'faust', 'kafka', 'pydantic', 'httpx', 'matplotlib', 'numpy'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = interpreter(code)
    assert done.stdout.endswith("loaded: []\n"), done.stderr


@pytest.mark.process
def test_no_command_loads_torch_or_ray() -> None:
    code = """
import importlib, pkgutil, sys
import everfresh.infra.cli as cli
for module in pkgutil.walk_packages(cli.__path__, "everfresh.infra.cli."):
    # One opens RocksDB, the other also computes with a version.
    if not module.name.endswith((".state", ".why")):
        importlib.import_module(module.name)
assert "everfresh.infra.cli.commands.up" in sys.modules
print({"torch", "ray", "faust", "rocksdict"} & set(sys.modules))
"""
    done = interpreter(code)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


@pytest.mark.process
def test_a_signal_while_the_commands_are_loaded_is_a_stop() -> None:
    code = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from everfresh.infra.cli import main
main(["--help"])
"""
    done = interpreter(code)
    assert (done.returncode, done.stderr) == (130, "stopped by SIGINT\n")


@pytest.mark.process
def test_a_signal_that_compiled_code_makes_another_error_of_is_a_stop() -> None:
    code = """
import os, signal
from everfresh.infra.cli import app, main
def command(*_, **__):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException as error:
        raise ValueError("in the middle of something") from error
app.app = command
main()
"""
    done = interpreter(code)
    assert (done.returncode, done.stderr) == (130, "stopped by SIGINT\n")


@pytest.mark.process
def test_down_where_nothing_is_up_is_no_failure(tmp_path: Path) -> None:
    code, output, _ = everfresh("down", cwd=tmp_path)
    assert code == 0
    assert output.startswith("nothing is up in")
