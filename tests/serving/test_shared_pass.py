"""Answers that share a pass over the item table: the same as alone, and nobody hurts another."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import numpy as np
import pytest

from everfresh.adapters.memory import ManualClock, MemoryWeightStore
from everfresh.contracts.settings import ItemSettings
from everfresh.model.inference import retrieval
from everfresh.model.inference.retrieval import Query, UserVector, all_scores
from everfresh.model.recommender import Recommender
from everfresh.serving import shared_pass
from everfresh.serving.recommend import Answer, RecommendRequest
from everfresh.serving.requests.admission import Admission
from everfresh.serving.requests.problems import Problem
from everfresh.serving.shared_pass import SharedPass, Steps, alone
from tests.serving.items.shop import change
from tests.serving.replica_in_memory import ITEMS, Bench, publish, state_pairs

_Made = TypeVar("_Made")
OTHER = publish(MemoryWeightStore(), 5)


def asked(user: int, k: int = 5) -> RecommendRequest:
    return RecommendRequest(f"r-{user}", user, k, True)


def scores(recommender: Recommender, user: UserVector) -> Steps[list[float]]:
    product = yield recommender, user
    return all_scores(recommender, Query(user, np.zeros(0, np.int64), product=product)).tolist()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many shared each pass."""
    seen: list[int] = []
    whole = shared_pass.products

    def counted(vectors: UserVector, users: list[UserVector]) -> list[UserVector]:
        seen.append(len(users))
        if any(np.isnan(user).any() for user in users):
            raise MemoryError("too large")
        return whole(vectors, users)

    monkeypatch.setattr(shared_pass, "products", counted)
    monkeypatch.setattr(shared_pass, "_SLOW_S", 600.0)
    return seen


async def made(turn: SharedPass, steps: Steps[_Made], admission: Admission | None = None) -> _Made:
    admission = admission or Admission(1, 500, ManualClock(1_000))
    with admission.slot() as slot:
        return await turn.made(steps, slot)


def test_answers_made_together_are_those_made_alone(bench: Bench, passes: list[int]) -> None:
    for user in range(1, 7):
        bench.pairs |= state_pairs(user, [*ITEMS[user : user + 3], "thirty-one"], 7)
    alone_each = [bench.replica.answer(asked(user)) for user in range(1, 9)]
    assert passes == [], "each made its products itself"

    async def together() -> list[Answer | None]:
        turn = SharedPass()
        answers = (made(turn, bench.replica.answering(asked(user))) for user in range(1, 9))
        return list(await asyncio.gather(*answers))

    assert asyncio.run(together()) == alone_each
    assert passes == [8]


def test_more_than_one_pass_holds_are_served_by_the_next(bench: Bench, passes: list[int]) -> None:
    async def many() -> list[Answer | None]:
        turn = SharedPass()
        answers = (made(turn, bench.replica.answering(asked(user))) for user in range(40))
        return list(await asyncio.gather(*answers))

    answers = asyncio.run(many())
    assert [answer.user_id for answer in answers if answer] == list(range(40))
    assert passes == [16, 16, 8]


def test_the_next_pass_waits_until_the_answers_of_this_one_are_made(passes: list[int]) -> None:
    """So that no more than sixteen hold their products, also where an answer needs two."""
    model = publish(MemoryWeightStore(), 4)
    user, holding, most = model.start().numpy(), 0, 0

    def twice() -> Steps[None]:
        nonlocal holding, most
        for _ in range(2):
            yield model, user
            holding += 1
            most = max(most, holding)
        holding -= 2

    async def many() -> None:
        turn = SharedPass()
        await asyncio.gather(*(made(turn, twice()) for _ in range(40)))

    asyncio.run(many())
    assert holding == 0
    assert most <= 32
    assert passes == [16, 16, 16, 16, 8, 8]


def test_a_request_that_waits_for_its_pass_takes_no_other_ones_place(
    bench: Bench, passes: list[int]
) -> None:
    """Requests that come together are not refused, as none of them keeps another waiting."""
    narrow = Admission(1, 500, bench.clock)

    async def many() -> list[Answer | None]:
        turn = SharedPass()
        each = (made(turn, bench.replica.answering(asked(user)), narrow) for user in range(5))
        return list(await asyncio.gather(*each))

    assert len(asyncio.run(many())) == 5
    assert passes == [5]
    with narrow.slot():  # and all have given it back
        pass


def test_one_that_waited_too_long_for_its_pass_is_refused_and_no_work_is_done(
    bench: Bench, passes: list[int]
) -> None:
    async def late() -> Answer | None:
        turn = SharedPass()
        admission = Admission(1, 500, bench.clock)
        steps = made(turn, bench.replica.answering(asked(1)), admission)
        waiting = asyncio.ensure_future(steps)
        await asyncio.sleep(0)
        bench.clock.advance(501)
        return await waiting

    with pytest.raises(Problem, match="500"):
        asyncio.run(late())
    assert bench.exposures.exposures == []
    figures = bench.replica.status().figures
    assert (figures["requests"], figures["failed"]) == (0, 0)


def test_one_whose_history_took_long_goes_on_alone(
    bench: Bench, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_pass, "_SLOW_S", -1.0)

    async def both() -> list[Answer | None]:
        turn = SharedPass()
        each = (made(turn, bench.replica.answering(asked(user))) for user in range(2))
        return list(await asyncio.gather(*each))

    assert len([answer for answer in asyncio.run(both()) if answer]) == 2
    assert passes == []


def test_a_loop_that_ended_leaves_nobody_waiting(bench: Bench, passes: list[int]) -> None:
    turn = SharedPass()
    ended = asyncio.new_event_loop()
    left = ended.create_task(made(turn, bench.replica.answering(asked(1))))
    ended.call_soon(ended.stop)
    ended.run_forever()
    ended.close()
    answer = asyncio.run(made(turn, bench.replica.answering(asked(2))))
    assert answer is not None
    assert answer.user_id == 2
    assert passes == [1]
    left.get_coro().close()


def test_one_that_names_its_candidates_waits_for_no_pass(bench: Bench, passes: list[int]) -> None:
    steps = bench.replica.answering(RecommendRequest("r", 1, 3, False, allow=ITEMS[:4]))
    answer = alone(steps)
    assert answer is not None
    assert len(answer.items) == 3
    assert passes == []


def test_where_hardly_any_item_may_be_shown_nobody_waits_for_a_pass(passes: list[int]) -> None:
    bench = Bench(items=ItemSettings(unlisted="exclude"))
    bench.catalogue.apply([change(3), change(5)], 2)
    publish(bench.store, 1)
    bench.replica.start()
    try:
        wanted = RecommendRequest("r", 1, 5, False)
        answer = bench.replica.answer(wanted)
        assert answer is not None
        assert set(answer.items) == {3, 5}
        # The first has seen how few there are.
        assert asyncio.run(made(SharedPass(), bench.replica.answering(wanted))) == answer
    finally:
        bench.replica.stop()
    assert passes == []


def test_a_client_that_leaves_takes_nothing_from_the_others(
    bench: Bench, passes: list[int]
) -> None:
    async def leave() -> Answer | None:
        turn = SharedPass()
        first, second = (
            asyncio.ensure_future(made(turn, bench.replica.answering(asked(user))))
            for user in (1, 2)
        )
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    answer = asyncio.run(leave())
    assert answer is not None
    assert answer.user_id == 2
    assert passes == [1]
    figures = bench.replica.status().figures
    assert (figures["requests"], figures["failed"]) == (1, 0)


def test_a_pass_that_fails_fails_its_own_alone(passes: list[int]) -> None:
    model = publish(MemoryWeightStore(), 4)
    user = model.start().numpy()

    async def fail() -> tuple[list[list[float] | BaseException], list[float]]:
        turn = SharedPass()
        results = await asyncio.gather(
            made(turn, scores(model, np.full_like(user, np.nan))),
            made(turn, scores(model, user)),
            made(turn, scores(OTHER, user)),
            return_exceptions=True,
        )
        return results, await made(turn, scores(model, user))

    (bad, beside, elsewhere), later = asyncio.run(fail())
    assert isinstance(bad, MemoryError)
    assert isinstance(beside, MemoryError)
    assert elsewhere == alone(scores(OTHER, user))
    assert later == alone(scores(model, user))


def test_what_fails_in_its_pass_is_counted_as_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(vectors: UserVector, users: list[UserVector]) -> list[UserVector]:
        raise MemoryError("too large")

    monkeypatch.setattr(shared_pass, "products", too_large)
    monkeypatch.setattr(shared_pass, "_SLOW_S", 600.0)
    monkeypatch.setattr(retrieval, "products", too_large)
    with pytest.raises(MemoryError):
        bench.replica.answer(asked(1))
    with pytest.raises(MemoryError):
        asyncio.run(made(SharedPass(), bench.replica.answering(asked(2))))
    figures = bench.replica.status().figures
    assert (figures["requests"], figures["failed"]) == (2, 2)
