"""Settings of experiments: who assigns the arms."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from everfresh.contracts.settings.group import Group

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FACTORY = re.compile(r"\w+(\.\w+)*:\w+")


class ExperimentSettings(Group):
    """Who decides which arm an answer is made for."""

    assigner: Literal["definitions", "request", "openfeature"] = Field(
        "definitions",
        description="Who assigns the arms of experiments. `definitions`: the experiments that "
        "`everfresh experiment` defines. `request`: each request names its arm. `openfeature`: a "
        "feature-flag system, asked through OpenFeature.",
    )
    name: str = Field(
        "",
        description="Name of the experiment that is assigned elsewhere; for `openfeature` also "
        "the key of its flag, whose value is the arm. Exposures carry it. Set it if "
        "experiments.assigner is `request` or `openfeature`.",
    )
    arms: tuple[str, ...] = Field(
        (),
        description="Arms that requests or the flag may name. A request with another arm is "
        "refused; a flag with another value means the default arm. Set it if "
        "experiments.assigner is `request` or `openfeature`.",
    )
    tracks: tuple[str, ...] = Field(
        (),
        description="Tracks that answer for these arms, each as ARM@TRACK; an arm that is not "
        "named gets the default track. Set it to compare models where another system assigns.",
    )
    provider: str = Field(
        "",
        description="Function without arguments that makes the OpenFeature provider, as "
        "MODULE:FUNCTION. Write it in a module that the replicas can import, and add hooks there "
        "too. Set it if experiments.assigner is `openfeature`.",
    )
    deadline_ms: int = Field(
        20,
        ge=1,
        le=1_000,
        description="Milliseconds that the OpenFeature provider has to name an arm; then the "
        "answer is made for the default arm. Raise it for a provider that asks over a network; "
        "the replica waits that long.",
    )

    @property
    def track_of_arm(self) -> dict[str, str]:
        """The track of each arm that has one of its own."""
        pairs = [pair.partition("@") for pair in self.tracks]
        return {arm: track for arm, _, track in pairs}

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        elsewhere = self.assigner != "definitions"
        for field in ("name", "arms"):
            if elsewhere and not getattr(self, field):
                raise ValueError(
                    f"assigner is {self.assigner}, and {field} is empty; set experiments.{field} "
                    "to what is assigned there"
                )
            if not elsewhere and getattr(self, field):
                raise ValueError(
                    f"{field} is set, and assigner is definitions, which has its own; remove "
                    f"experiments.{field}, or set experiments.assigner to request or openfeature"
                )
        wants_provider = self.assigner == "openfeature"
        if wants_provider != bool(self.provider):
            raise ValueError(
                "provider is for the assigner openfeature, and needed there: found assigner "
                f"{self.assigner} with provider {self.provider!r}"
            )
        if self.provider and not _FACTORY.fullmatch(self.provider):
            raise ValueError(
                f"provider is MODULE:FUNCTION, such as shop.flags:provider; found {self.provider!r}"
            )
        for arm in self.track_of_arm:
            if arm not in self.arms:
                raise ValueError(
                    f"tracks names the arm {ascii(arm)[:80]}, which is none of experiments.arms; "
                    "each is ARM@TRACK, such as treatment@fast"
                )
        for name in (self.name, *self.arms, *self.track_of_arm.values()):
            if (name or name != self.name) and not _NAME.fullmatch(name):
                raise ValueError(
                    "a name has 1 to 64 letters, digits and signs of `._-`, the first a letter or "
                    f"digit; found {ascii(name)[:80]}"
                )
        return self
