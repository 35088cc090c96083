"""Settings in which a track may differ from the trainer's own, and the settings that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings.names import no_such_setting
from everfresh.contracts.settings.tree import Settings

_GROUPS = ("trainer", "model", "gate")
_OF_THE_PROCESS = frozenset(
    {
        *("trainer.workers", "trainer.device", "trainer.threads", "trainer.leave_out"),
        *("trainer.cpus", "trainer.node_labels", "trainer.refusals", "trainer.beside"),
    }
)
"""All tracks are trained in the same processes, and scored on the same targets (law 4)."""


def track_settings() -> list[str]:
    """The names that a track may have a value of its own for, such as ``trainer.seed``."""
    fields = Settings.model_fields
    names = []
    for group in _GROUPS:
        kind = fields[group].annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        names += [f"{group}.{name}" for name in kind.model_fields]
    return [name for name in names if name not in _OF_THE_PROCESS]


def tuned(settings: Settings, tuning: Mapping[str, Any]) -> Settings:
    """The settings with those of a track in their place.

    ``SettingsError`` where a name is none that a track may set, or a value is wrong.
    """
    if not tuning:
        return settings
    known = track_settings()
    for name in sorted(tuning):
        if name in _OF_THE_PROCESS:
            raise SettingsError(f"{name}: all tracks have one value of it; set it in the settings")
        if name not in known:
            raise SettingsError(f"{name}: {no_such_setting(name, known)}")
    groups: dict[str, BaseModel] = {}
    for group in sorted({name.split(".")[0] for name in tuning}):
        before: BaseModel = getattr(settings, group)
        changes = {
            name.split(".")[1]: value for name, value in tuning.items() if name.startswith(group)
        }
        try:
            groups[group] = type(before).model_validate({**before.model_dump(), **changes})
        except ValidationError as error:
            raise SettingsError(f"wrong setting of a track: {_mistakes(group, error)}") from None
    return settings.model_copy(update=groups)


def parse_tuning(settings: Settings, words: Sequence[str]) -> dict[str, Any]:
    """The tuning that words ``NAME=VALUE`` give, each value of its setting's type.

    ``SettingsError`` where a word has another form, or :func:`tuned` refuses it.
    """
    given: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or name in given:
            raise SettingsError(
                f"--set takes NAME=VALUE, such as trainer.learning_rate=0.001, and each name once; "
                f"found {ascii(word)[:80]}"
            )
        given[name] = value
    made = tuned(settings, given)
    values: dict[str, Any] = {}
    for name in given:
        group, leaf = name.split(".")
        values[name] = getattr(getattr(made, group), leaf)
    return values


def _mistakes(group: str, error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join([group, *map(str, item['loc'])])}: "
        f"{item['msg'].removeprefix('Value error, ')}; found {ascii(item['input'])[:80]}"
        if item["type"] != "value_error"
        else item["msg"].removeprefix("Value error, ")
        for item in error.errors()
    )
