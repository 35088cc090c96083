"""What components report of themselves: windows and status, as JSON on their topics."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from everfresh.contracts.foreign import Count, Milliseconds, Name, decoded

QUANTILES = 101
"""Length of ``WindowReport.appended``: the 0th, 1st … 100th percentile."""


class WindowReport(msgspec.Struct, frozen=True):
    """One window. Written by the trainer to ``reports`` after it published or held the window; read
    by the command line's views. One that is missing was lost on its way to the topic; one that
    comes twice, after a restart, has the same ``label`` and ``cut`` (``contracts.window``).

    ``scores`` maps contender (``live``, ``frozen``, ``popularity``, ``markov``, ``vmis-knn``) to
    its metrics (``hr10``, ``ndcg10``), each a mean over the window's ``events`` targets, measured
    before the window was trained on (law 4). With a group before the name, as ``fresh_hr10``, it is
    over that group alone, and is left out where the group is empty. By place in what is known of
    the user: ``first``, ``second``, ``later`` (all others). By age of the item: ``fresh``, which
    the window before had brought, and ``older``; neither is on the window scored by the first
    version, to which every known item is that new. The field of a group counts its targets; 0 in a
    report of an older release, which knew ``fresh`` alone, and had no ``vmis-knn``.
    ``scored_version`` is the version ``live`` was measured with, ``None`` before the first.
    ``version`` is the one trained from it. ``appended`` holds percentiles of the events' broker
    append times (UTC ms), from which freshness is computed. ``seconds`` maps stage (``read``,
    ``score``, ``train``, ``publish``) to its duration.

    A window that the gate held has the reason in ``held``, and ``version`` is the one that stayed
    (0 for none). ``left`` is not 0 for the first window after a rollback: the newest version that
    it turned away from. ``merged`` are labels of windows trained as one, empty for a single one;
    ``sampled`` is the share of examples that was trained. ``flood`` counts items
    that got no row because the window brought too many (``trainer.new_items``). ``track`` is the
    line of versions; each has reports of its own on the same windows. ``refused`` counts events by
    which users said no (``trainer.refusals``); ``events`` does not count them. ``through`` maps
    events partition to the offset after the last event that was consumed with this window.
    ``curated`` counts targets that were scored and left unlearnt (``trainer.curate``).
    ``measures`` say what the window is worth, measured before it was learnt (``bits_live``,
    ``compression`` and so on, see ``trainer.scoring.window_measures``); empty in a report of an
    older release. ``ranked`` is not 0 where only so many of the ``events`` were ranked, a sample:
    scores and measures by models are means over these.
    """

    label: Count
    scored_version: Count | None
    version: Count
    events: Count
    users: Count
    items: Count
    scores: dict[str, dict[str, float]]
    appended: Annotated[list[Milliseconds], msgspec.Meta(max_length=QUANTILES)]
    closed_ms: Milliseconds
    published_ms: Milliseconds
    seconds: dict[str, float]
    fresh: Count = 0
    held: str = ""
    left: Count = 0
    merged: list[Count] = []
    sampled: float = 1.0
    flood: int = 0
    first: Count = 0
    second: Count = 0
    older: Count = 0
    track: str = "default"
    cut: Count = 0
    refused: Count = 0
    through: dict[Count, Count] = {}
    measures: dict[str, float] = {}
    ranked: Count = 0
    curated: Count = 0

    @property
    def place(self) -> tuple[int, int]:
        """Which window it is of."""
        return self.label, self.cut


class ComponentStatus(msgspec.Struct, frozen=True):
    """How a component is. Written by each to ``status`` (key: ``component``) about once a second;
    read by the command line's views. The topic keeps the last one of each component.

    ``component`` names it, such as ``worker-0``, ``trainer``, ``replica-ab12``. ``kind`` is
    ``worker``, ``trainer``, ``replica`` or ``bridge``, or ``track`` of a track that the trainer
    trains beside the default one. A process that stops reports ``state`` ``stopped``; one that is
    silent for long without it was killed.

    ``figures`` are numbers or short texts: a worker's ``applied``, ``rejected``, ``duplicates``,
    ``lag``; a replica's ``version``, ``epoch``, ``live_since_ms``, ``requests``, ``failed``; a
    trainer's ``windows``, ``version``, ``backlog``. One that is absent is not known, or the
    component is of an older release. A replica's ``lived`` are its last swaps, ``[version, epoch,
    live_since_ms]``, oldest first, and ``joined_ms`` is when it began: so its last status tells
    since when it has had each of its last versions.

    ``place`` is the home of a trainer or a worker, ``HOST:FOLDER#NUMBER``; others leave it out. A
    loop has one trainer, and may have several workers.
    """

    component: Name
    kind: Name
    time: Milliseconds
    state: Name
    figures: dict[str, Any]
    place: Annotated[str, msgspec.Meta(max_length=4_000)] = ""


class _Computed(msgspec.Struct):
    """The figures that views compute with; each may be absent, or not known. Others are shown."""

    version: Count | None = None
    epoch: Count | None = None
    joined_ms: Milliseconds | None = None
    live_since_ms: Milliseconds | None = None
    lived: list[tuple[Count, Count, Milliseconds]] = []
    applied: Count | None = None
    backlog: Count | None = None
    lag: Count | str | None = None


_DECODE_WINDOW = msgspec.json.Decoder(WindowReport).decode
_DECODE_STATUS = msgspec.json.Decoder(ComponentStatus).decode


def encode_report(record: WindowReport | ComponentStatus) -> bytes:
    """JSON bytes."""
    return msgspec.json.encode(record)


def decode_window_report(raw: bytes | None) -> WindowReport:
    """``ForeignRecord`` for anything but what :func:`encode_report` made."""
    return decoded(_DECODE_WINDOW, raw)


def decode_status(raw: bytes | None) -> ComponentStatus:
    """``ForeignRecord`` for anything but what :func:`encode_report` made."""
    return decoded(_checked_status, raw)


def _checked_status(raw: bytes) -> ComponentStatus:
    status = _DECODE_STATUS(raw)
    msgspec.convert(status.figures, _Computed)
    return status
