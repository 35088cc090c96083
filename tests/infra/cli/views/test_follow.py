"""What a run's view follows: the rate of events, and when Kafka last gave something. Pure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from everfresh.contracts.errors import Unreachable
from everfresh.contracts.settings import Settings
from everfresh.infra.cli.views import follow
from everfresh.infra.cli.views.follow import Rate, RunFollower


def test_a_rate_is_over_the_last_seconds_and_begins_anew_after_a_restart() -> None:
    rate = Rate(span_s=5.0)
    assert rate.per_s == 0.0
    for second in range(20):
        rate.add(float(second), second * 10 if second < 10 else 90 + (second - 9) * 100)
    assert rate.per_s == pytest.approx(100.0)
    rate.add(20.0, 0)
    assert rate.per_s == 0.0


def test_what_may_not_be_read_is_not_heard_of_by_another_topic_that_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuses = [True]

    def tail(*_: Any, **__: Any) -> Any:
        if refuses[0]:
            raise Unreachable("reports may not be read")
        return SimpleNamespace(poll=lambda timeout_ms: [], close=lambda: None)

    monkeypatch.setattr(follow, "RecordTail", tail)
    monkeypatch.setattr(follow, "end_offsets", lambda *_: {0: 3})
    monkeypatch.setattr(follow, "_DEAD_LETTERS_S", 0.0)
    with RunFollower(Settings()) as followed:
        began = followed.heard_s
        followed.poll(0)
        assert followed.dead_letters() == 3
        assert (followed.heard_s, followed.trouble) == (began, "reports may not be read")
        refuses[0] = False
        followed.poll(0)
        followed.dead_letters()
        assert followed.heard_s > began
        assert followed.trouble == ""
