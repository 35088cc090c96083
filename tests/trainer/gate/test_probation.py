from __future__ import annotations

from everfresh.contracts.settings import GateSettings
from everfresh.trainer.gate.probation import Probation, failed
from everfresh.trainer.scoring.paired import Paired

SETTINGS = GateSettings(trial_windows=3)
EQUAL = Paired(examples=100, n=100, s=0.0, base=20.0, nn=100, sn=0.0, ss=0.2)
WORSE = Paired(examples=100, n=100, s=8.0, base=20.0, nn=100, sn=8.0, ss=0.8)


def test_a_probation_is_decided_by_its_last_window_and_not_before() -> None:
    assert failed([Probation(7, 2, WORSE)], SETTINGS) is None
    assert failed([Probation(7, 3, WORSE)], SETTINGS) == Probation(7, 3, WORSE)
    assert failed([Probation(7, 3, EQUAL)], SETTINGS) is None


def test_the_newest_parent_that_is_ahead_is_gone_back_to() -> None:
    # Version 9 is bad. Its parent 8 was ahead in two windows; 7 and 6 were as good, and know less.
    assert failed(
        [Probation(6, 4, WORSE), Probation(7, 3, WORSE), Probation(8, 2, WORSE)], SETTINGS
    ) == Probation(8, 2, WORSE)


def test_a_successors_probation_against_a_bad_version_does_not_bring_it_back() -> None:
    probations = [Probation(8, 3, WORSE), Probation(9, 2, EQUAL)]
    assert failed(probations, SETTINGS) == Probation(8, 3, WORSE)
