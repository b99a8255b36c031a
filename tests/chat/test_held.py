"""What waits for its turn on one connection is bounded, and gives its room back."""

from __future__ import annotations

import pytest

from chat import protocol
from chat.encoded import Encoded
from chat.held import MAX_HELD, MAX_HELD_CHARS, Held

LONG = Encoded.of(protocol.Notification(metadata={"event": "x" * (MAX_HELD_CHARS * 2 // 3)}))
SHORT = Encoded.of(protocol.Notification(metadata={"event": "x"}))


def test_it_holds_so_many_frames_and_so_much_text():
    held = Held()
    for seq in range(2 * MAX_HELD):
        held.hold(seq, SHORT)
    assert len(held) == MAX_HELD
    held = Held()
    held.hold(1, LONG)
    held.hold(2, LONG)
    held.hold(3, SHORT)
    assert [seq for seq in range(5) if seq in held] == [1, 3]


@pytest.mark.parametrize(
    "give_back",
    [
        lambda held: held.drop(7),
        lambda held: held.drop_until(7),
        lambda held: held.drop_beyond(6),
        lambda held: held.note_shown(7),
    ],
    ids=["drop", "drop_until", "drop_beyond", "note_shown"],
)
def test_room_comes_back(give_back):
    held = Held()
    held.hold(7, LONG)
    give_back(held)
    held.hold(8, LONG)
    assert held[8] is LONG


def test_what_was_shown_keeps_its_place_until_the_client_begins_anew():
    held = Held()
    held.note_shown(3)
    held.hold(3, SHORT)
    assert held[3] is None
    assert (held.is_shown(3), held.is_shown(4)) == (True, False)
    held.forget_shown()
    assert 3 not in held
