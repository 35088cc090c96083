"""The first arm of a user: folded from exposures, once, whatever dies."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from everfresh.adapters.state.user_state import first_arms_of
from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.first_arm import FirstArm, first_arms_key
from everfresh.contracts.exposure import decode_exposure, encode_exposure
from tests.streaming.join.joined_by_hand import Run, exposed
from tests.streaming.sample_log import LogRecord


def in_arm(
    offset: int,
    arm: str,
    user: UserId = 7,
    experiment: str = "green",
    *,
    sticky: bool = True,
    version: int = 4,
) -> LogRecord:
    record = exposed(offset, 1000 + offset, f"r{offset}", user)
    exposure = msgspec.structs.replace(
        decode_exposure(record.value),
        experiment=experiment,
        arm=arm,
        sticky=sticky,
        definition_version=version,
        probability=0.5,
    )
    return replace(record, value=encode_exposure(exposure))


def known(run: Run, user: UserId = 7) -> dict[str, FirstArm] | None:
    return first_arms_of(user, {0: run.store.pairs.get})


def test_the_arm_of_the_first_exposure_stays_whatever_comes_later() -> None:
    run = Run()
    run.add_exposures(in_arm(0, "control"), in_arm(1, "treatment", version=5))
    run.add_exposures(in_arm(2, "treatment", version=6), in_arm(3, "b", experiment="blue"))
    assert known(run) == {
        "green": FirstArm("green", "control", 4, 0.5),
        "blue": FirstArm("blue", "b", 4, 0.5),
    }
    assert known(run, "7") == {}


def test_only_experiments_that_are_sticky_leave_anything() -> None:
    run = Run()
    run.add_exposures(in_arm(0, "control", sticky=False), exposed(1, 1001, "r1"))
    assert first_arms_key(7) not in run.store.pairs


def test_law_2_first_arms_are_written_with_the_offset_of_their_exposures() -> None:
    run = Run()
    batch = run.join.add_exposures([in_arm(0, "control")])
    run.reopen()  # it died before the write
    assert known(run) == {}
    assert first_arms_key(7) in batch.puts
    run.add_exposures(in_arm(0, "control"))
    run.reopen()
    run.add_exposures(in_arm(0, "treatment"))  # below the offset: read again, and skipped
    assert known(run) == {"green": FirstArm("green", "control", 4, 0.5)}


def test_a_row_that_cannot_be_read_is_unknown_and_no_row_is_none() -> None:
    run = Run()
    run.store.pairs[first_arms_key(7)] = b"\xc1"
    assert known(run) is None
    assert first_arms_of(7, {}) is None
    assert first_arms_of(8, {0: run.store.pairs.get, 1: run.store.pairs.get}) == {}
