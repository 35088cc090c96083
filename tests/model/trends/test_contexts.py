"""What is before each event of a user, held against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from everfresh.model.trends.contexts import LATELY, Contexts


@given(st.lists(st.integers(0, 9), max_size=3 * LATELY), st.data())
def test_what_is_before_an_event_is_all_that_came_before_it(
    rows: list[int], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(rows)))
    times = [1_700_000_000 + 60 * at for at in range(len(rows))]
    found = Contexts.before(np.array(rows, np.int64), np.array(times, np.int64), first)
    asked = range(first, len(rows))
    assert found.known.tolist() == list(asked)
    assert found.last.tolist() == [rows[at - 1] if at else 0 for at in asked]
    assert found.at.tolist() == [times[at - 1] if at else 0 for at in asked]
    assert found.lately.shape == (len(asked), LATELY)
    for at, lately in zip(asked, found.lately.tolist(), strict=True):
        had = rows[max(0, at - LATELY) : at]
        assert lately == [0] * (LATELY - len(had)) + had
