"""What the order of the tests names is there, and tests that share a Ray stay together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scheduling import INTEGRATION, LONGEST, SHARED_SERVICE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted({*LONGEST, *SHARED_SERVICE}))
def test_every_test_that_the_order_names_exists(name: str) -> None:
    file, _, function = name.partition("::")
    path = ROOT / INTEGRATION / file
    assert path.is_file()
    assert f"def {function}" in path.read_text()


def test_every_file_with_a_fixture_for_all_its_tests_stays_together() -> None:
    sharing = {
        path.name
        for path in (ROOT / INTEGRATION).glob("test_*.py")
        if 'fixture(scope="module")' in path.read_text()
    }
    assert sharing == set(SHARED_SERVICE)
