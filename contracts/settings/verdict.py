"""Settings of the report on an experiment."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from everfresh.contracts.experiments.metric import FORM, Metric, parse_metric
from everfresh.contracts.settings.group import Group


class VerdictSettings(Group):
    """How the arms of an experiment are compared."""

    metrics: list[str] = Field(
        [
            "click_through: answers with click",
            "conversion: users with purchase",
            "value: value of purchase",
            "skips: answers with skip, less is better, at most 20% worse",
        ],
        min_length=1,
        max_length=20,
        description="What arms are compared by; the first decides. Each is written as "
        f"{FORM}. `at most N% worse` makes it a guardrail. A changed list is counted from the "
        "beginning of the topic `outcomes`.",
    )
    error: float = Field(
        0.05,
        gt=0.0,
        le=0.5,
        description="Share of comparisons of equal arms that may be called different, however "
        "often one looks. Lower it to be surer; differences then take longer to be found.",
    )
    tuned_at: int = Field(
        5000,
        ge=100,
        le=1_000_000_000_000,
        description="Number of answers, of both arms together, at which the always-valid interval "
        "is narrowest for its error. Set it near the number at which you expect to decide, before "
        "the experiment starts.",
    )
    effect: float = Field(
        0.05,
        gt=0.0,
        le=10.0,
        description="Difference that is worth finding, as a share of the control's figure. The "
        "report says how many days are left until one of that size is found.",
    )
    answers_per_user: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Number of answers of one user that count; those after it are counted as "
        "surplus. It bounds what a bot weighs. Lower it where the report names bots and intervals "
        "are wide; a changed number is counted from the beginning.",
    )

    guard_every_s: float = Field(
        60.0,
        ge=0.0,
        le=86_400.0,
        description="Seconds between looks of `everfresh up` at the guardrails of running "
        "experiments; it closes an arm that crosses one. 0 leaves that to `everfresh experiment "
        "watch`.",
    )

    @property
    def parsed(self) -> list[Metric]:
        """The metrics."""
        return [parse_metric(sentence) for sentence in self.metrics]

    @model_validator(mode="after")
    def _readable(self) -> Self:
        names = [metric.name for metric in self.parsed]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"verdict.metrics names {twice[0]} twice: give each metric a name of its own"
            )
        return self
