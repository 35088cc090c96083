"""The metric: what of users' feedback is counted, written as a sentence that people can read."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec


class Measure(StrEnum):
    """What is counted of the feedback whose type a metric names."""

    ANSWERS = "answers with"
    """Answers that got such feedback."""
    USERS = "users with"
    """Users who gave such feedback at least once."""
    EVENTS = "events of"
    """Pieces of such feedback."""
    VALUE = "value of"
    """The sum of the values of such feedback."""


class Metric(msgspec.Struct, frozen=True):
    """One figure by which arms are compared.

    ``types`` are the event types that count. ``per_answer`` divides by the answers that were shown
    instead of by the users. ``more`` says whether more is better. ``cap`` is the most that one
    user counts, ``None`` for no limit. ``limit`` makes it a guardrail: the relative harm that is
    still allowed, as a share.
    """

    name: str
    measure: Measure
    types: tuple[str, ...]
    per_answer: bool
    more: bool = True
    cap: float | None = None
    limit: float | None = None


_NUMBER = r"\d{1,12}(?:\.\d{1,6})?"
_SENTENCE = re.compile(
    r"(?P<name>[A-Za-z]\w{0,39}): (?P<measure>answers with|users with|events of|value of) "
    r"(?P<types>[^\s,]+(?: or [^\s,]+)*)(?: per (?P<per>user|answer))?"
    r"(?P<less>, less is better)?"
    rf"(?:, a user counts at most (?P<cap>{_NUMBER}))?"
    rf"(?:, at most (?P<limit>{_NUMBER})% worse)?"
)
FORM = (
    "NAME: MEASURE TYPE[ or TYPE...][ per user| per answer][, less is better]"
    "[, a user counts at most N][, at most N% worse], where MEASURE is `answers with`, "
    "`users with`, `events of` or `value of`"
)
"""How a metric is written."""


def parse_metric(sentence: str) -> Metric:
    """The metric that a sentence describes; ``ValueError`` with the form where it is another."""
    found = _SENTENCE.fullmatch(sentence)
    if found is None:
        raise ValueError(f"found {sentence[:120]!r}; a metric is written as {FORM}")
    measure, per = Measure(found["measure"]), found["per"]
    only = {Measure.ANSWERS: "answer", Measure.USERS: "user"}.get(measure)
    if per and only and per != only:
        raise ValueError(f"found {sentence[:120]!r}; `{measure.value}` is counted per {only}")
    return Metric(
        name=found["name"],
        measure=measure,
        types=tuple(dict.fromkeys(found["types"].split(" or "))),
        per_answer=(only or per) == "answer",
        more=not found["less"],
        cap=float(found["cap"]) if found["cap"] else None,
        limit=float(found["limit"]) / 100 if found["limit"] else None,
    )
