"""The keys of a partition's state, by prefix: who writes what, and where its records are defined.

Readable by others (see :mod:`everfresh.contracts.sequence` and :mod:`everfresh.contracts.segment`):
the partition's description, users' sequence values and segments, and the first arms of sticky
experiments (``A`` + user, :mod:`everfresh.contracts.experiments.first_arm`; a follower's copy has
them as of its snapshot, and does not read them). Private to the worker:

    r                 which settings it is folded by          streaming.fold.rules
    w                 the open slice                          streaming.fold.rows
    c                 the slice whose parts are being made    streaming.fold.rows
    o + batch + row   the outbox                              streaming.outbox.rows
    D + ...           ids of events accepted lately           streaming.fold.deduplication
    J + ...           the join's exposures and feedback       streaming.join.rows

A follower's copy has none of ``w``, ``c``, ``o`` and ``J``.

Numbers in keys are big-endian, so that key order is number order.
"""

from __future__ import annotations

RULES_KEY = b"r"
SLICE_HEAD_KEY = b"w"
CLOSING_KEY = b"c"
OUTBOX_PREFIX = b"o"
DEDUPLICATION_PREFIX = b"D"
JOIN_PREFIX = b"J"
