"""The ports: interfaces through which logic reaches the world.

``adapters`` implements each, for real and in memory; ``tests/conformance`` holds both to the same
promises. Logic receives ports; it never opens a connection itself and never reads a clock (law 10).
Each says who calls it, how often, what callers may keep, and what never happens afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from everfresh.contracts.event import UserId
from everfresh.contracts.experiments.assignment import Assignment, Assignments
from everfresh.contracts.experiments.definition import Definition
from everfresh.contracts.experiments.track import Track
from everfresh.contracts.exposure import Exposure
from everfresh.contracts.items.record import ItemChange
from everfresh.contracts.manifest import Plan, Pointer, Rejected, WeightFile, WeightManifest
from everfresh.contracts.report import ComponentStatus, WindowReport
from everfresh.contracts.safetensors import VersionFile
from everfresh.contracts.segment import RecentRun
from everfresh.contracts.sequence import StateReach, StoredSequence, UserState
from everfresh.contracts.window import SliceRecord

Clock = Callable[[], int]
"""Returns now: UTC, integer milliseconds. May be called as often as needed, from any thread."""


REJECTED_KEPT = 10
"""How many held windows a store keeps."""


class WeightStore(Protocol):
    """Immutable version folders and one pointer.

    The trainer writes one version per window and deletes old ones. Replicas and the serving process
    read the pointer several times a second, and a version's files once, when it is new to them.

    A version appears at once or not at all: ``write`` returns after its manifest is durable, and
    ``manifest`` knows nothing of a half-written one. What was written never changes afterwards, so
    manifests and bytes may be kept for as long as the caller likes. A version may be deleted at any
    moment, unless the pointer names it: every reader must expect ``VersionNotFound``.
    """

    def write(self, manifest: WeightManifest, files: Mapping[str, VersionFile]) -> WeightManifest:
        """Store a version and return its manifest with ``files`` filled in. Moves no pointer.

        Tables are read meanwhile and let go of on return. What they say was touched is believed:
        since ``manifest.parent``.

        A leftover folder of the same number without a manifest is replaced; a complete one with
        the same contents is kept; a complete one that differs raises ``StalePublish``.
        """

    def manifest(self, version: int) -> WeightManifest:
        """``VersionNotFound`` where no complete version has that number."""

    def read(self, manifest: WeightManifest, name: str) -> bytes:
        """One file, verified: ``CorruptVersion`` where size or digest differ."""

    def view(self, manifest: WeightManifest, name: str) -> bytes | memoryview:
        """As ``read``, but perhaps memory that others share: the caller never writes to it."""

    def delta(self, manifest: WeightManifest, name: str) -> bytes | None:
        """One file as its difference from that of ``manifest.delta_of``, verified as it is stored.

        ``None`` where it is not kept so. Called by those that hold that version's contents.
        """

    def versions(self) -> list[int]:
        """Numbers of the complete versions, ascending."""

    def pointer(self) -> Pointer | None:
        """The current pointer, ``None`` before the first publish. It never goes back (law 8)."""

    def advance(self, pointer: Pointer) -> None:
        """Replace the pointer atomically. ``StalePublish`` unless greater than the current one."""

    def delete(self, version: int) -> None:
        """Remove a version; the one the pointer names is refused with ``WeightsError``."""


class TrainerStore(WeightStore, Protocol):
    """A weight store as the trainer needs it: it also keeps what was not published.

    Called by the trainer alone: ``set_aside`` and ``plan`` once per window at most, ``planned``
    once, when it starts.
    """

    def name_files(self, parent: int | None, files: Mapping[str, VersionFile]) -> list[WeightFile]:
        """What a manifest would list for these, touched since ``parent``; in order of their names.

        Equal contents have equal entries. A ``write`` of the same ``files`` names them only once.
        """

    def set_aside(self, rejected: Rejected, files: Mapping[str, VersionFile]) -> None:
        """Keep what the gate held, apart from the versions, with ``files`` listed in it.

        The newest ``REJECTED_KEPT`` are kept. The same label and parent replace what was there.
        """

    def rejected(self) -> list[Rejected]:
        """What was set aside and is still kept, oldest first."""

    def sweep(self) -> None:
        """Remove what a deletion that was cut short left below the pointer's version.

        There nothing is being written; called by the trainer, between its writes.
        """

    def plan(self, plan: Plan) -> None:
        """Write down what is trained next; durable on return.

        Replaces an earlier plan for the same version and windows. Other plans of that version stay;
        those of other versions are removed.
        """

    def planned(self) -> list[Plan]:
        """All plans of the version that was planned for last, oldest first."""


class TrackStore(Protocol):
    """The tracks of a weight store: lines of versions of their own, and the default one.

    Trainer and replicas call ``declared`` every ``look_s``, ``store`` when a track is new to them.
    Commands call the rest, from one thread, a few times. What is returned may be kept.
    """

    @property
    def look_s(self) -> float:
        """Seconds from one look of a process at ``declared`` to its next."""

    def declared(self) -> dict[str, Track]:
        """The tracks beside the default one, by name; those that were ended among them."""

    def declare(self, track: Track) -> None:
        """Put a track in place of what has its name; durable on return.

        ``TrackRefused`` where the name cannot be, or it is one too many.
        """

    def remove(self, name: str) -> None:
        """Take a track away, with its versions; harmless where there is none."""

    def store(self, name: str) -> TrainerStore:
        """The versions of a track, whether it is declared or not. It belongs to one thread."""

    def stored_bytes(self, name: str) -> int:
        """Bytes of all versions of a track as they are stored."""


class WindowSource(Protocol):
    """The ``windows`` topic, read by one trainer from positions it keeps itself (law 5).

    Called from one thread: ``partitions`` and ``seek`` once at the start, ``poll`` and ``left_out``
    again and again. Records may be kept. Nothing is ever committed, so reading changes nothing for
    anybody else, and no record comes twice unless ``seek`` is called again.
    """

    def partitions(self) -> list[int]:
        """All partitions of the topic, ascending."""

    def seek(self, positions: Mapping[int, int]) -> None:
        """Continue at these offsets; partitions not named start at their beginning."""

    def poll(self, timeout_ms: int) -> list[tuple[int, int, SliceRecord]]:
        """New ``(partition, offset, record)``, in order per partition; empty after the timeout.

        What is no slice record is left out: no stream worker wrote it, and where one is missing the
        slices do not tile.
        """

    def left_out(self) -> tuple[int, str]:
        """How many records were left out so far, and place and reason of the last of them."""


class HistoryReader(Protocol):
    """A local read model of user state, fed by the log.

    Called by replicas for every request, from any thread; it never waits on a network. What it
    returns may be kept and never changes; a later call may return something newer.
    """

    def read(self, user: UserId) -> UserState | None:
        """The newest state known here, ``None`` for a user without accepted events.

        ``StateElsewhere`` where the user's own partition is known and not here.
        """

    def stored(self, user: UserId) -> StoredSequence | None:
        """The same before it is decoded, which takes longest where histories are long."""


class RecentEvents(Protocol):
    """What the states on this machine have taken in lately, event by event.

    Called by a replica, from one thread, some times a second. A run begins where the one before of
    its partition ended, or later where events in between can be read no more. What was read may be
    kept. A partition whose log is another one begins anew, at a lower offset.
    """

    def poll(self) -> Iterable[RecentRun]:
        """What has come since the last call, in the order of each partition; not too much at once:
        empty where nothing is left. At first it begins where the states still have events. Why a
        partition cannot be read is raised after what the others have brought."""


class StateWatch(Protocol):
    """Which part of the users' state is on this machine, how far it is, and how old.

    Called by replicas, from any thread: ``stale_ms`` once per answer, ``reach`` for requests that
    ask for it, the rest about once a second. Which partition is a user's own follows from Kafka's
    murmur2 and the number of partitions that the state names.
    """

    def reach(self, user: UserId) -> StateReach | None:
        """How far the user's own partition is; ``None`` before any state is here."""

    def stale_ms(self, user: UserId) -> int | None:
        """The age of the user's own partition's state, where it is stale; ``None`` otherwise.

        The age is the time since which it may lack records that the log holds.
        """

    def age_ms(self) -> int | None:
        """The age of the oldest state here; ``None`` where it is not known of each partition."""

    def missing(self) -> list[int] | None:
        """Partitions that are to be here and are not; ``None`` before any state is here."""


class ExposureSink(Protocol):
    """Where replicas leave exposures.

    ``send`` is called once per answer, from any thread. It returns at once and never raises: what
    cannot be delivered is counted, and not sent again.
    """

    def send(self, exposure: Exposure) -> None:
        """Queue one exposure for the ``exposures`` topic."""

    def failed(self) -> int:
        """How many exposures could not be delivered since the start."""


class ReportSink(Protocol):
    """Where components leave reports and status.

    The trainer calls ``window`` once per window; every component calls ``status`` about once a
    second. Both return at once. What cannot be delivered is lost, which is no error.
    """

    def window(self, report: WindowReport) -> None:
        """Queue one window report for the ``reports`` topic."""

    def status(self, status: ComponentStatus) -> None:
        """Queue one status for the ``status`` topic."""


class Assigner(Protocol):
    """Which arm an answer is made for.

    ``assign`` is called by replicas once for each request of a user, from any thread, before the
    answer is made. It raises nothing and makes nobody wait for long: where the arm cannot be told,
    it is that of no experiment. What it returns may be kept and never changes.
    """

    def assign(self, user: UserId, named: str | None) -> Assignment:
        """The arm of a user whose request names ``named``, which was checked before."""

    def asking(self, user: UserId, named: str | None) -> Awaitable[Assignment] | None:
        """What gives the same arm later, for an event loop that must not wait; ``None`` where
        ``assign`` waits for nobody. It raises nothing, and is awaited once."""

    def definitions(self) -> Assignments:
        """What assigns users by definitions; without any where another system assigns."""

    def figures(self) -> dict[str, Any]:
        """What there is to report, about once a second; names begin with ``experiments``."""


class DefinitionLog(Protocol):
    """The definitions of experiments, for those who change them.

    Called by a command, from one thread, a few times. ``write`` is durable on return.
    """

    def read(self) -> tuple[int, dict[str, tuple[int, Definition]]]:
        """The log's end, and version and definition of each name by its last good record."""

    def before(self, name: str, version: int) -> Definition | None:
        """What was defined by that name right before that version; ``None`` for nothing."""

    def write(self, name: str, definition: Definition | None) -> int:
        """Append a definition, or take the name away; its version, which is its offset."""


class ItemSource(Protocol):
    """The topic ``items`` from its beginning, read by each replica, the trainer and ``everfresh
    items``.

    Called from one thread: ``read_to_end`` once, then ``poll`` again and again; or ``read_to_end``
    for each window of the trainer. Changes come in the log's order and may be kept. A record that
    is no item of ours is left out; nothing stops.
    """

    end: int
    """The offset after the last record that was read."""
    goal: int
    """The end that ``read_to_end`` reads to, known once it has begun."""
    skipped: int
    """How many records were left out so far."""

    def read_to_end(self, before_ms: int | None = None) -> Iterator[list[ItemChange]]:
        """What is there at the call, in batches; compaction may have left holes.

        With ``before_ms`` only what was appended before then, in broker time: it ends at the first
        record that was not, which is the first of the next reading.
        """

    def poll(self, timeout_ms: int) -> list[ItemChange]:
        """What comes within the time."""

    def left_out(self) -> str:
        """One line on what was left out and where the last of it stands; empty for nothing."""

    def close(self) -> None:
        """End the connection."""


class ItemLog(Protocol):
    """The topic ``items`` for those who change it: a command, from one thread."""

    def write(self, changes: Iterable[ItemChange]) -> int:
        """Append them, in order; the log's end after the last of them, which is durable then.

        ``Unreachable`` where it is not known of all of them that they are.
        """
