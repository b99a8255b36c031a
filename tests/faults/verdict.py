"""The verdict of a soak: the database, the logs, the HTTP history and every client's view against each other.

docs/soak.md has the definitions in words; a finding names the number it counts for and says what is wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.conversation import Conversation
from tests.faults.device import Device
from tests.faults.ledger import Ledger
from tests.faults.person import Person
from tests.faults.truth import LoggedFailure, StoredMessage, Truth

NUMBERS = ("lost", "duplicated", "reordered", "unanswered", "failures_untold")

KILLED_ROWS_S = 15.0  # a killed process takes rows with it: 0.2 s of lingering, and those that waited for their frame
KILLED_LINES_S = 2.0  # and lines that its log's thread had not written
UNREAD_S = 15.0  # above the client's time limit for a handshake
HTTP_S = 25.0  # above the client's time limit for an answer
READ_S = 2.0  # a connection that lives so long after its failure has read the frame

Finding = tuple[str, str]


@dataclass(slots=True)
class Verdict:
    acked: int
    faults: int
    findings: list[Finding] = field(default_factory=list)

    def count(self, number: str) -> int:
        return sum(name == number for name, _ in self.findings)

    @property
    def is_clean(self) -> bool:
        return not self.findings

    def as_line(self) -> dict[str, int]:
        """The closing line of `make soak`."""
        return {"acked": self.acked} | {name: self.count(name) for name in NUMBERS} | {"faults": self.faults}


def judge(
    truth: Truth, ledger: Ledger, people: list[Person], histories: dict[str, Conversation], faults: int
) -> Verdict:
    """Compare everything; `histories` are the sessions as HTTP and a fresh client tell them, by a name for each."""
    findings = list(dict.fromkeys(ledger.strikes))
    findings += _stored(truth, ledger)
    findings += _numbers(truth)
    for person in people:
        for device in person.devices:
            for session_id in _sessions_of(person, truth):
                view = device.conversations.get(session_id, Conversation(session_id))
                findings += _view(truth, session_id, view, device.name)
            findings += _order(device)
    for name, view in histories.items():
        findings += _view(truth, view.session_id, view, name)
    findings += [
        ("unanswered", f"reply {reply.reply_id} never ended")
        for reply in truth.replies
        if reply.state in ("pending", "streaming")
    ]
    findings += _failures(truth, ledger, people)
    return Verdict(ledger.acked, faults, findings)


def _sessions_of(person: Person, truth: Truth) -> list[str]:
    return [session_id for session_id, owner in truth.owners.items() if owner == person.name]


def _stored(truth: Truth, ledger: Ledger) -> Iterator[Finding]:
    """Acked is stored, exactly once, as it was acked; refused is not stored."""
    by_ref: defaultdict[str, list[StoredMessage]] = defaultdict(list)
    for message in truth.messages:
        if message.client_ref:
            by_ref[message.client_ref].append(message)
    for ref, said in ledger.said.items():
        stored = by_ref.get(ref, [])
        if len(stored) > 1:
            yield "duplicated", f"{ref} is stored {len(stored)} times"
        for session_id, seq, message_id in said.acks:
            if not any((row.session_id, row.seq, row.message_id) == (session_id, seq, message_id) for row in stored):
                yield "lost", f"{ref} was acknowledged as seq {seq} of {session_id}, and is not stored so"
        if any(row.content != said.frame["content"] for row in stored):
            yield "lost", f"{ref} is stored with another text"
        if said.is_refused and not said.may_be_stored and stored:
            yield "failures_untold", f"{ref} was refused as not stored, and is stored"
    for ref, count in Counter(ref for ref in by_ref if ref not in ledger.said).items():
        yield "duplicated", f"{ref} is stored {count} times and was never said"


def _numbers(truth: Truth) -> Iterator[Finding]:
    """`seq` has no gaps, and the session knows its top."""
    seqs: defaultdict[str, list[int]] = defaultdict(list)
    for message in truth.messages:
        seqs[message.session_id].append(message.seq)
    for session_id, last_seq in truth.last_seq.items():
        if sorted(seqs[session_id]) != list(range(1, last_seq + 1)):
            yield (
                "reordered",
                f"session {session_id} stores up to {last_seq}, with gaps or twice: {len(seqs[session_id])} messages",
            )


def _view(truth: Truth, session_id: str, view: Conversation, who: str) -> Iterator[Finding]:
    """A client's view of a session is the session."""
    stored = {message.seq: message for message in truth.messages if message.session_id == session_id}
    for seq, message in stored.items():
        line = view.lines.get(seq)
        if line is None:
            name = message.client_ref or message.message_id
            yield "lost", f"{who} does not show seq {seq} of {session_id} ({message.sender} {name})"
        elif (line.message_id, line.sender, line.content) != (message.message_id, message.sender, message.content):
            yield "reordered", f"{who} shows another message or text at seq {seq} of {session_id}"
    for seq in view.lines.keys() - stored.keys():
        yield "duplicated", f"{who} shows seq {seq} of {session_id}, which is not stored"
    refs = Counter(line.client_ref for line in view.lines.values() if line.client_ref)
    yield from (("duplicated", f"{who} shows {ref} {count} times") for ref, count in refs.items() if count > 1)
    latest = {reply.message_id: reply for reply in sorted(truth.replies, key=lambda reply: reply.attempt)}
    for reply in truth.replies:
        if reply.session_id != session_id:
            continue
        shown = view.answers.get(reply.reply_id)
        if shown is None:
            if latest[reply.message_id] is reply:
                yield "unanswered", f"{who} knows nothing of reply {reply.reply_id} ({reply.state})"
        elif shown.state is None:
            yield (
                "unanswered",
                f"{who} still waits for reply {reply.reply_id}, which ended {reply.state} {reply.reference or ''}",
            )
        elif shown.state != "superseded" and (shown.state, shown.reference) != (reply.state, reply.reference):
            yield (
                "failures_untold",
                (
                    f"{who} was told that reply {reply.reply_id} ended {shown.state} {shown.reference}, "
                    f"stored is {reply.state} {reply.reference}"
                ),
            )


def _order(device: Device) -> Iterator[Finding]:
    """What one connection sent to one session one after another got its numbers in that order."""
    for link in device.links:
        by_session: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        times = Counter(link.sent)  # what was refused and sent again took its number later
        for session_id, ref in link.sent:
            if ref in link.first_acked and times[session_id, ref] == 1:
                by_session[session_id].append((link.first_acked[ref], ref))
        for numbered in by_session.values():
            for (seq, ref), (later_seq, later_ref) in pairwise(numbered):
                if seq > later_seq:
                    yield (
                        "reordered",
                        f"{ref} was sent before {later_ref} on {link.id}, and has seq {seq} > {later_seq}",
                    )


def _failures(truth: Truth, ledger: Ledger, people: list[Person]) -> Iterator[Finding]:
    """I4: lines = rows = distinct references, and each was told wherever somebody was left to tell."""
    kills = [
        life.ended_at or 0.0 for life in {id(line.life): line.life for line in truth.lines}.values() if life.is_killed
    ]
    lines = {line.reference: line for line in truth.lines}
    rows = {row.reference: row for row in truth.failures}
    for reference, count in Counter(line.reference for line in truth.lines).items():
        if count > 1:
            yield "failures_untold", f"{reference} has {count} ERROR lines"
    for line in unrecorded(truth):
        yield "failures_untold", f"{line.reference} ({line.code}, {line.stage}) has a line and no row"
    for reference, row in rows.items():
        if reference not in lines and not _is_near(row.at, kills, KILLED_LINES_S):
            yield "failures_untold", f"{reference} ({row.code}, {row.stage}) has a row and no line"
    for reference, at in ledger.told.items():
        if reference not in lines and not _is_near(at, kills, KILLED_LINES_S):
            yield "failures_untold", f"{reference} was told and has no line"
    yield from _untold(truth, ledger, people, lines)


def unrecorded(truth: Truth) -> list[LoggedFailure]:
    """The lines of failures that have no row, unless their process was killed with it in its hands."""
    stored = {row.reference for row in truth.failures}
    lines = {line.reference: line for line in truth.lines}
    return [
        line for reference, line in lines.items() if reference not in stored and not _died_within(line, KILLED_ROWS_S)
    ]


def _untold(truth: Truth, ledger: Ledger, people: list[Person], lines: dict[str, LoggedFailure]) -> Iterator[Finding]:
    links = {link.id: link for person in people for device in person.devices for link in device.links if link.id}
    ends = {reply.reference: reply for reply in truth.replies if reply.reference}
    for reference, line in lines.items():
        what = f"{reference} ({line.code}, {line.stage})"
        if line.stage == "reply":
            if reference in ends:
                if reference not in ledger.told:
                    yield "failures_untold", f"{what} is a reply's end and was shown to no client"
            elif not _died_within(line, KILLED_ROWS_S):
                yield "failures_untold", f"{what} is recorded for reply {line.reply_id}, which ended otherwise"
        elif line.stage == "http":
            is_read = not _is_near(line.at, ledger.unread_answers, HTTP_S)
            if reference not in ledger.told and is_read and not _died_within(line, READ_S):
                yield "failures_untold", f"{what} was told in no answer"
        elif line.connection_id in links:
            link = links[line.connection_id]
            lived_s = (link.closed_at or float("inf")) - line.at
            if reference not in link.told and lived_s > READ_S and not _died_within(line, READ_S):
                yield "failures_untold", f"{what} was not told on its connection {link.owner} {link.id}"
    for row in truth.failures:
        is_untold = row.stage == "connect" and row.deliveries and row.reference not in ledger.told
        if is_untold and not _is_near(row.at, ledger.unread_connects, UNREAD_S):
            yield "failures_untold", f"{row.reference} ({row.code}, connect) was shown to no client"


def _died_within(line: LoggedFailure, seconds: float) -> bool:
    """Whether the process that wrote the line was killed soon after."""
    return line.life.is_killed and (line.life.ended_at or 0.0) - line.at < seconds


def _is_near(at: float, moments: list[float], seconds: float) -> bool:
    """Whether one of the moments is within so many seconds after `at`."""
    return any(-1.0 < moment - at < seconds for moment in moments)
