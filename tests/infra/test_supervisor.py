"""What the supervisor is made of, with stand-in children: restarts, the record, the home's lock."""

from __future__ import annotations

import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.adapters.machine.tcp_ports import (
    free_ports,
    parse_address,
    require_free,
    require_reachable,
)
from everfresh.contracts.errors import RunError, SettingsError, Unreachable
from everfresh.contracts.settings import RaySettings, Settings, load_settings
from everfresh.infra import components
from everfresh.infra import ray_head as ray_cluster
from everfresh.infra.processes.children import Children, Note
from everfresh.infra.processes.processes import ChildSpec, same_process
from everfresh.infra.processes.restarts import RestartPolicy
from everfresh.infra.run.run_record import (
    ProcessRecord,
    RunRecord,
    hold,
    is_held,
    read_record,
    remove_record,
    write_record,
)

NEEDS = {"base": (), "top": ("base",)}


class Run:
    """Children of stand-in programs, and what was said of them."""

    def __init__(self, logs: Path, policy: RestartPolicy) -> None:
        self.run_id = uuid.uuid4().hex
        self.notes: list[Note] = []
        self.children = Children(logs, self.run_id, NEEDS, self.notes.append, policy)

    def start(self, name: str, code: str) -> None:
        self.children.start(ChildSpec(name, [sys.executable, "-c", code], {}))

    def watch_until(self, what: str, name: str) -> None:
        while not any(note.what == what and note.step == name for note in self.notes):
            self.children.watch(time.monotonic())
            time.sleep(0.01)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    one = Run(tmp_path, RestartPolicy(limit=2, first_s=0.0))
    yield one
    # By their handles: one that has just been started does not show its environment yet, by which
    # a run's leftovers are found.
    for name in one.children.records():
        child = one.children.get(name)
        assert child is not None
        child.process.kill()
        child.process.wait()


SLEEP = "import time; time.sleep(600)"
FAIL = "import sys; sys.exit('it broke')"


@pytest.mark.process
def test_one_that_dies_is_said_and_started_again(run: Run) -> None:
    run.start("base", SLEEP)
    first = run.children.records()["base"]
    child = run.children.get("base")
    assert child is not None
    child.process.kill()
    run.watch_until("restarted", "base")
    second = run.children.records()["base"]
    assert second.pid != first.pid
    assert same_process(second.pid, second.started)
    assert not same_process(first.pid, first.started)
    [died] = [note for note in run.notes if note.what == "died"]
    assert died.text.startswith("base was ended by SIGKILL; it is started again")


@pytest.mark.process
def test_one_that_dies_too_often_stops_the_run_with_its_last_words(run: Run) -> None:
    run.start("base", FAIL)
    with pytest.raises(
        RunError, match=r"base ended with exit code 1 once too often(?s:.*)it broke"
    ):
        run.watch_until("never", "base")
    assert [note.what for note in run.notes] == ["died", "restarted"] * 2


@pytest.mark.process
def test_nothing_is_started_again_before_what_it_needs(run: Run) -> None:
    run.start("top", "import time; time.sleep(0.05)")
    run.watch_until("died", "top")
    for _ in range(5):
        run.children.watch(time.monotonic() + 60.0)
    assert not any(note.what == "restarted" for note in run.notes)
    run.start("base", SLEEP)
    run.watch_until("restarted", "top")


@pytest.mark.process
def test_a_death_while_starting_is_an_error_at_once(run: Run) -> None:
    run.start("base", FAIL)
    child = run.children.get("base")
    assert child is not None
    child.process.wait(timeout=60)
    with pytest.raises(RunError, match=r"base ended with exit code 1 while the run was starting"):
        run.children.require_alive()


@pytest.mark.process
def test_a_helper_that_ends_is_not_started_again(run: Run) -> None:
    run.start("helper", "pass")
    helper = run.children.get("helper")
    assert helper is not None
    helper.process.wait(timeout=60)
    assert not run.children.watch(time.monotonic())
    assert run.notes == []


def test_pauses_double_up_to_the_longest_and_then_it_gives_up() -> None:
    policy = RestartPolicy(limit=4, period_s=100.0, first_s=1.0, longest_s=3.0)
    assert [policy.pause_after_death("a", 10.0) for _ in range(5)] == [1.0, 2.0, 3.0, 3.0, None]
    assert policy.pause_after_death("b", 10.0) == 1.0


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=40))
def test_no_period_holds_more_restarts_than_the_limit(gaps: list[float]) -> None:
    policy, now, restarts = RestartPolicy(limit=3, period_s=100.0), 0.0, list[float]()
    for gap in gaps:
        now += gap
        if policy.pause_after_death("a", now) is not None:
            restarts.append(now)
    for at in restarts:
        assert sum(at <= other < at + 100.0 for other in restarts) <= 3


def record() -> RunRecord:
    me = ProcessRecord.of_this_process()
    return RunRecord("run", me, 1, "ready", "127.0.0.1:1", "t.", "127.0.0.1:2", {"broker": me})


def test_a_home_has_one_supervisor_at_a_time(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with hold(tmp_path):
        write_record(tmp_path, record())
        assert is_held(tmp_path)
        with pytest.raises(RunError, match=r"is up already \(process \d+\); `everfresh down`"):
            hold(tmp_path).__enter__()
    assert not is_held(tmp_path)


def test_the_record_is_read_back_and_foreign_ones_are_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, record())
    assert read_record(tmp_path) == record()
    (tmp_path / "run" / "run.json").write_text('{"run_id": 7}')
    assert read_record(tmp_path) is None
    remove_record(tmp_path)
    remove_record(tmp_path)
    assert read_record(tmp_path) is None


def test_another_process_under_a_recorded_number_is_not_taken_for_it() -> None:
    me = ProcessRecord.of_this_process()
    assert same_process(me.pid, me.started)
    assert not same_process(me.pid, me.started - 1000.0)


def test_every_setting_reaches_a_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given_ = {
        "home": tmp_path,
        "windows": {"seconds": 3.5},
        "trainer": {"exclude_seen": True},
        "events": {"actions": ["a", 'b"c']},
        "kafka": {"topic_prefix": "x."},
        "serving": {"admin_token": "let-me-in"},
    }
    sent = load_settings(given_)
    (tmp_path / "everfresh.toml").write_text("[windows]\nseconds = 9\n")
    monkeypatch.chdir(tmp_path)
    for name, value in components.settings_environment(sent).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == sent


def test_those_that_need_others_are_stopped_before_them() -> None:
    order = components.stop_order()
    stage = {name: number for number, names in enumerate(order) for name in names}
    assert set(stage) == set(components.NEEDS)
    for name, needs in components.NEEDS.items():
        assert all(stage[name] < stage[need] for need in needs)


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            Unreachable, match=rf"serving.port is {port}.*choose another port, or 0"
        ):
            require_free("127.0.0.1", port, "serving.port")


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        require_free("127.0.0.1", port, "port")


def test_an_address_where_nobody_answers_is_unreachable() -> None:
    [port] = free_ports(1)
    with pytest.raises(Unreachable, match=r"no Ray cluster answers at 127.0.0.1:\d+"):
        require_reachable(f"127.0.0.1:{port}", "--ray-address", "Ray cluster")


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:70000", "host:x"])
def test_a_wrong_address_names_the_setting(text: str) -> None:
    with pytest.raises(SettingsError, match=r"ray\.address must be host:port"):
        parse_address(text, "ray.address")


@pytest.mark.parametrize("metrics", [True, False])
def test_ray_keeps_metrics_of_its_own_only_where_told(metrics: bool) -> None:
    run_id = uuid.uuid4().hex
    try:
        head = ray_cluster.head(run_id, RaySettings(metrics=metrics))
        assert head.spec.env["RAY_enable_metrics_collection"] == str(int(metrics))
    finally:
        ray_cluster.remove_temporary_folder(run_id)


def test_rays_token_is_its_owners_alone() -> None:
    run_id = uuid.uuid4().hex
    try:
        head = ray_cluster.head(run_id, Settings().ray)
        token = Path(head.drivers["RAY_AUTH_TOKEN_PATH"])
        assert token.stat().st_mode & 0o077 == 0
        assert token.parent.stat().st_mode & 0o077 == 0
        assert len(token.read_text()) >= 32
        assert head.address.startswith("127.0.0.1:")
        assert token.read_text() not in " ".join(head.spec.argv)
        # What its processes leave lying goes with the folder.
        assert Path(head.spec.env["TMPDIR"]).parent == token.parent
    finally:
        ray_cluster.remove_temporary_folder(run_id)
    assert not ray_cluster.temporary_folder(run_id).exists()
