"""A short run of the decoder's fuzzer, and that it sees a crash."""

from __future__ import annotations

import pytest

from everfresh.contracts.event import Event
from everfresh.contracts.event_codec import EventDecoder, Headers
from tests.fuzz import decoder_fuzz


def test_twenty_thousand_malformed_records_are_all_accounted_for() -> None:
    findings = decoder_fuzz.fuzz(20_000, seed=3)
    assert findings.clean, findings.messages[:3]
    assert findings.inputs == 20_000
    assert 1_000 < findings.accepted < 10_000
    reached = {reason for reason, number in findings.reasons.items() if number}
    assert reached == {
        "keyless",
        "oversize",
        "unsupported_version",
        "not_json",
        "missing_field",
        "wrong_field",
        "unknown_type",
        "bad_user_id",
        "bad_item_id",
        "bad_time",
        "bad_value",
        "in_the_future",
        "key_mismatch",
    }


class Crashing(EventDecoder):
    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Event:
        if value == b"":
            raise KeyError(value)
        return super().decode(key, value, headers)


def test_the_fuzzer_sees_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_fuzz, "EventDecoder", Crashing)
    findings = decoder_fuzz.fuzz(2_000, seed=1)
    assert findings.crashed > 0
    assert findings.disagreed > 0
    assert not findings.clean
