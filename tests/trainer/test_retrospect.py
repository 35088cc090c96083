from __future__ import annotations

from everfresh.contracts.settings import GateSettings
from everfresh.trainer.gate.paired import Paired
from everfresh.trainer.gate.probation import Trial, lost

SETTINGS = GateSettings(trial_windows=3)
EQUAL = Paired(examples=100, n=100, s=0.0, base=20.0, nn=100, sn=0.0, ss=0.2)
WORSE = Paired(examples=100, n=100, s=8.0, base=20.0, nn=100, sn=8.0, ss=0.8)


def test_a_trial_is_decided_by_its_last_window_and_not_before() -> None:
    assert lost([Trial(7, 2, WORSE)], SETTINGS) is None
    assert lost([Trial(7, 3, WORSE)], SETTINGS) == Trial(7, 3, WORSE)
    assert lost([Trial(7, 3, EQUAL)], SETTINGS) is None


def test_the_newest_parent_that_wins_is_gone_back_to() -> None:
    # Version 9 is bad. Its parent 8 has won two windows; 7 and 6 were as good, and know less.
    assert lost([Trial(6, 4, WORSE), Trial(7, 3, WORSE), Trial(8, 2, WORSE)], SETTINGS) == Trial(
        8, 2, WORSE
    )


def test_a_bad_versions_own_trial_of_its_successor_does_not_bring_it_back() -> None:
    trials = [Trial(8, 3, WORSE), Trial(9, 2, EQUAL)]
    assert lost(trials, SETTINGS) == Trial(8, 3, WORSE)
