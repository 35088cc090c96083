import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.errors import SettingsError
from everfresh.contracts.event import parse_id, user_key


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("42", 42),
        ("-7", -7),
        ('"42"', "42"),
        ("007", "007"),
        ("abc", "abc"),
        ("-", "-"),
        ("-0", "-0"),
        ("٣", "٣"),
    ],
)
def test_a_typed_id_is_an_integer_only_in_its_canonical_form(typed: str, meant: int | str) -> None:
    assert parse_id(typed) == meant
    assert type(parse_id(typed)) is type(meant)


@pytest.mark.parametrize(
    "typed", ["", '""', "9" * 30, "9" * 5000, str(2**63), f"-{2**63 + 1}", "x" * 201, "caf\udce9"]
)
def test_what_no_event_can_have_as_its_id_is_refused(typed: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_id(typed)
    assert len(str(refused.value)) < 200


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_every_integer_id_survives_being_typed(value: int) -> None:
    assert parse_id(str(value)) == value


def test_the_record_key_is_the_id_as_text() -> None:
    assert user_key(7) == user_key("7") == b"7"
