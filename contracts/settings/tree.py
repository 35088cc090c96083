"""The tree of all groups of settings, and how it is filled: file, environment, command line."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SettingsSourceError,
)

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.settings.experiments import ExperimentSettings
from everfresh.contracts.settings.group import is_folder
from everfresh.contracts.settings.items import ItemSettings
from everfresh.contracts.settings.learning import GateSettings, TrainerSettings
from everfresh.contracts.settings.names import (
    FILE_VARIABLE,
    leaves,
    no_such_setting,
    unknown_variables,
    variable,
)
from everfresh.contracts.settings.run import RunSettings
from everfresh.contracts.settings.serving import (
    MetricsSettings,
    RaySettings,
    ServingSettings,
    TracingSettings,
)
from everfresh.contracts.settings.sources import (
    RegistrySettings,
    SourceSettings,
    contradiction,
)
from everfresh.contracts.settings.stream import (
    EventSettings,
    FollowerSettings,
    JoinSettings,
    KafkaSettings,
    StateSettings,
    WindowSettings,
)
from everfresh.contracts.settings.verdict import VerdictSettings
from everfresh.contracts.settings.weights import ModelSettings, WeightSettings
from everfresh.contracts.topics import ALL, topic_name

DEFAULT_FILE = "everfresh.toml"

_GONE = {
    "serving.cache_reuse_versions": "this setting is gone; remove it (serving.cache_ahead keeps "
    "swaps fast without mixing versions)",
}
"""Settings of earlier releases, and what to do instead."""

_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and bytes that are no UTF-8."""


class Settings(BaseSettings):
    """The whole tree. Build it with :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="EVERFRESH_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(
        Path(".everfresh"),
        description="Folder in which a run keeps everything on this machine: state, weights, log "
        "files. Give each run on one machine a folder of its own.",
    )
    run: RunSettings = Field(default_factory=RunSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    events: EventSettings = Field(default_factory=EventSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    follower: FollowerSettings = Field(default_factory=FollowerSettings)
    windows: WindowSettings = Field(default_factory=WindowSettings)
    joins: JoinSettings = Field(default_factory=JoinSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    trainer: TrainerSettings = Field(default_factory=TrainerSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    verdict: VerdictSettings = Field(default_factory=VerdictSettings)
    weights: WeightSettings = Field(default_factory=WeightSettings)
    serving: ServingSettings = Field(default_factory=ServingSettings)
    experiments: ExperimentSettings = Field(default_factory=ExperimentSettings)
    items: ItemSettings = Field(default_factory=ItemSettings)
    ray: RaySettings = Field(default_factory=RaySettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    sources: dict[str, SourceSettings] = Field(
        {},
        description="Topics of another shape whose records become events: a table "
        "`[sources.NAME]` for each. `everfresh bridge NAME --check` shows what would come of it; "
        "docs/bring-your-data.md lists what a table may have.",
    )
    registry: RegistrySettings = Field(default_factory=RegistrySettings)

    @model_validator(mode="after")
    def _sources_fit(self) -> Self:
        own = {topic_name(self.kafka.topic_prefix, spec) for spec in ALL}
        if wrong := contradiction(self.sources, self.registry.url, own):
            raise ValueError(f"sources.{wrong}")
        return self

    @model_validator(mode="after")
    def _refusals_are_actions(self) -> Self:
        # The default may name none: who has actions of their own may have no `skip`.
        usual = TrainerSettings.model_fields["refusals"].default
        for kind in self.trainer.refusals:
            name = kind.partition("<")[0]
            if name not in self.events.actions and kind not in usual:
                raise ValueError(
                    f"trainer.refusals names {name!r}, which is none of events.actions "
                    f"({', '.join(self.events.actions)}); name one of these, or add it there"
                )
        return self

    @field_validator("home", mode="before")
    @classmethod
    def _a_folder(cls, home: object) -> object:
        if not str(home):
            raise ValueError("a folder's path was expected, and it is empty; name a folder")
        try:
            path = str(Path(str(home)).absolute())
        except FileNotFoundError:
            raise ValueError(
                f"found {str(home)!r}, which lies in this folder, and this folder was deleted; "
                "change into one that exists"
            ) from None
        # Names of files that are no text can be neither logged nor written into records.
        if _NO_TEXT.search(path):
            raise ValueError(
                "a path of UTF-8 text without control characters was expected, found "
                f"{ascii(path)[:200]}; name another folder"
            )
        return home

    @property
    def source_topics(self) -> list[str]:
        """The topics of all sources."""
        return [source.topic for source in self.sources.values()]

    @property
    def weights_url(self) -> str:
        """The weight store's place, with the default filled in."""
        return self.weights.url or str(self.home.resolve() / "weights")

    @property
    def in_object_store(self) -> bool:
        """Whether versions are in an object store: there each look is a request."""
        return not is_folder(self.weights_url)

    @property
    def poll_ms(self) -> int:
        """``serving.poll_ms``, with the default filled in."""
        return _given(self.serving.poll_ms, 1_000 if self.in_object_store else 100)

    @property
    def push_ms(self) -> int:
        """``serving.push_ms``, with the default filled in."""
        return _given(self.serving.push_ms, 500 if self.in_object_store else 20)

    @property
    def snapshots_url(self) -> str:
        """The place of state snapshots, with the default filled in."""
        return self.state.snapshot_url or str(self.home.resolve() / "snapshots")

    @property
    def state_dir(self) -> Path:
        """The folder that holds one RocksDB directory per partition."""
        return self.home.resolve() / "state"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then environment, then the TOML file, then defaults."""
        file = os.environ.get(FILE_VARIABLE, DEFAULT_FILE)
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, toml_file=file),
        )


def load_settings(overrides: dict[str, Any] | None = None) -> Settings:
    """The settings of this process; ``overrides`` is a nested dict that beats everything else.

    The TOML file is ``everfresh.toml`` in the working directory, or the one that
    ``EVERFRESH_CONFIG`` names; a file that was named must exist. Raises ``SettingsError`` with all
    mistakes in one line.
    """
    named = os.environ.get(FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError(
            f"{FILE_VARIABLE} (or --config) names {named}, which is not a file: name a settings "
            "file that exists"
        )
    mistakes = unknown_variables(Settings, os.environ, _GONE)
    try:
        settings = Settings(**(overrides or {}))
    except ValidationError as error:
        # One that the environment names is told of already, by its whole name.
        told = [item for item in error.errors() if not _of_environment(item)]
        mistakes += [_mistake(item) for item in told]
    except ValueError as error:
        raise SettingsError(f"settings cannot be read: {_unreadable(error)}") from None
    if mistakes:
        raise SettingsError(f"wrong setting: {'; '.join(mistakes)}")
    return settings


def _unreadable(error: ValueError) -> str:
    """Why, and what to mend: the library names neither file nor variable."""
    if isinstance(error, SettingsSourceError):
        group = str(error).partition('"')[2].partition('"')[0]
        return (
            f"a variable EVERFRESH_{group.upper()}… has a list or an object that is no JSON; write "
            """it as EVERFRESH_EVENTS__ACTIONS='["view", "like"]'"""
        )
    file = os.environ.get(FILE_VARIABLE) or DEFAULT_FILE
    try:
        marked = Path(file).read_bytes().startswith(BOM_UTF8)
    except OSError:
        marked = False
    hint = "it begins with a byte order mark: save it as UTF-8 without one" if marked else error
    return f"{file}: {hint}; mend it"


def _of_environment(item: ErrorDetails) -> bool:
    name = ".".join(str(part) for part in item["loc"])
    return item["type"] == "extra_forbidden" and variable(name) in map(str.upper, os.environ)


def _mistake(item: ErrorDetails) -> str:
    """What is wrong with one setting: its name, what was expected, and what was found."""
    name = ".".join(str(part) for part in item["loc"]) or "settings"
    if item["type"] == "extra_forbidden":
        known = [*Settings.model_fields, *leaves(Settings)]
        if item["loc"][0] == "sources":
            known = [f"sources.{item['loc'][1]}.{each}" for each in SourceSettings.model_fields]
        return f"{name}: {_GONE.get(name) or no_such_setting(name, known)}"
    if item["type"] == "value_error":  # one of ours, which says all of that
        said = item["msg"].removeprefix("Value error, ")
        return f"{name}: {said}" if item["loc"] else said
    # A secret is a string, so a wrong one is of that type: it is not repeated.
    shown = isinstance(item["input"], (str, int, float)) and item["type"] != "string_type"
    return f"{name}: {item['msg']}" + (f"; found {item['input']!r}" if shown else "")


def _given(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
