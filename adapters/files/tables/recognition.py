"""What a file is, told by its first bytes and never by its name; and its text, decompressed."""

from __future__ import annotations

import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from everfresh.contracts.errors import DataFileError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_LINE = 16 * 2**20
"""Longest line that is read, in characters: what is longer is no file of rows."""

_HEAD = 64 * 1024
_ARRAY = re.compile(r"\[\s*[\[{\]]")  # a title of SQL Server's begins with a bracket too
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a frame without data, before those of zstd
_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_OTHERS = {
    b"PK\x03\x04": "a zip archive; unpack it first (unzip)",
    b"BZh": "compressed with bzip2; unpack it first (bunzip2)",
    b"\xfd7zXZ": "compressed with xz; unpack it first (unxz)",
    b"ARROW1": "an Arrow file; write it as Parquet",
    b"Obj\x01": "an Avro file; write it as Parquet or JSON lines",
    b"ORC": "an ORC file; write it as Parquet",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
}


def recognise(path: Path) -> str:
    """``parquet``, ``jsonl`` or ``csv`` (which includes TSV); empty where the file is.

    ``DataFileError`` for what is neither, with what to do about it. Reads 64 KiB at most.
    """
    with told(path), open_bytes(path) as stream:
        head = stream.read(_HEAD)
    if head.startswith(_PARQUET):
        if packed := packing_of(path):
            raise DataFileError(
                f"{path} is Parquet within {packed}; unpack it first: Parquet has a compression of "
                "its own"
            )
        return "parquet"
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise DataFileError(f"{path} is {what}")
    encoding = encoding_of(head, "")
    text = head.decode(encoding, errors="replace").lstrip()
    if "\x00" in text:
        raise DataFileError(
            f"{path} is neither text nor Parquet; everfresh reads CSV, TSV, JSON lines and Parquet"
        )
    if _ARRAY.match(text):
        raise DataFileError(
            f"{path} begins with '[': a JSON array is no JSON lines; write an object per line, as "
            "`jq -c '.[]'` does"
        )
    if text.startswith("{"):
        return "jsonl"
    return "csv" if text else ""


def encoding_of(head: bytes, named: str) -> str:
    """The encoding that is named, or that a byte order mark tells; UTF-8 otherwise."""
    told_by_mark = next((name for mark, name in _BOMS.items() if head.startswith(mark)), "utf-8")
    return named or told_by_mark


def require_regular(path: Path) -> None:
    """``DataFileError`` for what cannot be opened without waiting, or is not there."""
    try:
        there = path.exists()
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror}") from None
    if not there:
        raise DataFileError(f"{path} does not exist; name an event file, or a folder of them")
    if not path.is_file() and not path.is_dir():
        raise DataFileError(
            f"{path} is no file and no folder (a pipe or a device); write what it brings into a "
            "file, and name that"
        )


def packing_of(path: Path) -> str:
    """``gzip`` or ``zstd`` by its first bytes, or nothing."""
    with told(path), path.open("rb") as raw:
        magic = raw.read(4)
    if magic.startswith(_GZIP):
        return "gzip"
    return "zstd" if magic == _ZSTD or _SKIPPABLE.match(magic) else ""


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, decompressed where it is gzip or zstd. Use it within :func:`told`."""
    if packed := packing_of(path):
        return cast(IO[bytes], (gzip if packed == "gzip" else zstd).open(path, "rb"))
    return path.open("rb")


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """The lines of a file with their ends. Bytes that are not of its encoding become surrogates."""
    with told(path), open_bytes(path) as stream:
        buffered = io.BufferedReader(stream, 2**17)  # type: ignore[type-var]
        named = encoding_of(buffered.peek(4)[:4], encoding)
        with io.TextIOWrapper(buffered, named, errors="surrogateescape", newline="") as text:
            yield _lines(path, text)


def _lines(path: Path, text: IO[str]) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE and line[-1] not in "\r\n":
            raise DataFileError(
                f"{path} line {number} is longer than {MAX_LINE:,} characters; that is no file of "
                "rows: check its format, or split it into lines"
            )
        yield line


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What reading can run into, as ``DataFileError``."""
    try:
        yield
    except EOFError:
        raise DataFileError(
            f"{path} ends in the middle of its compressed data: it was cut off; fetch it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
        raise DataFileError(f"{path} is damaged ({error}); fetch it again") from None
    except UnicodeError as error:
        raise DataFileError(
            f"{path} is not text in its encoding ({error}); name the right one with --encoding"
        ) from None
    except OSError as error:
        why = error.strerror or " ".join(str(error).split())[:200]  # pyarrow's are long
        raise DataFileError(f"{path} cannot be read: {why}") from None
