from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Id(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class Ids(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedCompositeFieldContainer[Id]
    def __init__(self, ids: _Optional[_Iterable[_Union[Id, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("item_id", "type", "time", "value")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    type: str
    time: int
    value: float
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., type: _Optional[str] = ..., time: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "k", "exclude_seen", "exclude", "allow", "events", "request_id", "arm", "min_state_offset", "rules", "attributes")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    MIN_STATE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    k: int
    exclude_seen: bool
    exclude: _containers.RepeatedCompositeFieldContainer[Id]
    allow: Ids
    events: _containers.RepeatedCompositeFieldContainer[Event]
    request_id: str
    arm: str
    min_state_offset: int
    rules: Rules
    attributes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., k: _Optional[int] = ..., exclude_seen: _Optional[bool] = ..., exclude: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., allow: _Optional[_Union[Ids, _Mapping]] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., request_id: _Optional[str] = ..., arm: _Optional[str] = ..., min_state_offset: _Optional[int] = ..., rules: _Optional[_Union[Rules, _Mapping]] = ..., attributes: _Optional[_Iterable[str]] = ...) -> None: ...

class Rules(_message.Message):
    __slots__ = ("filter", "boosts", "at_most", "mmr_lambda", "pins")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BOOSTS_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    MMR_LAMBDA_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    filter: Filter
    boosts: _containers.RepeatedCompositeFieldContainer[Boost]
    at_most: _containers.RepeatedCompositeFieldContainer[Cap]
    mmr_lambda: float
    pins: _containers.RepeatedCompositeFieldContainer[Pin]
    def __init__(self, filter: _Optional[_Union[Filter, _Mapping]] = ..., boosts: _Optional[_Iterable[_Union[Boost, _Mapping]]] = ..., at_most: _Optional[_Iterable[_Union[Cap, _Mapping]]] = ..., mmr_lambda: _Optional[float] = ..., pins: _Optional[_Iterable[_Union[Pin, _Mapping]]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("attribute", "equals", "any_of", "at_least", "at_most", "all", "any", "none")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    ANY_FIELD_NUMBER: _ClassVar[int]
    NONE_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    equals: Value
    any_of: _containers.RepeatedCompositeFieldContainer[Value]
    at_least: float
    at_most: float
    all: _containers.RepeatedCompositeFieldContainer[Filter]
    any: _containers.RepeatedCompositeFieldContainer[Filter]
    none: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, attribute: _Optional[str] = ..., equals: _Optional[_Union[Value, _Mapping]] = ..., any_of: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., at_least: _Optional[float] = ..., at_most: _Optional[float] = ..., all: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ..., any: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ..., none: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("text", "number", "logical")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LOGICAL_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: float
    logical: bool
    def __init__(self, text: _Optional[str] = ..., number: _Optional[float] = ..., logical: _Optional[bool] = ...) -> None: ...

class Boost(_message.Message):
    __slots__ = ("filter", "add")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    filter: Filter
    add: float
    def __init__(self, filter: _Optional[_Union[Filter, _Mapping]] = ..., add: _Optional[float] = ...) -> None: ...

class Cap(_message.Message):
    __slots__ = ("attribute", "n")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    n: int
    def __init__(self, attribute: _Optional[str] = ..., n: _Optional[int] = ...) -> None: ...

class Pin(_message.Message):
    __slots__ = ("item_id", "position")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    position: int
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., position: _Optional[int] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("user_id", "items", "events", "request_id", "arm", "min_state_offset")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    MIN_STATE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    items: _containers.RepeatedCompositeFieldContainer[Id]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    request_id: str
    arm: str
    min_state_offset: int
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., request_id: _Optional[str] = ..., arm: _Optional[str] = ..., min_state_offset: _Optional[int] = ...) -> None: ...

class SimilarRequest(_message.Message):
    __slots__ = ("item_id", "k", "filter")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    k: int
    filter: Filter
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., k: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class VersionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Scored(_message.Message):
    __slots__ = ("item_id", "score", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Values
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Values, _Mapping]] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    score: float
    attributes: _containers.MessageMap[str, Values]
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., score: _Optional[float] = ..., attributes: _Optional[_Mapping[str, Values]] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("request_id", "user_id", "items", "version", "epoch", "arm", "source", "note", "state_partition", "state_offset", "request_events", "experiment", "track", "definition_version", "probability", "state_age_ms", "items_offset", "rules", "pinned", "shortfall", "teams", "team_of", "sticky", "explored", "propensities", "explored_share", "tail")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    STATE_PARTITION_FIELD_NUMBER: _ClassVar[int]
    STATE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_EVENTS_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    STATE_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    TEAMS_FIELD_NUMBER: _ClassVar[int]
    TEAM_OF_FIELD_NUMBER: _ClassVar[int]
    STICKY_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    PROPENSITIES_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_SHARE_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: Id
    items: _containers.RepeatedCompositeFieldContainer[Scored]
    version: int
    epoch: int
    arm: str
    source: str
    note: str
    state_partition: int
    state_offset: int
    request_events: int
    experiment: str
    track: str
    definition_version: int
    probability: float
    state_age_ms: int
    items_offset: int
    rules: str
    pinned: _containers.RepeatedScalarFieldContainer[int]
    shortfall: str
    teams: _containers.RepeatedCompositeFieldContainer[Team]
    team_of: _containers.RepeatedScalarFieldContainer[int]
    sticky: bool
    explored: _containers.RepeatedScalarFieldContainer[int]
    propensities: _containers.RepeatedScalarFieldContainer[float]
    explored_share: float
    tail: str
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[_Union[Id, _Mapping]] = ..., items: _Optional[_Iterable[_Union[Scored, _Mapping]]] = ..., version: _Optional[int] = ..., epoch: _Optional[int] = ..., arm: _Optional[str] = ..., source: _Optional[str] = ..., note: _Optional[str] = ..., state_partition: _Optional[int] = ..., state_offset: _Optional[int] = ..., request_events: _Optional[int] = ..., experiment: _Optional[str] = ..., track: _Optional[str] = ..., definition_version: _Optional[int] = ..., probability: _Optional[float] = ..., state_age_ms: _Optional[int] = ..., items_offset: _Optional[int] = ..., rules: _Optional[str] = ..., pinned: _Optional[_Iterable[int]] = ..., shortfall: _Optional[str] = ..., teams: _Optional[_Iterable[_Union[Team, _Mapping]]] = ..., team_of: _Optional[_Iterable[int]] = ..., sticky: _Optional[bool] = ..., explored: _Optional[_Iterable[int]] = ..., propensities: _Optional[_Iterable[float]] = ..., explored_share: _Optional[float] = ..., tail: _Optional[str] = ...) -> None: ...

class Team(_message.Message):
    __slots__ = ("arm", "track", "version", "epoch", "tail")
    ARM_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    arm: str
    track: str
    version: int
    epoch: int
    tail: str
    def __init__(self, arm: _Optional[str] = ..., track: _Optional[str] = ..., version: _Optional[int] = ..., epoch: _Optional[int] = ..., tail: _Optional[str] = ...) -> None: ...

class SimilarAnswer(_message.Message):
    __slots__ = ("item_id", "items", "version", "epoch")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    items: _containers.RepeatedCompositeFieldContainer[Scored]
    version: int
    epoch: int
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., items: _Optional[_Iterable[_Union[Scored, _Mapping]]] = ..., version: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class VersionAnswer(_message.Message):
    __slots__ = ("version", "epoch", "live_since_ms", "replica", "items", "version_age_ms", "pointer_age_ms")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LIVE_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    POINTER_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    version: int
    epoch: int
    live_since_ms: int
    replica: str
    items: int
    version_age_ms: int
    pointer_age_ms: int
    def __init__(self, version: _Optional[int] = ..., epoch: _Optional[int] = ..., live_since_ms: _Optional[int] = ..., replica: _Optional[str] = ..., items: _Optional[int] = ..., version_age_ms: _Optional[int] = ..., pointer_age_ms: _Optional[int] = ...) -> None: ...
