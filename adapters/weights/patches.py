"""A file that is no table, as the zstd patch that makes it of its parent's.

What a patch may make is bounded by the bytes there are, of it and of its parent. A frame says how
large its content and its window are, and a few bytes can say gigabytes: neither is believed.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PREFIX_MIN = 8  # zstd takes no shorter prefix
_PER_BYTE, _ROOM = 64, 2**20


class PatchError(ValueError):
    """A patch is damaged, or would make too much."""


def encode_patch(parent: bytes, child: bytes) -> bytes:
    """The patch that makes ``child`` of ``parent``; equal input gives equal bytes."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 3,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
        zstd.CompressionParameter.window_log: _window_log(len(parent) + len(child)),
    }
    return zstd.compress(child, options=options, zstd_dict=_prefix(parent))


def most_made(parent: bytes, patch: bytes) -> int:
    """Bytes that such a patch may make of that file; one that would make more is not stored."""
    return len(parent) + _PER_BYTE * len(patch) + _ROOM


def apply_patch(parent: bytes, patch: bytes, most: int) -> bytes:
    """The inverse of :func:`encode_patch`; ``PatchError`` beyond ``most`` bytes, or where it is
    damaged."""
    options: dict[int, int] = {
        zstd.DecompressionParameter.window_log_max: _window_log(len(parent) + most)
    }
    stream = zstd.ZstdDecompressor(zstd_dict=_prefix(parent), options=options)
    try:
        child = stream.decompress(patch, max_length=most + 1)
    except zstd.ZstdError as error:
        raise PatchError(str(error)) from None
    if len(child) > most:
        raise PatchError(f"a patch of {len(patch):,} bytes makes more than {most:,}")
    if not stream.eof:
        raise PatchError("the patch ends before its end")
    return child


def _prefix(parent: bytes) -> tuple[zstd.ZstdDict, int] | None:
    return zstd.ZstdDict(parent, is_raw=True).as_prefix if len(parent) > _PREFIX_MIN else None


def _window_log(span: int) -> int:
    """A zstd window that reaches from the end of the new file to the start of the old one."""
    return min(31, max(10, span.bit_length()))
