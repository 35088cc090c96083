"""Until when a state holds all that the log held."""

from __future__ import annotations

from everfresh.streaming.catch_up import CatchUp


def test_an_end_counts_as_reached_once_the_state_is_there() -> None:
    catch_up = CatchUp()
    assert catch_up.note_reached(5) is None
    catch_up.note_end(10, 1_000)
    assert catch_up.note_reached(9) is None
    assert catch_up.note_reached(10) == catch_up.fresh_ms == 1_000


def test_an_idle_log_is_fresh_as_of_each_look() -> None:
    catch_up = CatchUp()
    for now in (1_000, 2_000, 3_000):
        catch_up.note_end(10, now)
        assert catch_up.note_reached(10) == now


def test_under_load_it_is_as_fresh_as_the_end_that_was_reached() -> None:
    catch_up = CatchUp()
    for look in range(1, 9):  # the end is always ahead of the state, by what came meanwhile
        catch_up.note_end(100 * look, 1_000 * look)
        catch_up.note_reached(100 * look - 30)
    assert catch_up.fresh_ms == 7_000


def test_a_state_that_falls_behind_grows_old_however_often_one_looks() -> None:
    catch_up = CatchUp()
    catch_up.note_end(10, 1_000)
    catch_up.note_reached(10)
    for look in range(2, 50):
        catch_up.note_end(100 * look, 1_000 * look)
        assert catch_up.note_reached(10 + look) is None
    assert catch_up.note_reached(200) == 2_000
    assert catch_up.note_reached(4_900) == 49_000


def test_a_clock_that_was_set_back_hides_no_age() -> None:
    catch_up = CatchUp()
    catch_up.note_end(10, 9_000)
    catch_up.note_reached(10)
    catch_up.note_end(10, 1_000)
    assert catch_up.note_reached(10) == catch_up.fresh_ms == 1_000
    catch_up.note_end(20, 2_000)
    assert catch_up.note_reached(10) is None
    assert catch_up.fresh_ms == 1_000
