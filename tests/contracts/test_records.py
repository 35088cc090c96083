import msgspec

from everfresh.contracts import manifest, report, window
from everfresh.contracts.exposure import Exposure, decode_exposure, encode_exposure
from everfresh.contracts.manifest import Pointer


def test_slice_records_round_trip_and_are_deterministic() -> None:
    part = window.SlicePart(1, 7, 0, ["view"], [window.Example("u", b"", b"", [1], [2])])
    closed = window.SliceClosed(1, 1, 7, 0, 2, 1, 1, 1, "aa")
    for record in (part, closed):
        raw = window.encode_slice_record(record)
        assert window.decode_slice_record(raw) == record
        assert window.encode_slice_record(record) == raw


def test_manifest_round_trips() -> None:
    made = manifest.WeightManifest(
        1, 3, 2, 10, 5, {0: 4}, {0: 2}, [manifest.WeightFile("a", "00", 1)], {"dim": 4}, 5, 6, {}
    )
    assert manifest.decode_manifest(manifest.encode_manifest(made)) == made


def test_a_greater_epoch_beats_a_greater_version() -> None:
    assert Pointer(epoch=1, version=3).after(Pointer(epoch=0, version=9))
    assert Pointer(epoch=1, version=4).after(Pointer(epoch=1, version=3))
    assert not Pointer(epoch=1, version=3, left=4).after(Pointer(epoch=1, version=3))


def test_an_exposure_of_an_earlier_release_is_still_read() -> None:
    exposure = Exposure("r", "u", 1, "default", 2, 0, "model", ["a", 4], [0.5, 0.25], 1, 9)
    older = {**msgspec.structs.asdict(exposure), "past_version": 1}
    assert decode_exposure(msgspec.json.encode(older)) == exposure
    # The stream worker keeps exposures in its state.
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(older), type=Exposure) == exposure


def test_an_exposure_of_before_experiments_was_on_the_default_track_and_in_none() -> None:
    exposure = Exposure("r", "u", 1, "default", 2, 0, "model", ["a", 4], [0.5, 0.25], 1, 9)
    later = ("experiment", "track", "definition_version", "probability")
    older = {
        name: value for name, value in msgspec.structs.asdict(exposure).items() if name not in later
    }
    read = decode_exposure(msgspec.json.encode(older))
    assert [getattr(read, name) for name in later] == [None, "default", None, None]


class OlderExposure(msgspec.Struct, frozen=True):
    """An exposure as readers of before experiments know it."""

    request_id: str
    arm: str
    request_events: int = 0


def test_a_reader_of_before_experiments_reads_the_exposures_of_one() -> None:
    exposure = Exposure(
        "r",
        "u",
        1,
        "treatment",
        2,
        0,
        "model",
        ["a"],
        [0.5],
        experiment="green",
        definition_version=3,
        probability=0.5,
    )
    read = msgspec.json.decode(encode_exposure(exposure), type=OlderExposure)
    assert read == OlderExposure("r", "treatment")
    assert decode_exposure(encode_exposure(exposure)) == exposure


def test_exposure_and_status_round_trip() -> None:
    exposure = Exposure("r", "u", 1, "default", 2, 0, "model", ["a", 4], [0.5, 0.25], 1, 9)
    assert decode_exposure(encode_exposure(exposure)) == exposure
    status = report.ComponentStatus("worker-0", "worker", 1, "running", {"applied": 4})
    assert report.decode_status(report.encode_report(status)) == status
