"""One soak: people talk while faults are injected, then everything is healed and compared. `run` is for tests too."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.faults import history, truth, verdict
from tests.faults.conversation import Conversation
from tests.faults.deployment import Deployment, on_thread
from tests.faults.device import Device
from tests.faults.habits import Mood, live
from tests.faults.injections import FAULT, FAULTS, Fault
from tests.faults.ledger import Ledger, Said
from tests.faults.person import Person
from tests.faults.scene import Scene
from tests.services.databases import PEOPLE, STAFF
from tests.waiting import until

DEVICES = 2  # of each person
RATE = 2.5  # things that one device does in a second
SETTLE_S = 30.0  # seconds for the clients to catch up, and for replies of dead processes to be ended
PROGRESS_S = 5.0

Report = Callable[[str], None]


@dataclass(slots=True)
class Soak:
    """The state of one run.

    Attributes:
        recoveries: For each fault, the seconds from its healing to the first `ack` after it, in order.
    """

    deployment: Deployment
    ledger: Ledger
    rng: random.Random
    report: Report
    scale: float = 1.0
    plan: tuple[
        str, ...
    ] = ()  # names of faults, for a run that does these and ends; empty: by chance, until the time is up
    tag: str = ""
    people: list[Person] = field(default_factory=list)
    stranger: Person | None = None
    mood: Mood = field(default_factory=Mood)
    fault: str = "none"
    faults: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    closed: dict[str, Counter[int]] = field(default_factory=dict)  # by faults that should close none: codes

    async def run(self, seconds: float) -> verdict.Verdict:
        """Talk and break things for so long, heal, compare."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))  # for requests to a server that hangs
        await self._invite()
        tasks = [asyncio.create_task(device.run()) for device in self._devices()]
        try:
            await self._prepare()
            habits = [asyncio.create_task(live(device, self.mood, RATE)) for device in self._devices()]
            tasks += [*habits, asyncio.create_task(self._show_progress())]
            await self._break_things(time.time() + seconds)
            self.mood.is_active = False
            self.fault = "none, settling"
            for task in habits:
                task.cancel()
            await self._settle()
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result()  # a defect of the soak itself: no verdict
            return await self._judge()
        finally:
            for device in self._devices():
                await device.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.ledger.flush()

    def _devices(self) -> list[Device]:
        return [device for person in self.people for device in person.devices]

    async def _invite(self) -> None:
        for name in (*PEOPLE, *STAFF):
            person = Person(name, await on_thread(self.deployment.sign_in, name), self.tag)
            if name == "mallory":
                self.stranger = person
                continue
            self.people.append(person)
            self.mood.people.append(person)
            for number in range(DEVICES):
                Device(person, number + 1, self.deployment, self.ledger, random.Random(self.rng.getrandbits(32)))

    async def _prepare(self) -> None:
        """Everybody opens one conversation with the assistant and one without."""
        for person in self.people:
            first = [
                person.devices[0].say(None, f"hello from {person.name}"),
                person.devices[0].say(None, "a place without an assistant"),
            ]
            for said in first:
                for device in person.devices:
                    device.adopt(said)  # the same first message from both devices opens one session
            await until(partial(_are_acked, first), "the first messages are acknowledged", 20)
            ((quiet, *_),) = first[1].acks
            await on_thread(truth.switch_assistant_off, self.deployment, quiet)
            person.sessions[quiet] = False
        assert self.stranger is not None

    # --- Faults ---

    async def _break_things(self, deadline: float) -> None:
        scene = Scene(self.deployment, self.people, self.stranger, self.ledger, self.mood, self.rng, self.scale)  # type: ignore[arg-type]
        for names in self.plan:
            await asyncio.sleep(0.5)
            await self._break([FAULT[name] for name in names.split(" + ")], scene)
        bag: list[Fault] = []
        while not self.plan:
            await asyncio.sleep(self.rng.uniform(1.0, 3.0) * self.scale)
            if time.time() >= deadline:
                return
            if not bag:
                bag = [fault for fault in FAULTS if fault.fits(self.deployment)]
                self.rng.shuffle(bag)
            chosen = [bag.pop()]
            beside = [fault for fault in bag if fault.is_of_clients]
            if not chosen[0].is_of_clients and beside and self.rng.random() < 0.5:
                bag.remove(beside[0])
                chosen.append(beside[0])
            await self._break(chosen, scene)

    async def _break(self, chosen: list[Fault], scene: Scene) -> None:
        name = self.fault = " + ".join(fault.name for fault in chosen)
        self.ledger.add("fault", name=name)
        began = time.time()
        await asyncio.gather(*(fault.run(scene) for fault in chosen))
        await on_thread(self.deployment.restart_dead)
        healed_at = time.time()
        self.ledger.add("healed", name=name)
        self.faults.update(fault.name for fault in chosen)
        try:
            await until(lambda: self.ledger.last_ack_at > healed_at, "an ack after healing", 20 + 5 * self.scale)
        except TimeoutError:
            self.ledger.strike("unanswered", f"no ack within 20 s after {name}")
            return
        recovery_s = self.ledger.last_ack_at - healed_at
        self.recoveries.setdefault(name, []).append(recovery_s)
        self.ledger.add("recovered", name=name, seconds=round(recovery_s, 3))
        closed = self._closed_since(began)
        if closed and not any(fault.may_close for fault in chosen):
            self.closed.setdefault(name, Counter()).update(closed)
        codes = ", ".join(f"{count} with {code}" for code, count in closed.items()) or "none"
        self.report(
            f"{name}: lasted {healed_at - began:.1f} s, first ack {recovery_s:.2f} s after, sockets closed: {codes}"
        )
        self.fault = "none"

    def _closed_since(self, began: float) -> Counter[int]:
        """Open sockets that the clients did not close themselves, by close code (1006: broken off)."""
        links = [link for device in self._devices() for link in device.links]
        return Counter(
            link.close_code or 1006
            for link in links
            if link.id and link.closed_at and link.closed_at >= began and not link.is_ours
        )

    async def _show_progress(self) -> None:
        began = time.time()
        while True:
            await asyncio.sleep(PROGRESS_S)
            waiting = sum(len(device.outbox) for device in self._devices())
            connected = sum(device.is_connected for device in self._devices())
            self.report(
                f"{time.time() - began:5.0f} s  acked {self.ledger.acked}, waiting {waiting}, connected "
                f"{connected}/{len(self._devices())}, errors told {len(self.ledger.told)}, strikes "
                f"{len(self.ledger.strikes)}, faults {sum(self.faults.values())}; now: {self.fault}"
            )
            self.ledger.flush()

    # --- The end ---

    async def _settle(self) -> None:
        """Wait until the clients have what the database has; what they lack then, the verdict counts."""
        deadline = time.time() + SETTLE_S
        while time.time() < deadline:
            if not any(device.outbox for device in self._devices()) and await on_thread(self._are_settled):
                await self._await_rows(deadline)
                return
            await asyncio.sleep(0.3)
        self.report("not settled in time: what is missing will be counted")

    async def _await_rows(self, deadline: float) -> None:
        """Rows and log lines are written in batches, and a row that the database did not take is tried again."""
        while time.time() < deadline:
            await asyncio.sleep(1.0)
            if not verdict.unrecorded(await on_thread(truth.read, self.deployment)):
                return

    def _are_settled(self) -> bool:
        if not truth.are_replies_over(self.deployment):
            return False
        tops = truth.tops(self.deployment)
        for device in self._devices():
            for session_id in device.person.sessions:
                view = device.conversations.get(session_id)
                if view is None or view.reached < tops[session_id]:
                    return False
                if any(answer.state is None for answer in view.answers.values()):
                    return False
        return True

    async def _judge(self) -> verdict.Verdict:
        histories: dict[str, Conversation] = {}
        for person in self.people:
            for session_id in person.sessions:
                told = Conversation(session_id)
                for frame in await on_thread(history.replays, person.site, session_id):
                    told.apply(frame)
                histories[f"HTTP history of {person.name}, {session_id}"] = told
        found = await on_thread(truth.read, self.deployment)
        for text, times in found.other_errors.most_common(20):
            self.report(f"in the servers' logs, {times} times: {text}")
        return verdict.judge(found, self.ledger, self.people, histories, sum(self.faults.values()))


def _are_acked(messages: list[Said]) -> bool:
    return all(said.is_acked for said in messages)


def run(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    database: str,
    processes: int,
    has_redis: bool,
    scale: float = 1.0,
    plan: tuple[str, ...] = (),
    variables: dict[str, str] | None = None,
    report: Report = lambda text: None,
) -> tuple[verdict.Verdict, Soak]:
    """Run one soak in `folder`, where `events.jsonl` and the servers' logs stay."""
    ledger = Ledger(folder / "events.jsonl")
    try:
        with Deployment(
            folder, database=database, processes=processes, has_redis=has_redis, variables=variables
        ) as deployment:
            soak = Soak(deployment, ledger, random.Random(seed), report, scale, plan)
            return asyncio.run(soak.run(seconds)), soak
    finally:
        ledger.close()
