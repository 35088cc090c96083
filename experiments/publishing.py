"""Writes a definition so that it was checked against all that were there before it."""

from __future__ import annotations

from collections.abc import Callable

from everfresh.contracts.errors import ExperimentRefused
from everfresh.contracts.experiments.definition import Definition
from everfresh.contracts.ports import DefinitionLog
from everfresh.experiments.lifecycle import Known


def publish(log: DefinitionLog, make: Callable[[Known], Definition]) -> tuple[int, Definition]:
    """Write what ``make`` makes of the definitions that there are; its version and itself.

    Raises what ``make`` raises, with nothing written. Where somebody else wrote between the look
    and the record, that record is taken back and ``ExperimentRefused`` raised.
    """
    end, known = log.read()
    definition = make(known)
    version = log.write(definition.name, definition)
    if version != end:
        log.write(definition.name, log.before(definition.name, version))
        raise ExperimentRefused(
            "somebody else changed an experiment at the same moment, so this change was taken "
            "back; look at `everfresh experiment list`, and try again"
        )
    return version, definition
