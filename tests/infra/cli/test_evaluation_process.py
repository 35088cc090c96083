from __future__ import annotations

import sys

import pytest

from everfresh.contracts.settings import Settings
from everfresh.evaluation.results import EventsCut, RowsRead, encode_line
from everfresh.infra.cli import evaluation_process
from everfresh.infra.cli.evaluation_process import output_lines
from everfresh.infra.cli.terminal import Terminal

pytestmark = pytest.mark.process


def test_reading_and_cutting_are_progress_and_the_rest_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluation_process, "PLAIN_S", 0.0)
    said = b"".join(map(encode_line, (RowsRead(0), RowsRead(1200), EventsCut(700, 1200))))
    words = f"import sys; sys.stdout.buffer.write({said!r} + b'a result\\n')"
    lines = output_lines([sys.executable, "-c", words], Settings(), Terminal(), "rejects.jsonl")
    assert [line.strip() for line in lines] == ["a result"]
    assert capsys.readouterr().out.splitlines() == [
        "1,200 rows read",
        "700 of 1,200 events laid into windows",
    ]
