"""What one connection is sent of a session: in order, once, whatever was lost, late or refused on the way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat import protocol
from chat.encoded import Encoded
from chat.progress import Progress

SESSION = "6f1c2a0e-58f4-4c1f-9c1f-0b6d3c1d9a11"


def question(seq: int) -> Encoded:
    return Encoded.of(protocol.UserMessageFrame(session_id=SESSION, content="q", message_id=f"m{seq}", seq=seq))


def loading(reply: str) -> Encoded:
    return Encoded.of(protocol.Loading(session_id=SESSION, reply_id=reply, in_reply_to="m"))


def piece(reply: str, start: int, text: str) -> Encoded:
    return Encoded.of(
        protocol.AiResponse(
            session_id=SESSION, reply_id=reply, in_reply_to="m", content=text, offset=start, metadata=protocol.STREAMING
        )
    )


def answer(reply: str, seq: int, length: int, content: str = "") -> Encoded:
    return Encoded.of(
        protocol.AiResponse(
            session_id=SESSION,
            reply_id=reply,
            in_reply_to="m",
            content=content,
            offset=length - len(content),
            metadata=protocol.DONE,
            seq=seq,
            message_id=f"m{seq}",
            content_length=length,
            state="complete",
        )
    )


class Client:
    """Takes frames, and fails where one is out of order, told twice, or leaves a gap in a text."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.texts: dict[str, int] = {}
        self.ended: list[str] = []
        self.has_room = True

    def put(self, frame: Encoded) -> bool:
        if not self.has_room:
            return False
        if frame.start is not None and frame.reply_id is not None:
            assert frame.reply_id not in self.ended, "a reply goes on after its end"
            assert frame.start <= self.texts.get(frame.reply_id, 0), "a gap in a text"
            self.texts[frame.reply_id] = frame.stop or 0
        if frame.seq is not None:
            assert frame.seq == (self.seqs[-1] + 1 if self.seqs else 1), "out of order"
            self.seqs.append(frame.seq)
        if frame.is_end:
            self.ended.append(str(frame.reply_id))
        return True

    def put_whole(self, frames: list[Encoded]) -> bool:
        return self.has_room and all(map(self.put, frames))


def conversation(turns: int) -> list[Encoded]:
    """What a session broadcasts: questions, and their answers of nine characters in three pieces."""
    frames = []
    for turn in range(turns):
        reply, seq = f"r{turn}", 2 * turn + 1
        frames += [
            question(seq),
            loading(reply),
            piece(reply, 0, "abc"),
            piece(reply, 3, "def"),
            piece(reply, 6, "ghi"),
        ]
        frames.append(answer(reply, seq + 1, 9))
    return frames


def stored(seq: int) -> list[Encoded]:
    """The same messages, as the database has them."""
    return [question(seq)] if seq % 2 else [answer(f"r{seq // 2 - 1}", seq, 9, "abcdefghi")]


def repair(progress: Progress, client: Client, top: int) -> None:
    """What `repair` does when every reply has ended."""
    progress.note_top(top)
    progress.flush(client.put)
    while progress.is_behind_rows and progress.take_stored(
        progress.next_seq, stored(progress.next_seq), client.put_whole
    ):
        progress.flush(client.put)
    progress.settle(top)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), turns=st.integers(1, 6), loss=st.floats(0, 0.6), late=st.floats(0, 0.6))
def test_every_message_comes_once_and_in_order(seed: int, turns: int, loss: float, late: float) -> None:
    chance = random.Random(seed)
    progress, client = Progress(0), Client()
    waiting = [frame for frame in conversation(turns) if chance.random() >= loss]
    while waiting:
        index = min(int(chance.expovariate(3)), len(waiting) - 1) if chance.random() < late else 0
        client.has_room = chance.random() > 0.2
        progress.take(waiting.pop(index), client.put)
        if chance.random() < 0.1:
            repair(progress, client, max(progress.top, progress.position or 0))
    client.has_room = True
    repair(progress, client, 2 * turns)
    assert client.seqs == list(range(1, 2 * turns + 1))
    assert sorted(client.ended) == [f"r{turn}" for turn in range(turns)]
    assert not progress.is_behind


class TestRows:
    def test_a_frame_after_a_gap_waits_for_the_one_before(self):
        progress, client = Progress(0), Client()
        assert progress.take(question(2), client.put)
        assert (client.seqs, progress.is_behind) == ([], True)
        progress.take(question(1), client.put)
        assert (client.seqs, progress.is_behind) == ([1, 2], False)

    def test_the_own_message_needs_no_frame_but_keeps_its_place(self):
        progress, sent = Progress(0), []
        progress.note_own(2)
        for seq in (3, 1):
            progress.take(question(seq), lambda frame: not sent.append(frame.seq))
        assert (sent, progress.position) == ([1, 3], 3)

    def test_without_a_position_the_first_frame_gives_it(self):
        progress, sent = Progress(), []
        assert progress.take(question(7), lambda frame: not sent.append(frame.seq))
        assert progress.take(question(9), lambda frame: not sent.append(frame.seq))
        assert (sent, progress.needs_rows) == ([7], True)

    def test_what_was_sent_before_it_began_passes(self):
        """A frame that was on its way while the connection registered: the client knows whether it has it."""
        progress, sent = Progress(5), []
        progress.take(question(5), lambda frame: not sent.append(frame.seq))
        assert sent == [5]

    def test_thousands_of_frames_beyond_a_gap_are_not_kept(self):
        progress, client = Progress(0), Client()
        for seq in range(2, 10_000):
            progress.take(question(seq), client.put)
        assert len(progress._held) <= 64
        assert progress.top == 9_999


class TestReplies:
    def test_an_end_without_the_text_before_it_is_read_from_the_database(self):
        progress, client = Progress(1), Client()
        client.seqs = [1]
        progress.take(answer("r0", 2, 9), client.put)
        assert (client.ended, progress.needs_rows) == ([], True)
        assert progress.take_stored(2, stored(2), client.put_whole)
        assert client.ended == ["r0"]

    def test_late_pieces_of_a_reply_that_has_ended_are_dropped(self):
        progress, client = Progress(1), Client()
        client.seqs = [1]
        progress.take_stored(2, stored(2), client.put_whole)
        assert progress.take(piece("r0", 6, "ghi"), client.put)
        assert client.texts == {"r0": 9}

    def test_pieces_that_were_held_follow_the_text_from_the_database(self):
        progress, client = Progress(1), Client()
        progress.take(piece("r0", 6, "ghi"), client.put)
        assert progress.behind_replies == ["r0"]
        assert progress.take_text("r0", [loading("r0"), piece("r0", 0, "abcdef")], client.put, client.put_whole)
        assert (client.texts, progress.is_behind) == ({"r0": 9}, False)

    def test_a_text_that_is_not_far_enough_yet_leaves_it_behind(self):
        progress, client = Progress(1), Client()
        progress.take(piece("r0", 6, "ghi"), client.put)
        assert not progress.take_text("r0", [piece("r0", 0, "abc")], client.put, client.put_whole)
        assert progress.behind_replies == ["r0"]

    @pytest.mark.parametrize(("begun", "is_missing"), [(1e12, True), (1.0, False)], ids=["after", "before"])
    def test_an_end_that_nobody_heard_of_is_missing_if_the_reply_began_after_us(self, begun, is_missing):
        progress = Progress(1)
        progress.note_end("r0", begun)
        assert bool(progress.behind_replies) is is_missing


class TestResume:
    def test_live_frames_wait_until_the_page_is_sent(self):
        progress, client = Progress(3), Client()
        progress.resume(0)
        progress.take(question(4), client.put)
        for seq in (1, 2, 3):
            assert progress.take_stored(seq, [question(seq)], client.put_whole)
        assert client.seqs == [1, 2, 3]
        progress.end_resume()
        progress.flush(client.put)
        assert client.seqs == [1, 2, 3, 4]

    def test_a_client_that_is_ahead_of_the_database_starts_from_there(self):
        progress, client = Progress(2), Client()
        progress.resume(9)
        progress.resume(0)
        for seq in (1, 2):
            progress.take_stored(seq, [question(seq)], client.put_whole)
        progress.note_top(2)
        progress.end_resume()
        progress.take(question(3), client.put)
        assert (client.seqs, progress.is_behind) == ([1, 2, 3], False)

    def test_the_next_page_is_the_clients_turn_for_a_while(self):
        progress = Progress(0)
        progress.note_top(9)
        progress.end_resume(60)
        assert progress.is_behind
        assert not progress.needs_rows


def test_as_many_replies_as_may_run_at_once_are_kept_apart(configure):
    """One that was forgotten while it runs would count as missed from its beginning."""
    configure(max_running_replies=50)
    client, progress, replies = Client(), Progress(position=0), [f"r{n}" for n in range(50)]
    for frame in (
        *map(loading, replies),
        *(piece(reply, start, "abc") for start in (0, 3, 6) for reply in replies),
        *(answer(reply, seq, 9) for seq, reply in enumerate(replies, start=1)),
        *(piece(reply, 6, "abc") for reply in replies),  # late
    ):
        progress.take(frame, client.put)
        assert not progress.is_behind
    assert (client.ended, client.texts) == (replies, dict.fromkeys(replies, 9))
