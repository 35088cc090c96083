from __future__ import annotations

import msgspec

from everfresh.contracts.settings import Settings
from everfresh.evaluation.file_windows import FileWindows, by_count, by_time, cut_windows
from tests.evaluation.made_up_events import event, stream


def test_windows_tile_the_file_and_carry_the_history() -> None:
    made = list(cut_windows(stream(40), by_count(40, 4, 0.0), history_length=5))
    assert [window.events for window in made] == [10, 10, 10, 10]
    for user in range(4):
        seen = [t.item for w in made for e in w.examples if e.user == user for t in e.targets]
        assert seen == [event.item_id for event in stream(40) if event.user_id == user]
        last = next(example for example in made[-1].examples if example.user == user)
        before = [interaction.item for interaction in last.context]
        assert before == seen[-len(last.targets) - 5 : -len(last.targets)]


def test_the_first_window_takes_its_share() -> None:
    made = list(cut_windows(stream(40), by_count(40, 5, 0.5), history_length=5))
    assert [window.events for window in made] == [20, 5, 5, 5, 5]


def test_windows_of_time_leave_out_what_is_empty() -> None:
    events = [event(n, 1, n) for n in (0, 1, 2, 30, 31, 90)]
    made = list(cut_windows(events, by_time(10.0, 0, 0), history_length=5))
    assert [(window.label, window.events) for window in made] == [(0, 3), (3, 2), (9, 1)]


def test_windows_of_a_file_are_cut_anew_for_each_who_goes_through_them(
    small_settings: Settings,
) -> None:
    tuning = small_settings.trainer.model_copy(update={"refusals": ["skip"]})
    settings = small_settings.model_copy(update={"trainer": tuning})
    events = [event(n, n % 3, n) for n in range(40)]
    events[7] = msgspec.structs.replace(events[7], type="skip")
    windows = FileWindows(events, 30, by_count(30, 3, 0.0), settings)
    first, second = list(windows), list(windows)
    assert first == second
    assert [window.events for window in first] == [10, 10, 10]
    refused = [t.item for w in first for e in w.examples if e.refused for t in e.targets]
    assert 7 in refused
    assert sum(sum(each.marks) for window in first for each in window.examples) == 1
