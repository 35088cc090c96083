from __future__ import annotations

from everfresh.adapters.observe.tracing.names import TraceNames


def test_a_window_has_the_same_name_wherever_it_is_computed() -> None:
    """A name that changed would tear the traces of workers and replicas of two releases apart."""
    names = TraceNames("MkU3OEVBNTcwNTJENDM2Qg", "everfresh.events")
    window, version = names.window((884_213_512, 0)), names.version((884_213_512, 0), "default", 57)
    assert (
        f"{window.trace_id:032x}-{window.span_id:016x}"
        == "99a7885d19c7deb8b070f87d6202ef30-200f1a20ecc0669d"
    )
    assert (
        f"{version.trace_id:032x}-{version.span_id:016x}"
        == "99a7885d19c7deb8b070f87d6202ef30-2ad090dc29e11550"
    )


def test_other_loops_windows_cuts_tracks_and_versions_have_other_names() -> None:
    loops = [TraceNames("a", "t"), TraceNames("b", "t"), TraceNames("a", "u"), TraceNames("at", "")]
    places = [(1, 0), (1, 1), (11, 0), (2, 0)]
    windows = {loop.window(place) for loop in loops for place in places}
    assert len({window.trace_id for window in windows}) == len(loops) * len(places)
    versions = {
        loop.version(place, track, number)
        for loop in loops
        for place in places
        for track in ("default", "default1")
        for number in (1, 11)
    }
    assert len({version.span_id for version in versions}) == len(loops) * len(places) * 4
    assert {version.trace_id for version in versions} == {window.trace_id for window in windows}
