"""What a person quotes and staff look up: `E-7KQ4-M2XW`, read back however it was typed or read out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import failure
from errors.failure import new_reference, read_reference
from errors.models import RoutingFailure

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U
REFERENCES = st.text(ALPHABET, min_size=8, max_size=8).map(lambda text: f"E-{text[:4]}-{text[4:]}")
LOOK_ALIKES = {"0": "0oO", "1": "1iIlL"}


@settings(max_examples=200)
@given(st.integers(0, 2**40 - 1))
def test_forty_bits_become_eight_letters(bits):
    """Every number is another reference, of letters that cannot be mistaken for each other."""
    original = failure.random.getrandbits
    failure.random.getrandbits = lambda count: bits if count == 40 else original(count)
    try:
        reference = new_reference()
    finally:
        failure.random.getrandbits = original
    assert re.fullmatch(rf"E-[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", reference)
    number = 0
    for letter in reference[2:].replace("-", ""):
        number = number * 32 + ALPHABET.index(letter)
    assert number == bits
    assert len(reference) <= RoutingFailure._meta.get_field("reference").max_length


def test_references_differ():
    assert len({new_reference() for _ in range(10_000)}) == 10_000


@settings(max_examples=500)
@given(REFERENCES, st.data())
def test_is_read_however_it_is_written(reference, data):
    """In any case, with any dashes and blanks or none, with or without its E, with the letters that look alike."""
    letters = reference[2:].replace("-", "")
    typed = "".join(data.draw(st.sampled_from(LOOK_ALIKES.get(letter, letter + letter.lower()))) for letter in letters)
    prefix = data.draw(st.sampled_from(["E-", "e-", "E", "e ", "E – ", ""]))
    gaps = data.draw(st.lists(st.sampled_from(["", "-", " ", "–", "_", ".", "\t"]), min_size=9, max_size=9))
    spelled = prefix + "".join(gap + letter for gap, letter in zip(gaps, typed, strict=False)) + gaps[-1]
    assert read_reference(spelled) == reference


@pytest.mark.parametrize(
    "text",
    ["", " ", "E-", "E-7KQ4-M2", "E-7KQ4-M2XWZ", "F-7KQ4-M2XW", "E-7KQ4-M2XU", "alice", "E-7KQ4-M2XÉ",
     "E-１２３４-５６７８", "'; DROP", "E" * 9 + "E", "ß" * 8, "\x00" * 8],
)  # fmt: skip
def test_what_is_none_is_none(text):
    assert read_reference(text) is None


@settings(max_examples=500)
@given(st.text())
def test_any_text_is_a_reference_or_none(text):
    found = read_reference(text)
    assert found is None or (re.fullmatch(r"E-\w{4}-\w{4}", found, re.ASCII) and read_reference(found) == found)
