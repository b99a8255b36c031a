"""`decode` on anything at all: a message within every limit, or a `ChatError`, and never anything else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat import decode, envelope, protocol
from errors.exceptions import ChatError
from errors.taxonomy import Category

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)  # lone surrogates too
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.integers(-(2**60), 2**60))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4))
TAGS = tuple(str(kind.__struct_config__.tag) for kind in protocol.INBOUND)
FIELDS = ("ref", "session_id", "content", "model_id", "metadata", "last_seq", "reply_id", "message_id", "sender", "x")
FRAMES = st.builds(
    lambda tag, fields: {"type": tag, **fields},
    st.sampled_from(TAGS) | SCALARS,
    st.dictionaries(st.sampled_from(FIELDS), SCALARS | st.text(min_size=1, max_size=20) | VALUES, max_size=6),
)
JSON = st.builds(lambda value, ascii: json.dumps(value, ensure_ascii=ascii), FRAMES | VALUES, st.booleans())
CUT = st.builds(lambda text, at, junk: text[: at % (len(text) + 1)] + junk, JSON, st.integers(0, 10_000), ANY_TEXT)
LIMITS = {"ref": 64, "session_id": 128, "reply_id": 128, "message_id": 128, "model_id": 128, "content": 10_000}
EMOJI_AND_HUGE_INTEGER = '{"type": "ping", "x": "\\ud83d\\ude00", "y": %s}' % ("1" * 5_000)


@settings(max_examples=1_500, deadline=None)
@given(st.one_of(ANY_TEXT, JSON, CUT))
@example(EMOJI_AND_HUGE_INTEGER)
@example('{"type": "ping", "type": "user_message", "content": "x"}')
def test_anything_is_a_message_within_the_limits_or_a_validation_error(text):
    result = _decoded(text)
    if isinstance(result, ChatError):
        assert result.spec.category is Category.VALIDATION
        assert result.field is None or result.field in {*FIELDS, "type"}
    else:
        _check_limits(result)
        assert _is_strict_json(text)
    read = envelope.read(text)
    for told in (read.type, read.session_id):
        assert told is None or told.isprintable()
    assert read.ref is None or (read.ref.encode() and "\x00" not in read.ref)


@settings(max_examples=500, deadline=None)
@given(FRAMES)
def test_what_can_be_read_of_a_frame_is_what_the_client_meant(frame: dict[str, Any]):
    """The answer to a refused frame goes out under the ref that it came with, whatever else is wrong with it."""
    read = envelope.read(json.dumps({**frame, "ref": "r1", "session_id": "s1", "nan": float("nan")}))
    assert (read.ref, read.session_id) == ("r1", "s1")


@pytest.mark.parametrize("ref", ["tab\u200d1", "\x1b", "a" * 64, " x"])
def test_every_ref_that_is_taken_is_found_in_a_frame_that_is_refused(ref: str):
    """The client waits for an answer under it."""
    assert decode.decode(json.dumps({"type": "ping", "ref": ref})).ref == ref
    refused = {"type": "user_message", "ref": ref, "metadata": {"note": "for nobody"}}
    assert envelope.read(json.dumps(refused)).ref == ref
    assert "for nobody" in envelope.read(json.dumps(refused)).texts


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.booleans())
@example({"type": 10**400, "ref": "\ud800", "session_id": 1e400}, True)
def test_the_head_of_a_frame_that_is_too_large_is_read_as_that_of_one_that_is_not(frame: dict[str, Any], ascii: bool):
    small = json.dumps({**frame, "ref": "é😀"}, ensure_ascii=ascii)
    large = json.dumps({**frame, "ref": "é😀", "filling": "x" * 131_072}, ensure_ascii=ascii)
    seen, expected = envelope.read(large), envelope.read(small)
    assert (seen.type, seen.ref, seen.session_id) in {
        (expected.type, expected.ref, expected.session_id),
        (None, None, None),  # NaN and lone surrogates are not forgiven here
    }
    if _is_strict(small):
        assert seen.ref == "é😀"


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(["\\ud800", "\\uDBFF", "\\udc00", "\\uDFFF", "\\\\ud800", "\\ud7ff", "a", "é"])), st.data()
)
def test_a_lone_surrogate_is_refused_wherever_it_stands(parts, data):
    """Escapes that make no character could neither be stored nor sent on; in pairs they are an ordinary emoji."""
    text = "x" * data.draw(st.integers(0, 40)) + "".join(parts)
    form = data.draw(
        st.sampled_from(['{"type":"ping","u":"%s"}', '{"type":"ping","%s":1}', '{"u":[{"%s":0}],"type":"ping"}'])
    )
    frame = form % text
    is_lone = any("\ud800" <= char <= "\udfff" for char in json.loads(f'"{text}"'))
    assert isinstance(_decoded(frame), ChatError) is is_lone


def _decoded(text: str) -> protocol.Inbound | ChatError:
    try:
        return decode.decode(text)
    except ChatError as exc:
        return exc


def _check_limits(message: protocol.Inbound) -> None:
    for name, limit in LIMITS.items():
        value = getattr(message, name, msgspec.UNSET)
        if value is not msgspec.UNSET:
            assert 1 <= len(value) <= limit
            assert "\x00" not in value
            assert value.encode()
    if isinstance(message, protocol.Resume):
        assert 0 <= message.last_seq <= 2**53
    metadata = getattr(message, "metadata", msgspec.UNSET)
    if metadata is not msgspec.UNSET:
        assert len(metadata) <= 20
        assert json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()


def _is_strict(text: str) -> bool:
    try:
        return _is_strict_json(text)
    except ValueError:
        return False


def _is_strict_json(text: str) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    json.dumps(json.loads(text, parse_constant=refuse, parse_int=float), ensure_ascii=False).encode()
    return True
