"""The table of formats in docs/operate.md says what the code writes and reads."""

from __future__ import annotations

import re

from everfresh.adapters.state.snapshots import SNAPSHOT_FORMAT
from everfresh.adapters.weights.deltas import DELTA_FORMAT
from everfresh.contracts import manifest, sequence, window
from everfresh.contracts.experiments import definition, track
from everfresh.contracts.items import record
from everfresh.model.opponents import opponent_file
from everfresh.model.vocabulary import metadata
from everfresh.streaming.join.rows import JOIN_FORMAT
from everfresh.trainer.checkpoint import COUNTS_FORMAT, MEMORY_FORMAT
from tests.architecture.test_house import ROOT

FORMATS: dict[str, tuple[int, ...]] = {
    "users' state": (sequence.FORMAT,),
    "snapshot of the state": (SNAPSHOT_FORMAT,),
    "join's state": (JOIN_FORMAT,),
    "slice on `windows`": (window.FORMAT, window.CUT_FORMAT),
    "manifest of a version": (
        *(manifest.FORMAT, manifest.NEWER_FORMAT),
        *sorted({*manifest.READABLE} - {manifest.FORMAT, manifest.NEWER_FORMAT}),
    ),
    "delta of a version": (int(DELTA_FORMAT.rpartition("/")[2]),),
    "vocabulary": (metadata.FORMAT,),
    "trainer's memory": (MEMORY_FORMAT, COUNTS_FORMAT),
    "opponents": (opponent_file.FORMAT,),
    "`tracks.json`": (track._FORMAT,),
    "definition of an experiment": (definition.FORMAT, definition.NEWER_FORMAT),
    "item": (record.FORMAT,),
}
"""What is written now, then what is read beside it."""


def test_the_table_of_formats_says_what_is_written_and_what_is_read() -> None:
    text = (ROOT / "docs" / "operate.md").read_text()
    table = text.partition("## Which releases may meet")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| ")
    ][1:]
    said = {row[0]: tuple(map(int, re.findall(r"\d+", f"{row[1]} {row[2]}"))) for row in rows}
    assert said == FORMATS
