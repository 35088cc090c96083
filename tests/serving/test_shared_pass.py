"""Answers that share a pass over the item table: the same as alone, and nobody hurts another."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from everfresh.adapters.memory import MemoryWeightStore
from everfresh.model.inference.retrieval import UserVector
from everfresh.model.recommender import Recommender
from everfresh.serving import shared_pass
from everfresh.serving.recommend import Answer, RecommendRequest
from everfresh.serving.shared_pass import SharedPass, Steps, alone
from tests.serving.replica_in_memory import ITEMS, Bench, publish, state_pairs

OTHER = publish(MemoryWeightStore(), 5)


def asked(user: int, k: int = 5) -> RecommendRequest:
    return RecommendRequest(f"r-{user}", user, k, True)


def scores(recommender: Recommender, user: UserVector) -> Steps[list[float]]:
    product = yield recommender, user
    return product.tolist()


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
    return seen


def test_answers_made_together_are_those_made_alone(bench: Bench, passes: list[int]) -> None:
    for user in range(1, 7):
        bench.pairs |= state_pairs(user, [*ITEMS[user : user + 3], "thirty-one"], 7)
    alone_each = [bench.replica.answer(asked(user)) for user in range(1, 9)]
    assert passes == [1] * 8
    passes.clear()

    async def together() -> list[Answer | None]:
        turn = SharedPass()
        answers = (turn.made(bench.replica.answering(asked(user))) for user in range(1, 9))
        return list(await asyncio.gather(*answers))

    assert asyncio.run(together()) == alone_each
    assert passes == [8]


def test_more_than_one_pass_holds_are_served_by_the_next(bench: Bench, passes: list[int]) -> None:
    async def many() -> list[Answer | None]:
        turn = SharedPass()
        answers = (turn.made(bench.replica.answering(asked(user))) for user in range(40))
        return list(await asyncio.gather(*answers))

    answers = asyncio.run(many())
    assert [answer.user_id for answer in answers if answer] == list(range(40))
    assert passes == [16, 16, 8]


def test_one_that_names_its_candidates_waits_for_no_pass(bench: Bench, passes: list[int]) -> None:
    steps = bench.replica.answering(RecommendRequest("r", 1, 3, False, allow=ITEMS[:4]))
    answer = alone(steps)
    assert answer is not None
    assert len(answer.items) == 3
    assert passes == []


def test_a_client_that_leaves_takes_nothing_from_the_others(
    bench: Bench, passes: list[int]
) -> None:
    async def leave() -> Answer | None:
        turn = SharedPass()
        first, second = (
            asyncio.ensure_future(turn.made(bench.replica.answering(asked(user))))
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
    made = publish(MemoryWeightStore(), 4)
    user = made.start().numpy()

    async def fail() -> tuple[list[list[float] | BaseException], list[float]]:
        turn = SharedPass()
        results = await asyncio.gather(
            turn.made(scores(made, np.full_like(user, np.nan))),
            turn.made(scores(made, user)),
            turn.made(scores(OTHER, user)),
            return_exceptions=True,
        )
        return results, await turn.made(scores(made, user))

    (bad, beside, elsewhere), later = asyncio.run(fail())
    assert isinstance(bad, MemoryError)
    assert isinstance(beside, MemoryError)
    assert elsewhere == alone(scores(OTHER, user))
    assert later == alone(scores(made, user))
