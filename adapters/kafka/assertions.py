"""Refuses to use kafka-python where Python leaves assertions out (``python -O``)."""

from __future__ import annotations

from everfresh.contracts.errors import MissingDependency


def require_assertions() -> None:
    """``MissingDependency`` under ``python -O``: kafka-python 3.0 reads part of each answer in
    an assertion (``protocol/schemas/fields/codecs/tagged_fields.py``), and then finds no broker.
    """
    if not __debug__:
        raise MissingDependency(
            "kafka-python finds no broker where Python leaves assertions out; run without -O, and "
            "with PYTHONOPTIMIZE empty"
        )
