"""What ``everfresh replay`` says at its end."""

from __future__ import annotations

from everfresh.infra.cli.commands.sending.replay import summary
from everfresh.streaming.replay.progress import Outcome, ReplayProgress


def said(outcome: Outcome | None, sent: int = 5000, *, done: bool = True) -> str:
    return "\n".join(summary(ReplayProgress(sent, 5000, 2.0, 7, done, outcome)))


def test_it_counts_what_was_accepted_not_what_was_sent() -> None:
    assert said(Outcome(5000, {}, settled=True)) == (
        "5,000 events are in the log; 2.0 s, 2,500 events/s\n5,000 of them were accepted"
    )
    rejected = {"duplicate_id": 1200, "unknown_type": 3, "in_the_future": 1}
    assert said(Outcome(5000, rejected, settled=True)).splitlines()[1] == (
        "3,796 of them were accepted; 1,200 had been accepted before (same user and id); 4 are "
        "dead letters (in_the_future 1, unknown_type 3): `everfresh dlq list` shows them"
    )


def test_where_it_is_not_known_it_says_so() -> None:
    text = said(Outcome(4000, {"duplicate_id": 7}))
    assert "4,000 of them have been read by the stream worker; 7 had been accepted before" in text
    assert "what became of all is not known yet" in text
    assert "0 of them have been read" in said(None)


def test_a_replay_that_ended_early_claims_nothing() -> None:
    assert "3 events were sent, not all of them may be in the log" in said(None, 3, done=False)
    assert said(None, 0, done=False) == "no event was sent"
