"""What people in a soak do: they talk, stop, retry, type, make mistakes, and send things twice."""

from __future__ import annotations

import asyncio
import http.client
import random
import time
from collections.abc import Awaitable, Callable

from tests.faults.device import Device
from tests.faults.ledger import Said
from tests.faults.person import Person
from tests.faults.provider import FAULT_COMMANDS, HTTP_MODEL, SCENARIOS

MAX_WAITING = 6  # messages in an outbox; then a person waits
MAX_SESSIONS = 6  # of one person
TEXT = "the answer to a message that nobody lost is 42, née à Zürich 😀 <b>&amp;</b> 'quoted' next"
WORDS = [*TEXT.split(), "\n"]


class Mood:
    """What the schedule changes for a while; times are those until which it holds."""

    def __init__(self) -> None:
        self.is_active = True  # off: nothing new is said
        self.duplicates_until = 0.0
        self.bad_provider_until = 0.0
        self.people: list[Person] = []

    def is_on(self, until: float) -> bool:
        return time.time() < until


async def live(device: Device, mood: Mood, rate: float) -> None:
    """Do something now and then, `rate` times a second, until cancelled."""
    rng = device.rng
    while True:
        await asyncio.sleep(rng.expovariate(rate))
        if not mood.is_active:
            continue
        (habit,) = rng.choices(list(HABITS), weights=list(HABITS.values()))
        await habit(device, mood)


async def talk(device: Device, mood: Mood) -> None:
    """Say something where no assistant listens."""
    await _say(device, mood, _session(device, is_answered=False))


async def ask_assistant(device: Device, mood: Mood) -> None:
    if mood.is_on(mood.bad_provider_until) and device.rng.random() < 0.7:
        await _ask_for_trouble(device)
    else:
        await _say(device, mood, _session(device, is_answered=True))


async def open_session(device: Device, mood: Mood) -> None:
    opening = any(
        "session_id" not in waiting.said.frame for each in device.person.devices for waiting in each.outbox.values()
    )
    if not opening and len(device.person.sessions) < MAX_SESSIONS:
        said = await _say(device, mood, None)
        if said is not None:  # the same first message from another device opens no second session
            for other in device.person.devices:
                other.adopt(said)


async def say_again(device: Device, mood: Mood) -> None:
    """Send an old message once more, as a client does that missed its `ack`."""
    mine = [said for said in device.ledger.said.values() if said.person == device.person.name and said.is_acked]
    if mine:
        device.adopt(device.rng.choice(mine[-50:]))


async def ping(device: Device, mood: Mood) -> None:
    await device.ask(type="ping", ref=device.new_ref("p"))


async def type_(device: Device, mood: Mood) -> None:
    if (session_id := _session(device, is_answered=True)) is not None:
        await device.ask(type="typing_indicator", session_id=session_id)


async def stop(device: Device, mood: Mood) -> None:
    running = [
        answer.reply_id
        for each in device.conversations.values()
        for answer in each.answers.values()
        if answer.state is None
    ]
    if running:
        await device.ask(type="stop", ref=device.new_ref("s"), reply_id=device.rng.choice(running))


async def retry(device: Device, mood: Mood) -> None:
    over = [
        answer.in_reply_to
        for each in device.conversations.values()
        for answer in each.answers.values()
        if answer.state in ("failed", "partial")
    ]
    if over:
        mode = {"metadata": {"mode": "continue"}} if device.rng.random() < 0.5 else {}
        await device.ask(type="retry", ref=device.new_ref("t"), message_id=device.rng.choice(over[-5:]), **mode)


async def choose_model(device: Device, mood: Mood) -> None:
    if (session_id := _session(device, is_answered=True)) is not None:
        await device.ask(
            type="model_select",
            ref=device.new_ref("o"),
            session_id=session_id,
            model_id=device.rng.choice(["demo", "demo-brief"]),
        )


async def make_a_mistake(device: Device, mood: Mood) -> None:
    ref = device.new_ref("x")
    session_id = _session(device, is_answered=True) or "none"
    theirs = [key for person in mood.people if person is not device.person for key in person.sessions] or ["none"]
    foreign = device.rng.choice(theirs)
    mistakes = [
        {"type": "nonsense", "ref": ref},
        {"type": "user_message", "ref": ref, "session_id": session_id, "content": ""},
        {"type": "user_message", "ref": ref, "session_id": foreign, "content": "is this mine?"},
        {"type": "resume", "ref": ref, "session_id": foreign, "last_seq": 0},
        {"type": "user_message", "ref": ref, "session_id": session_id, "content": "x" * 10_001},
        {"type": "resume", "ref": ref, "session_id": session_id},
    ]
    await device.ask(**device.rng.choice(mistakes))


async def reload(device: Device, mood: Mood) -> None:
    """The page is loaded again: what waits is sent again, what was seen is asked for from the beginning."""
    if device.is_connected:
        device.reload()


async def read_history(device: Device, mood: Mood) -> None:
    """Look at a session over HTTP; what goes wrong there has a reference, too."""
    if (session_id := _session(device, is_answered=True)) is None:
        return
    try:
        status, body = await asyncio.to_thread(device.person.site.get_json, f"/chat/sessions/{session_id}")
    except (OSError, AssertionError, http.client.HTTPException):
        device.ledger.unread_answers.append(time.time())
        return
    if status != 200 and "reference" in body:
        device.ledger.see_reference(body, device.name)


HABITS: dict[Callable[[Device, Mood], Awaitable[object]], int] = {
    talk: 50,
    ask_assistant: 14,
    open_session: 1,
    say_again: 5,
    ping: 6,
    type_: 4,
    stop: 3,
    retry: 4,
    choose_model: 2,
    make_a_mistake: 3,
    reload: 1,
    read_history: 2,
}


async def _say(device: Device, mood: Mood, session_id: str | None) -> Said | None:
    if len(device.outbox) >= MAX_WAITING or (
        session_id is None and device.person.sessions and len(device.person.sessions) >= MAX_SESSIONS
    ):
        return None
    said = device.say(session_id, _text(device.rng))
    if mood.is_on(mood.duplicates_until):
        for other in device.person.devices:
            other.adopt(said)
        if device.is_connected:
            said.may_be_stored = True
            await device.ask(**said.frame)
    return said


async def _ask_for_trouble(device: Device) -> None:
    session_id = _session(device, is_answered=True)
    if session_id is None or len(device.outbox) >= MAX_WAITING:
        return
    if device.rng.random() < 0.5:
        device.say(session_id, f"/fault {device.rng.choice(FAULT_COMMANDS)}", "demo")
    else:
        device.say(session_id, f"{device.rng.choice(SCENARIOS)} #{device.new_ref('c')}", HTTP_MODEL)


def _session(device: Device, *, is_answered: bool) -> str | None:
    fitting = [session_id for session_id, answered in device.person.sessions.items() if answered is is_answered]
    return device.rng.choice(fitting) if fitting else None


def _text(rng: random.Random) -> str:
    length = min(1_500, int(rng.paretovariate(1.2) * 3))
    return f"{rng.getrandbits(64):x} " + " ".join(rng.choices(WORDS, k=length))
