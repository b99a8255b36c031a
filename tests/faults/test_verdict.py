"""The checker itself: for each kind of damage, the number that must count it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conversation import Conversation, Frame, Line
from tests.faults.deployment import Life
from tests.faults.device import Device
from tests.faults.ledger import Ledger, Said
from tests.faults.person import Person
from tests.faults.truth import LoggedFailure, StoredFailure, StoredMessage, StoredReply, Truth
from tests.faults.verdict import Verdict, judge

SESSION = "s1"
NOW = 1_000_000.0
QUESTION = StoredMessage("m1", SESSION, 1, "user", "hello", "r1")
ANSWER = StoredMessage("m2", SESSION, 2, "ai", "good day", None)
SECOND = StoredMessage("m3", SESSION, 3, "user", "again", "r2")
REPLY = StoredReply("a1", SESSION, "m1", 1, "partial", "E-1")
LIFE = Life(0, NOW - 100, 0)


@dataclass
class World:
    """A soak in which all went well: two messages, one reply that failed half way, one failure told."""

    truth: Truth
    ledger: Ledger
    device: Device

    def judge(self) -> Verdict:
        return judge(self.truth, self.ledger, [self.device.person], {}, 0)

    @property
    def view(self) -> Conversation:
        return self.device.conversations[SESSION]


class Site:
    cookies = ""


@pytest.fixture
def world(tmp_path: Path) -> World:
    ledger = Ledger(tmp_path / "events.jsonl")
    alice = Person("alice", Site())  # type: ignore[arg-type]
    device = Device(alice, 1, None, ledger, random.Random(1))  # type: ignore[arg-type]
    view = device.conversations[SESSION] = Conversation(SESSION)
    for message in (QUESTION, ANSWER, SECOND):
        view.keep(Line(message.seq, message.message_id, message.sender, message.content, message.client_ref))
    answer = view.open_answer("a1", "m1")
    answer.state, answer.reference = "partial", "E-1"
    for message in (QUESTION, SECOND):
        said = ledger.said[str(message.client_ref)] = Said(str(message.client_ref), "alice", _frame(message))
        said.acks.add((SESSION, message.seq, message.message_id))
    ledger.told["E-1"] = NOW
    failure = StoredFailure("E-1", "reply", "REPLY_INTERRUPTED", "", "a1", "r1", NOW, 1, 0)
    line = LoggedFailure("E-1", "reply", "REPLY_INTERRUPTED", "", "a1", NOW, LIFE)
    truth = Truth({SESSION: 3}, {SESSION: "alice"}, [QUESTION, ANSWER, SECOND], [REPLY], [failure], [line])
    return World(truth, ledger, device)


def _frame(message: StoredMessage) -> Frame:
    return {"type": "user_message", "ref": message.client_ref, "session_id": SESSION, "content": message.content}


def test_a_good_run_counts_nothing(world: World) -> None:
    assert world.judge().findings == []
    assert world.judge().as_line()["acked"] == 2


def _lose_a_message(world: World) -> None:
    world.truth.messages.remove(SECOND)
    world.truth.last_seq[SESSION] = 2
    del world.view.lines[3]


def _store_it_otherwise(world: World) -> None:
    world.truth.messages[2] = replace(SECOND, content="something else")
    world.view.lines[3] = replace(world.view.lines[3], content="something else")


def _forget_a_line(world: World) -> None:
    del world.view.lines[2]


def _store_it_twice(world: World) -> None:
    world.truth.messages.append(replace(SECOND, seq=4, message_id="m4"))
    world.truth.last_seq[SESSION] = 4
    world.view.keep(Line(4, "m4", "user", "again", None))


def _show_it_twice(world: World) -> None:
    world.view.keep(Line(4, "m4", "user", "again", "r2"))


def _leave_a_gap(world: World) -> None:
    world.truth.messages[2] = replace(SECOND, seq=4)
    world.truth.last_seq[SESSION] = 4
    world.ledger.said["r2"].acks = {(SESSION, 4, "m3")}
    world.view.lines[4] = replace(world.view.lines.pop(3), seq=4)


def _swap_two_lines(world: World) -> None:
    lines = world.view.lines
    lines[1], lines[3] = lines[3], lines[1]


def _never_end_a_reply(world: World) -> None:
    world.truth.replies[0] = replace(REPLY, state="streaming", reference=None)
    world.truth.failures.clear()
    world.truth.lines.clear()
    world.ledger.told.clear()
    answer = world.view.answers["a1"]
    answer.state, answer.reference = "streaming", None


def _leave_a_client_waiting(world: World) -> None:
    world.view.answers["a1"].state = None


def _hide_a_reply(world: World) -> None:
    del world.view.answers["a1"]


def _tell_another_reference(world: World) -> None:
    world.view.answers["a1"].reference = "E-2"


def _lose_a_row(world: World) -> None:
    world.truth.failures.clear()


def _lose_a_line(world: World) -> None:
    world.truth.lines.clear()


def _write_a_line_twice(world: World) -> None:
    world.truth.lines.append(world.truth.lines[0])


def _tell_nobody(world: World) -> None:
    world.ledger.told.clear()


def _record_a_failure_for_a_reply_that_ended_well(world: World) -> None:
    world.truth.lines.append(replace(world.truth.lines[0], reference="E-3"))
    world.truth.failures.append(replace(world.truth.failures[0], reference="E-3"))


def _store_what_was_refused(world: World) -> None:
    said = world.ledger.said["r2"]
    said.acks.clear()
    said.is_refused = True


@pytest.mark.parametrize(
    ("damage", "number"),
    [
        (_lose_a_message, "lost"),
        (_store_it_otherwise, "lost"),
        (_forget_a_line, "lost"),
        (_store_it_twice, "duplicated"),
        (_show_it_twice, "duplicated"),
        (_leave_a_gap, "reordered"),
        (_swap_two_lines, "reordered"),
        (_never_end_a_reply, "unanswered"),
        (_leave_a_client_waiting, "unanswered"),
        (_hide_a_reply, "unanswered"),
        (_tell_another_reference, "failures_untold"),
        (_lose_a_row, "failures_untold"),
        (_lose_a_line, "failures_untold"),
        (_write_a_line_twice, "failures_untold"),
        (_tell_nobody, "failures_untold"),
        (_record_a_failure_for_a_reply_that_ended_well, "failures_untold"),
        (_store_what_was_refused, "failures_untold"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else value,
)
def test_damage_is_counted(world: World, damage: Callable[[World], Any], number: str) -> None:
    damage(world)
    found = world.judge()
    assert found.count(number) >= 1, found.findings


def test_a_killed_process_takes_its_last_rows_and_lines_with_it(world: World) -> None:
    life = replace(LIFE, ended_at=NOW + 1, is_killed=True)
    world.truth.lines[0] = replace(world.truth.lines[0], life=life)
    world.truth.failures.clear()
    assert world.judge().findings == []
    world.truth.lines[0] = replace(world.truth.lines[0], life=replace(life, is_killed=False))
    assert world.judge().count("failures_untold") == 1
