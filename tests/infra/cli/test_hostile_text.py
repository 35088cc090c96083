"""Text from outside through the view of every command: shown as it is, escaped where it steers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from everfresh.adapters.files.tables.mapping import Reading
from everfresh.adapters.kafka.dead_letters import Selection
from everfresh.adapters.machine.interrupts import Interrupts
from everfresh.adapters.weights.store import FsspecWeightStore
from everfresh.contracts.dead_letter import DeadLetter
from everfresh.contracts.errors import RunError
from everfresh.contracts.foreign import printable
from everfresh.contracts.manifest import FORMAT, Pointer, Rejected, WeightManifest
from everfresh.contracts.report import ComponentStatus
from everfresh.contracts.sequence import Interaction, UserState
from everfresh.contracts.settings import Settings
from everfresh.evaluation.results import Margin, WindowScore
from everfresh.infra import cli
from everfresh.infra.cli import app
from everfresh.infra.cli.commands import (
    dlq_list,
    dlq_redrive,
    down,
    evaluate,
    recommend,
    rollback,
    state,
    status,
    up,
    versions,
)
from everfresh.infra.cli.commands.sending import replay
from everfresh.infra.cli.commands.settings import run_settings
from everfresh.infra.cli.demo.before_after import Change, change_view
from everfresh.infra.cli.terminal import Terminal
from everfresh.infra.cli.views.live_screen import Snapshot, plain_line, render
from everfresh.infra.cli.views.run_reports import RunReports
from everfresh.infra.cli.views.steps import StepPrinter
from everfresh.infra.processes.children import StepUpdate
from everfresh.infra.run.run_record import ProcessRecord, RunRecord
from everfresh.streaming.replay.progress import Outcome, ReplayProgress
from tests.infra.cli.reports import window

HOSTILE = "[/x][slug]:smile:\x1b]0;title\x07\x1b[2J\nforged line\r\u202e\x9b2J"
SHOWN = printable(HOSTILE)
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")

ANSWER: dict[str, Any] = {
    "user_id": HOSTILE,
    "items": [HOSTILE, "/catalog[/sale]"],
    "scores": [0.5, 0.25],
    "version": 3,
    "source": HOSTILE,
    "note": HOSTILE,
    "state_offset": 4,
    "state_partition": HOSTILE,
}

LETTER = DeadLetter(
    (0, 1), HOSTILE, 2, 3, 10**30, HOSTILE, HOSTILE, HOSTILE.encode(), HOSTILE.encode(),
    [(HOSTILE, HOSTILE.encode())],
)  # fmt: skip

Made = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "4000")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was printed; the test fails where any of it would steer a terminal."""

    def output() -> str:
        text = "".join(capsys.readouterr())
        assert not STEERS.search(text)
        assert not [line for line in text.splitlines() if line.startswith("forged line")]
        return text

    return output


def test_recommend(
    monkeypatch: pytest.MonkeyPatch, make_settings: Made, printed: Callable[[], str]
) -> None:
    monkeypatch.setattr(recommend, "require_serving_url", lambda home: "http://127.0.0.1:1")
    monkeypatch.setattr(recommend, "ask", lambda *_, **__: ANSWER)
    recommend.run_recommend(make_settings(), "ann", 2, exclude_seen=True)
    text = printed()
    assert text.count(SHOWN) == 5
    assert "/catalog[/sale]" in text


@pytest.mark.parametrize("as_json", [False, True])
def test_state(
    monkeypatch: pytest.MonkeyPatch, make_settings: Made, printed: Callable[[], str], as_json: bool
) -> None:
    history = [Interaction(HOSTILE, HOSTILE, 10**30, None)]
    known = state.Known(UserState(HOSTILE, 1, 2, 3, history), 3, 4)
    monkeypatch.setattr(state, "_look_up", lambda *_, **__: known)
    state.run_state(make_settings(), "ann", 0, as_json=as_json)
    assert "[/x][slug]:smile:" in printed()


def test_status(
    monkeypatch: pytest.MonkeyPatch, make_settings: Made, printed: Callable[[], str]
) -> None:
    reports = RunReports(1)
    for kind in ("worker", "trainer", "replica"):
        figures = {"version": HOSTILE, "metrics": HOSTILE} if kind == "trainer" else {}
        reports.status(ComponentStatus(HOSTILE + kind, kind, 10**15, HOSTILE, figures))
    reports.window(structs.replace(window(2), held=HOSTILE))
    process = ProcessRecord(1, 2.0)
    record = RunRecord("id", process, 10**30, HOSTILE, HOSTILE, "p", HOSTILE, {HOSTILE: process})
    monkeypatch.setattr(status, "with_brokers", lambda settings: settings)
    monkeypatch.setattr(status, "_read", lambda settings: (reports, f"left out: {HOSTILE}"))
    monkeypatch.setattr(status, "end_offsets", lambda *_: {0: 1})
    monkeypatch.setattr(status, "read_record", lambda home: record)
    monkeypatch.setattr(status, "is_supervised", lambda home: True)
    monkeypatch.setattr(status, "serving_url", lambda home: f"http://{HOSTILE}")
    monkeypatch.setattr(status.time, "time_ns", lambda: 10**15 * 1_000_000)
    status.run_status(make_settings())
    assert printed().count(SHOWN) >= 13


@pytest.mark.parametrize("as_json", [False, True])
def test_versions(make_settings: Made, printed: Callable[[], str], as_json: bool) -> None:
    settings = make_settings()
    store = FsspecWeightStore(settings.weights_url)
    manifest = WeightManifest(FORMAT, 1, None, 1, 10**30, {0: 1}, {0: 1}, [], {}, 1, 1, {})
    store.write(manifest, {"model.safetensors": b"x"})
    store.advance(Pointer(1, 1))
    store.set_aside(Rejected(2, 1, HOSTILE, 10**30, 3, {}, {}), {})
    damaged = Path(settings.weights_url) / "v0000000002"
    damaged.mkdir()
    (damaged / "manifest.json").write_text(HOSTILE)
    versions.run_versions(settings, as_json=as_json)
    assert "[/x][slug]:smile:" in printed()


def test_replay_prints_each_line_of_its_summary(
    monkeypatch: pytest.MonkeyPatch, make_settings: Made, printed: Callable[[], str], tmp_path: Path
) -> None:
    end = ReplayProgress(5, 5, 1.0, None, done=True, outcome=Outcome(5, {HOSTILE: 2}, True))
    ended = SimpleNamespace(final=lambda: end)
    for name, made in {
        "spawn": None,
        "ReplayProcess": ended,
        "become_subreaper": None,
        "close_home": "",
    }.items():
        monkeypatch.setattr(replay, name, lambda *_, made=made: made)
    for name in ("show_replay", "stop_in_order", "with_brokers"):
        monkeypatch.setattr(replay, name, lambda *words: words[0])
    monkeypatch.setattr(replay.INTERRUPTS, "closing", lambda: None)
    file = tmp_path / "events.jsonl"
    file.touch()
    replay.run_replay(make_settings(), file, Reading(form="ader"), 0.0)
    said = printed().splitlines()
    assert said[0].startswith("5 events are in the log; ")
    assert said[1].startswith("3 of them were accepted; 2 are dead letters ([/x][slug]:smile:")


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SimpleNamespace(read=lambda chosen: iter([LETTER]), foreign=1)
    sent = SimpleNamespace(sent=lambda: {LETTER.identity}, foreign=1)
    monkeypatch.setattr(dlq_list, "with_brokers", lambda settings: settings)
    monkeypatch.setattr(dlq_list, "_reader", lambda settings: reader)
    monkeypatch.setattr(dlq_list, "Redriver", lambda *_: sent)
    monkeypatch.setattr(dlq_redrive, "with_brokers", lambda settings: settings)
    monkeypatch.setattr(dlq_redrive, "DeadLetterReader", lambda *_: reader)
    monkeypatch.setattr(dlq_redrive, "Redriver", lambda *_: sent)


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("as_json", [False, True])
def test_dlq_list(make_settings: Made, printed: Callable[[], str], as_json: bool) -> None:
    dlq_list.run_list(make_settings(), Selection(), 9, oldest=False, as_json=as_json)
    assert "[/x][slug]:smile:" in printed()


@pytest.mark.usefixtures("letters")
def test_dlq_show(make_settings: Made, printed: Callable[[], str]) -> None:
    dlq_list.run_show(make_settings(), "0:1", raw=False)
    assert printed().count(SHOWN) == 7


@pytest.mark.usefixtures("letters")
def test_dlq_redrive(make_settings: Made, printed: Callable[[], str]) -> None:
    dlq_redrive.run_redrive(make_settings(), Selection(), again=True, act=False)
    assert printed().count(SHOWN) == 2


def test_evaluate(
    monkeypatch: pytest.MonkeyPatch, make_settings: Made, printed: Callable[[], str], tmp_path: Path
) -> None:
    name = HOSTILE.replace("/", ":") + "$\\frac$.jsonl"
    file = tmp_path / name
    file.touch()
    lines = [
        WindowScore(HOSTILE, at, 2, 5, 0, {"hr10": 0.1, "ndcg10": 0.1}, {}, 1.0, 1) for at in (0, 1)
    ]
    margin = Margin(HOSTILE, "hr10", 0.1, 0.0, 0.2, 3, HOSTILE)
    monkeypatch.setattr(evaluate, "_lines", lambda *_: iter([*lines, margin]))
    plot = tmp_path / "plot.png"
    asked = evaluate.Request(file, Reading(form="ader"), HOSTILE, HOSTILE, 2, 0.0, 0.0, 0, 1, False)
    evaluate.run_evaluate(make_settings(), asked, None, plot)
    text = printed()
    assert text.count(SHOWN) == 3
    assert printable(name) in text
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_settings(make_settings: Made, printed: Callable[[], str]) -> None:
    run_settings(make_settings(kafka={"bootstrap_servers": HOSTILE}))
    assert "[/x][slug]:smile:" in printed()


def test_down_and_rollback_name_a_home_in_brackets(
    make_settings: Made, printed: Callable[[], str], tmp_path: Path
) -> None:
    settings = make_settings(home=tmp_path / "[" / "x][slug]:smile:")
    down.run_down(settings)
    assert "[/x][slug]:smile:" in printed()
    store = FsspecWeightStore(settings.weights_url)
    for version in (1, 2):
        manifest = WeightManifest(FORMAT, version, None, 1, 1, {0: 1}, {0: 1}, [], {}, 1, 1, {})
        store.write(manifest, dict.fromkeys(rollback.MODEL_FILES, b"x"))
    store.advance(Pointer(1, 2))
    rollback.run_rollback(settings, 1)
    assert "version 1 is the current one" in printed()


def snapshot() -> Snapshot:
    return Snapshot(
        HOSTILE, HOSTILE, 1.0, 1, 2, 3.0, 4, [window(2)], 5, 6, {HOSTILE[:9]: 1}, 0.1, 0.2
    )


def test_up_and_the_demos_steps(printed: Callable[[], str], make_settings: Made) -> None:
    terminal = Terminal()
    steps = StepPrinter(terminal)
    for what in ("begins", "waits", "done", "died", "restarted", "stopping"):
        steps(StepUpdate(HOSTILE, what, HOSTILE))
    run: Any = SimpleNamespace(
        home=Path(HOSTILE), settings=make_settings(kafka={"bootstrap_servers": HOSTILE})
    )
    up._greet(terminal, run, "http://127.0.0.1:1/")
    terminal.print(plain_line(snapshot()))
    terminal.print(render(snapshot()))
    terminal.print(change_view(Change(HOSTILE, ANSWER, ANSWER, 1.0), HOSTILE))
    assert printed().count(SHOWN) >= 14


def test_the_live_view_on_a_terminal() -> None:
    """Rich itself writes escape sequences there; those of the text are not among them."""
    shown = io.StringIO()
    terminal = Terminal(force_terminal=True, file=shown, width=4000)
    steps = StepPrinter(terminal)
    for what in ("begins", "waits", "stopping"):
        steps(StepUpdate(HOSTILE, what, HOSTILE))
    steps.end()
    terminal.print(render(snapshot()))
    child: Any = SimpleNamespace(
        ended=lambda: True, latest=ReplayProgress(1, 1, 1.0, None, done=True)
    )
    replay.show_replay(terminal, child, HOSTILE)
    line = WindowScore(HOSTILE, 1, 2, 5, 0, {"hr10": 0.1}, {}, 1.0, 1)
    list(evaluate._with_progress(terminal, [HOSTILE], iter([line])))
    text = shown.getvalue()
    assert SHOWN in text
    for steering in ("\x1b]0;", "\x07", "\x1b[2J", "\u202e", "\x9b", "😄"):
        assert steering not in text


ERRORS = [
    (RunError(f"no {HOSTILE}"), 1),
    (FileNotFoundError(2, HOSTILE, HOSTILE), 1),
    (PermissionError(13, "no", b"\xff" + HOSTILE.encode()), 1),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_errors(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str], error: Exception, code: int
) -> None:
    def command(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Interrupts, "install", lambda self: None)
    monkeypatch.setattr(app, "app", command)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == code
    assert "[/x][slug]:smile:" in printed()


@pytest.mark.parametrize("words", [[HOSTILE], ["state", "1", HOSTILE], ["state", f"--{HOSTILE}"]])
def test_mistakes_in_the_command_line(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[[], str], words: list[str]
) -> None:
    monkeypatch.setattr(Interrupts, "install", lambda self: None)
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "[/x][slug]:smile:" in printed()
