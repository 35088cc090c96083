"""What requests say: their JSON, checked field by field, as the domain's requests."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from everfresh.contracts.event import MAX_ID_BYTES, ItemId, UserId
from everfresh.contracts.items.rules import Filter, Rules, merged
from everfresh.contracts.sequence import Interaction
from everfresh.contracts.settings import Settings
from everfresh.serving.recommend import RecommendRequest, ScoreRequest, SimilarRequest
from everfresh.serving.requests import problems

_Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Text = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
_Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_ItemOrUserId = _Int | _Text
_FLOAT32 = 3.4e38
_RANDOM = random.Random()  # seeded by the kernel; request ids need be unique, not secret
_PLACE = re.compile(r" - at `\$\.?([a-z_]+)?[^`]*`$")
_MISSING = re.compile(r"(?:missing required|contains unknown) field `([^`]*)`")


def _field(description: str, **more: Any) -> Meta:
    return Meta(description=description, **more)


class EventBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An event of the user that may not have reached the log yet."""

    item_id: Annotated[_ItemOrUserId, _field("The item.")]
    type: Annotated[str, _field("One of the event types in the settings.")]
    time: Annotated[
        Annotated[int, Meta(ge=0, lt=2**53)] | None, _field("UTC milliseconds; now where absent.")
    ] = None
    value: Annotated[
        Annotated[float, Meta(ge=-_FLOAT32, le=_FLOAT32)] | None, _field("A rating, an amount.")
    ] = None


_EVENTS = _field(
    "The user's newest events, oldest first, which may not have reached the log yet. One that "
    "has (same item, type, time and value) counts once."
)
_REQUEST_ID = _field(
    "Comes back in the answer and the exposure; feedback events name it. Made here where absent."
)
_ARM = _field(
    "The arm of the experiment that this answer is for, where requests name it "
    "(`experiments.assigner`); the default arm where absent."
)
_MIN_STATE_OFFSET = _field(
    "The offset of an event of this user, from the producer's receipt. The answer knows it; where "
    "the state does not hold it within `serving.state_wait_ms`, there is no answer (503).",
)
_RULES = _field(
    "What the answer obeys besides the rules of the settings: the filters of both hold; each other "
    "part counts in place of theirs."
)
_USER = _field('A 64-bit integer or a non-empty string; 7 and "7" are two users.')


class RecommendBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What ``POST /v1/recommend`` takes. Types are strict: neither ``true`` nor ``"7"`` is 7."""

    user_id: Annotated[_ItemOrUserId, _USER]
    k: Annotated[int, _field("How many items at most.", ge=1)] = 10
    exclude_seen: Annotated[bool, _field("Leave out the items of the known history.")] = True
    exclude: Annotated[list[_ItemOrUserId], _field("Further items to leave out.")] = []
    allow: Annotated[list[_ItemOrUserId] | None, _field("Where given, the only candidates.")] = None
    events: Annotated[list[EventBody], _EVENTS] = []
    request_id: Annotated[_Text | None, _REQUEST_ID] = None
    arm: Annotated[_Text | None, _ARM] = None
    min_state_offset: Annotated[_Offset | None, _MIN_STATE_OFFSET] = None
    rules: Annotated[Rules | None, _RULES] = None
    attributes: Annotated[
        list[str],
        _field("Attributes of each item to tell in the answer, such as its title.", max_length=20),
    ] = []


class ScoreBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What ``POST /v1/score`` takes."""

    user_id: Annotated[_ItemOrUserId, _USER]
    items: Annotated[list[_ItemOrUserId], _field("The candidates.", min_length=1)]
    events: Annotated[list[EventBody], _EVENTS] = []
    request_id: Annotated[_Text | None, _field("Comes back in the answer.")] = None
    arm: Annotated[_Text | None, _ARM] = None
    min_state_offset: Annotated[_Offset | None, _MIN_STATE_OFFSET] = None


class SimilarBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What ``POST /v1/similar`` takes."""

    item_id: Annotated[_ItemOrUserId, _field("The item whose neighbours are wanted.")]
    k: Annotated[int, _field("How many items at most.", ge=1)] = 10
    filter: Annotated[
        Filter | None, _field("What neighbours must be, besides the filter of the settings.")
    ] = None


class Limits(msgspec.Struct, frozen=True):
    """What one request may ask for; ``actions`` are the event types that it may name.

    ``arms`` are the arms that it may name, ``None`` where requests name none; ``rules`` those of
    every recommendation.
    """

    k: int
    items: int
    events: int
    body_bytes: int
    actions: frozenset[str]
    arms: frozenset[str] | None = None
    rules: Rules | None = None

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that the settings say."""
        serving, actions = settings.serving, frozenset(settings.events.actions)
        named = settings.experiments.assigner == "request"
        return cls(
            serving.max_k,
            serving.max_items,
            serving.max_events,
            serving.max_body_bytes,
            actions,
            frozenset(settings.experiments.arms) if named else None,
            settings.items.default_rules,
        )


_Body = TypeVar("_Body")
_RECOMMEND = msgspec.json.Decoder(RecommendBody)
_SCORE = msgspec.json.Decoder(ScoreBody)
_SIMILAR = msgspec.json.Decoder(SimilarBody)


def parse_recommend(raw: bytes, limits: Limits, now_ms: int) -> RecommendRequest:
    """A request from its JSON; a :class:`problems.Problem` that names the wrong field."""
    return check_recommend(_decode_body(_RECOMMEND, raw), limits, now_ms)


def parse_score(raw: bytes, limits: Limits, now_ms: int) -> ScoreRequest:
    """As :func:`parse_recommend`, for scores."""
    return check_score(_decode_body(_SCORE, raw), limits, now_ms)


def parse_similar(raw: bytes, limits: Limits) -> SimilarRequest:
    """As :func:`parse_recommend`, for neighbours."""
    return check_similar(_decode_body(_SIMILAR, raw), limits)


def check_recommend(body: RecommendBody, limits: Limits, now_ms: int) -> RecommendRequest:
    """What the types cannot say; ``now_ms`` is the time of events that have none."""
    require_at_most("k", body.k, limits.k, "serving.max_k")
    require_at_most("exclude", len(body.exclude), limits.items, "serving.max_items")
    require_at_most("allow", len(body.allow or ()), limits.items, "serving.max_items")
    _require_ids(user_id=[body.user_id], exclude=body.exclude, allow=body.allow or ())
    return RecommendRequest(
        _request_id(body.request_id),
        body.user_id,
        body.k,
        body.exclude_seen,
        body.exclude,
        body.allow,
        _interactions(body.events, limits, now_ms),
        _arm(body.arm, limits),
        body.min_state_offset,
        merged(limits.rules, body.rules),
        body.attributes,
    )


def check_score(body: ScoreBody, limits: Limits, now_ms: int) -> ScoreRequest:
    """As :func:`check_recommend`."""
    require_at_most("items", len(body.items), limits.items, "serving.max_items")
    _require_ids(user_id=[body.user_id], items=body.items)
    events = _interactions(body.events, limits, now_ms)
    arm = _arm(body.arm, limits)
    request_id = _request_id(body.request_id)
    return ScoreRequest(request_id, body.user_id, body.items, events, arm, body.min_state_offset)


def check_similar(body: SimilarBody, limits: Limits) -> SimilarRequest:
    """As :func:`check_recommend`."""
    require_at_most("k", body.k, limits.k, "serving.max_k")
    _require_ids(item_id=[body.item_id])
    rules = Rules(filter=body.filter)
    obeyed = merged(limits.rules, None if rules.filter is None else rules)
    return SimilarRequest(body.item_id, body.k, None if obeyed is None else obeyed.filter)


def require_at_most(field: str, number: int, limit: int, setting: str) -> None:
    """``Problem`` where a request asks for more than ``setting`` allows."""
    if number > limit:
        raise problems.bad_request(field, f"at most {limit} ({setting}), found {number}")


def convert(content: dict[str, Any], kind: type[_Body]) -> _Body:
    """A body from plain data, by the rules of its JSON."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise _as_problem(error) from None


def _decode_body(decoder: msgspec.json.Decoder[_Body], raw: bytes) -> _Body:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _as_problem(error) from None
    except RecursionError:
        raise problems.bad_request("body", "it nests deeper than any request of ours") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise problems.bad_request("body", str(error)) from None


def _as_problem(error: msgspec.ValidationError) -> problems.Problem:
    detail = str(error)
    named = _MISSING.search(detail)
    place = _PLACE.search(detail)
    return problems.bad_request((place and place[1]) or (named and named[1]) or "body", detail)


def _request_id(given: str | None) -> str:
    if given is None:
        # Unlike a uuid this asks no kernel, and lets no other thread in between.
        return f"{_RANDOM.getrandbits(128):032x}"
    _require_ids(request_id=[given])
    return given


def _arm(given: str | None, limits: Limits) -> str | None:
    if given is None:
        return None
    if limits.arms is None:
        raise problems.bad_request(
            "arm", "no request names its arm here (experiments.assigner); leave the field out"
        )
    if given not in limits.arms:
        known = ", ".join(sorted(limits.arms))
        raise problems.bad_request("arm", f"one of {known} (experiments.arms), found {given!r}")
    return given


def _require_ids(**fields: Sequence[UserId | ItemId]) -> None:
    for field, ids in fields.items():
        for value in ids:
            # A character takes at most four bytes: most ids need not be encoded to be measured.
            if isinstance(value, str) and len(value) * 4 > MAX_ID_BYTES < len(value.encode()):
                detail = f"an id has at most {MAX_ID_BYTES} bytes of UTF-8"
                raise problems.bad_request(field, detail)


def _interactions(bodies: Sequence[EventBody], limits: Limits, now_ms: int) -> list[Interaction]:
    if not bodies:
        return []
    require_at_most("events", len(bodies), limits.events, "serving.max_events")
    _require_ids(events=[body.item_id for body in bodies])
    for body in bodies:
        if body.type not in limits.actions:
            known = ", ".join(sorted(limits.actions))
            raise problems.bad_request("events", f"type is one of {known}; found {body.type!r}")
    return [
        Interaction(body.item_id, body.type, now_ms if body.time is None else body.time, body.value)
        for body in bodies
    ]
