"""Settings of a run on one machine, which `everfresh up` and `everfresh demo` start."""

from __future__ import annotations

from pydantic import Field

from everfresh.contracts.settings.group import Group


class RunSettings(Group):
    """How `everfresh up` and `everfresh demo` start the loop."""

    start_timeout_s: float = Field(
        600.0,
        ge=1.0,
        description="Seconds that each step of a start may take (Kafka, Ray, then the worker, the "
        "trainer and the replicas together) before it is given up. Meanwhile the command says "
        "what it waits for. Raise it on a machine that is very busy; lower it to be told sooner. "
        "Downloads do not count.",
    )
    board_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="TCP port of the live page, which listens on this machine alone; 0 takes a "
        "free one. Set it if you keep the page's address, or forward the port.",
    )
