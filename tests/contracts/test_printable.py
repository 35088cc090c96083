"""What is made of text that would steer a terminal or forge a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everfresh.contracts.foreign import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("/posts/[slug] :smile: äöü 漢字 🙂", "/posts/[slug] :smile: äöü 漢字 🙂"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("\x9b1m\x00\x7f", r"\x9b1m\x00\x7f"),
        ("\u202etxt.exe\u2066", r"\u202etxt.exe\u2066"),
        ("\udcff\U000e0001", r"\udcff\U000e0001"),
    ],
)
def test_what_is_no_visible_sign_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)))
def test_whatever_comes_it_is_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
