"""The layout of a weight store, and the rules that all implementations of ``WeightStore`` share.

v0000000012/          one folder per version
    dense.safetensors     its files, under the names the trainer chose, whole or
    items.safetensors.delta   as their difference from the parent's (law 6)
    manifest.json         written last: with it the version exists
pointer.json          which version was published last
rollback.json         which one was rolled back to or promoted last; the greater epoch wins
plan.json             which windows a trainer that lags has decided to train on next
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec

from everfresh.adapters.weights.row_digests import FileDigests
from everfresh.contracts.errors import CorruptVersion, StalePublish, WeightsError
from everfresh.contracts.foreign import JSON, advice, newer
from everfresh.contracts.manifest import (
    DELTA,
    READABLE,
    Plan,
    Pointer,
    WeightFile,
    WeightManifest,
    decode_manifest,
    rolled_back,
)

MANIFEST = "manifest.json"
POINTER = "pointer.json"
ROLLBACK = "rollback.json"
POINTERS = (POINTER, ROLLBACK)
PLAN = "plan.json"
MOST_TEXT = 2**20
"""Bytes of a manifest, a signature or a pointer, at most."""
MOST_LIST = 2**24
"""The same of the lists that grow with held windows."""
MOST_FILE = 2**32
"""The same of a version's file, unless ``weights.max_file_mb`` says otherwise."""
LONGEST_CHAIN = 256
"""Deltas from a version to the full snapshot it is made from, at most."""
_MOST_FILES = 64
_FOLDER = re.compile(r"v(\d{10})")
_NOT_OURS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def folder_name(version: int) -> str:
    """``v0000000012`` for 12; ``WeightsError`` for a number that no folder can have."""
    if not 0 < version < 10**10:
        raise WeightsError(f"versions count from 1 and have at most 10 digits, found {version}")
    return f"v{version:010d}"


def folder_version(name: str) -> int | None:
    """The inverse of :func:`folder_name`; ``None`` for a folder that is no version's."""
    match = _FOLDER.fullmatch(name)
    return int(match.group(1)) if match else None


def require_safe_name(name: str) -> None:
    """``WeightsError`` unless ``name`` is a plain file name, so that none leaves its folder."""
    if name.endswith(DELTA):
        raise WeightsError(f"a weight file's name must not end in {DELTA}, found {name!r}")
    if not _FILE.fullmatch(name) or name in (MANIFEST, POINTER):
        raise WeightsError(
            f"a weight file's name must be letters, digits, '.', '_' or '-' and not {MANIFEST}; "
            f"found {name!r}"
        )


def with_files(manifest: WeightManifest, files: Iterable[WeightFile]) -> WeightManifest:
    """The manifest with these ``files``, in the order of their names."""
    listed = sorted(files, key=lambda file: file.name)
    for file in listed:
        require_safe_name(file.name)
    return msgspec.structs.replace(manifest, files=listed)


def weight_file(name: str, data: bytes) -> WeightFile:
    """The manifest's entry for a file: name, sha256, bytes."""
    return WeightFile(name, hashlib.sha256(data).hexdigest(), len(data))


def require_same_manifest(existing: WeightManifest, wanted: WeightManifest) -> None:
    """``StalePublish`` where two manifests of one version differ in more than the time of day.

    A trainer that is killed between writing a version and moving the pointer trains it again
    (law 5). It makes the same weights, at another time.
    """
    undated = msgspec.structs.replace(wanted, created_ms=existing.created_ms)
    if undated != existing:
        differing = [
            name
            for name in wanted.__struct_fields__
            if getattr(undated, name) != getattr(existing, name)
        ]
        raise StalePublish(
            f"version {wanted.version} exists already with other contents ({', '.join(differing)} "
            "differ); another trainer writes to this store, or it belongs to another log: stop "
            "the other one, or start with an empty weight store"
        )


def parse_manifest(version: int, raw: bytes) -> WeightManifest:
    """``CorruptVersion`` where the bytes are not this version's manifest in our format."""
    try:
        manifest = decode_manifest(raw)
    except _NOT_OURS as error:
        why = newer(raw, READABLE, JSON) or f"cannot be read: {error}"
        raise CorruptVersion(f"the manifest of version {version}: {why}") from None
    if manifest.format not in READABLE or manifest.version != version:
        raise CorruptVersion(
            f"the manifest of version {version} names format {manifest.format} and version "
            f"{manifest.version}; expected format {max(READABLE)}, or an earlier one: "
            f"{advice(manifest.format, READABLE, 'take another version')}"
        )
    _require_bounded(manifest)
    return manifest


def _require_bounded(manifest: WeightManifest) -> None:
    """``CorruptVersion`` where a manifest asks for more than any version of ours has."""
    where = f"the manifest of version {manifest.version}"
    if len(manifest.files) + len(manifest.stored) > _MOST_FILES:
        raise CorruptVersion(
            f"{where} lists {len(manifest.files) + len(manifest.stored)} files; at most "
            f"{_MOST_FILES} were expected"
        )
    for file in (*manifest.files, *manifest.stored):
        require_safe_name(file.name.removesuffix(DELTA))
        if file.bytes < 0:
            raise CorruptVersion(f"{where} says that {file.name} has {file.bytes} bytes")
        if bool(file.root) == bool(file.sha256):
            raise CorruptVersion(f"{where} names {file.name} by one digest too few or too many")
    base, depth = manifest.delta_of, manifest.depth
    if not 0 <= depth <= LONGEST_CHAIN or (base is None and depth):
        raise CorruptVersion(
            f"{where} names {depth} deltas to a full snapshot; 0 to {LONGEST_CHAIN} were expected"
        )
    if base is not None and not 0 < base < manifest.version:
        raise CorruptVersion(f"{where} names version {base}, not an earlier one, as its base")


def named_file(manifest: WeightManifest, name: str) -> WeightFile:
    """``CorruptVersion`` where the manifest lists no such file."""
    for file in manifest.files:
        if file.name == name:
            return file
    raise CorruptVersion(f"version {manifest.version} has no file {name!r}")


def require_readable(manifest: WeightManifest, files: Iterable[WeightFile], most: int) -> None:
    """``CorruptVersion`` where one of the files is said to be larger than ``most`` bytes."""
    for file in files:
        if file.bytes > most:
            raise CorruptVersion(
                f"file {file.name} of version {manifest.version} is said to have {file.bytes:,} "
                f"bytes; at most {most:,} are read: raise weights.max_file_mb where that is right, "
                "or roll back to another version"
            )


def require_nearer(manifest: WeightManifest, base: WeightManifest) -> WeightManifest:
    """``base``, if the deltas of ``manifest`` lead from there one step nearer to a snapshot."""
    if base.depth >= max(1, manifest.depth):
        raise CorruptVersion(
            f"version {manifest.version} is {manifest.depth} deltas away from a full snapshot, and "
            f"version {base.version}, which it is made from, {base.depth}"
        )
    return base


def described(manifest: WeightManifest, file: WeightFile) -> str:
    """Which file it is, for a message."""
    where = f"file {file.name} of version {manifest.version}"
    if file.name.endswith(DELTA):
        where += f", which leads from version {manifest.delta_of},"
    return where


def require_intact(manifest: WeightManifest, file: WeightFile, data: bytes | None) -> bytes:
    """The bytes, if they are those the manifest names."""
    where = described(manifest, file)
    if data is None:
        raise CorruptVersion(f"{where} is missing; {file.bytes} bytes were expected")
    if len(data) != file.bytes:
        raise CorruptVersion(f"{where} has {len(data)} bytes; {file.bytes} were expected")
    if file.root:
        require_rooted(manifest, file, data)
        return data
    digest = hashlib.sha256(data).hexdigest()
    if digest != file.sha256:
        raise CorruptVersion(f"{where} has sha256 {digest}; {file.sha256} was expected")
    return data


def require_rooted(manifest: WeightManifest, file: WeightFile, data: bytes) -> FileDigests:
    """The digests of the bytes, if their root is the one that the manifest names."""
    where = described(manifest, file)
    try:
        digests = FileDigests.of(data)
    except (ValueError, KeyError) as error:
        raise CorruptVersion(f"{where} is no table: {error}") from None
    if digests.root != file.root:
        raise CorruptVersion(f"{where} has root {digests.root}; {file.root} was expected")
    return digests


def parse_pointer(name: str, raw: bytes | None) -> Pointer | None:
    """``None`` for no bytes, ``CorruptVersion`` for bytes that are no pointer."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Pointer)
    except _NOT_OURS as error:
        raise CorruptVersion(
            f"{name} cannot be read: {error}; replace it by "
            '{"epoch": E, "version": V} with a version that is complete'
        ) from None


def winning_pointer(pointers: Iterable[Pointer | None]) -> Pointer | None:
    """The pointer with the greatest epoch (law 8); ``None`` where there is none."""
    present = [pointer for pointer in pointers if pointer is not None]
    return max(present, key=lambda pointer: (pointer.epoch, pointer.version), default=None)


def parse_plans(raw: bytes | None) -> list[Plan]:
    """Empty for no bytes, ``CorruptVersion`` for bytes that are no plans."""
    if raw is None:
        return []
    try:
        return msgspec.json.decode(raw, type=list[Plan])
    except _NOT_OURS as error:
        raise CorruptVersion(
            f"{PLAN} cannot be read: {error}; remove it: the trainer then decides again"
        ) from None


def pointer_file(pointer: Pointer) -> str:
    """Where a pointer is written: what an operator moves has a file that no publish writes."""
    return ROLLBACK if pointer.left or pointer.promoted else POINTER


def require_greater(current: Pointer | None, wanted: Pointer) -> None:
    """``StalePublish`` unless the pointer moves forward (law 8).

    A rollback, whose ``left`` is not empty, is valid only over the pointer it was made from. Over
    another one it would undo another rollback, or miss in ``left`` what was published meanwhile.
    So is a promotion: over one of its own epoch it would undo a rollback.
    """
    if current is None:
        return
    late = bool(wanted.left) and wanted != rolled_back(current, wanted.version)
    beside = bool(wanted.promoted) and wanted.epoch != current.epoch + 1
    if late or beside or not wanted.after(current):
        raise StalePublish(
            f"the pointer is at version {current.version}, epoch {current.epoch}, and version "
            f"{wanted.version}, epoch {wanted.epoch}, is not after it; read the pointer again"
        )
