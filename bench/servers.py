"""The servers that are measured: real daphne processes with the same flags, pinned to the server's core."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.databases import ROOT, SECRET_KEY, Databases, Filled, Person
from bench.load import Answers, Fleet, Socket
from bench.wire import Template
from chat.conf import ChatSettings
from tests.environment import clean
from tests.services.process import OwnedProcess, find_free_port, wait_until
from tests.services.redis import RedisServer

CONTENT = "What would a person write here? About as much as this, I think: one sentence, or two short ones."
START_TIMEOUT_S = 30.0

# The same as in deploy/daphne.sh, which starts ours.
FLAGS = (
    "--websocket_timeout -1 --websocket_connect_timeout 10 --ping-interval 20 --ping-timeout 30 -v 0 --no-server-name"
)

_HIGH = "1000000000"
_LIMIT = re.compile(r"_per_(second|minute|user|address|connection)")  # settings that would stop a load client


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of server.

    Attributes:
        application: Its ASGI path; empty: ours, started by deploy/daphne.sh.
        settings: Its Django settings; empty: it has none.
        message: What is sent to it; the session and a number are filled in.
        good: What a good answer of it begins with.
    """

    name: str
    application: str = ""
    settings: str = "config.settings"
    path: str = "/chat/ws"
    message: dict[str, object] = field(default_factory=dict)
    good: bytes = b'{"type":"ack"'
    bad: bytes = b'{"type":"error"'
    broadcast: bytes = b'{"type":"user_message"'
    has_layer: bool = False

    @property
    def is_ours(self) -> bool:
        return not self.application


_MESSAGE: dict[str, object] = {"type": "user_message", "session_id": "%SESSION%", "ref": "%REF%", "content": CONTENT}
_PLAIN = {"settings": "bench.peers.settings", "path": "/chat/%SESSION%", "has_layer": True}

OURS = Kind("switchboard", message=_MESSAGE)
RAW = Kind("(a) raw ASGI echo", "bench.peers.raw:application", "", "/", _MESSAGE, b'{"type"')
BARE = Kind("(d) bare consumer echo", "bench.peers.bare:application", "", "/", _MESSAGE, b'{"type"')
STOCK = Kind(
    "stock layer",
    "bench.peers.stock:application",
    "",
    "/",
    _MESSAGE,
    good=b'{"type": "ack"',
    broadcast=b'{"type": "message"',
    has_layer=True,
)
PLAIN = Kind(
    "plain build",
    "bench.peers.plain:application",
    message=_MESSAGE,
    good=b'{"type": "chat_message"',
    bad=b'{"type": "error"',
    **_PLAIN,  # type: ignore[arg-type]
)
CHANX = Kind(
    "chanx",
    "bench.peers.typed:application",
    message={"action": "user_message", "payload": {key: value for key, value in _MESSAGE.items() if key != "type"}},
    good=b'{"action": "chat_message"',
    bad=b'{"action": "error"',
    **_PLAIN,  # type: ignore[arg-type]
)


class Server:
    """One deployment: one process, or several over one database and one Redis."""

    def __init__(self, kind: Kind, filled: Filled | None, redis: RedisServer | None, variables: dict[str, str]) -> None:
        self.kind = kind
        self.filled = filled
        self._redis = redis
        self._variables = variables
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-bench-server-"))
        self.processes: list[OwnedProcess] = []
        self.ports: list[int] = []

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    @property
    def people(self) -> list[Person]:
        return self.filled.people if self.filled else []

    def start(self, processes: int = 1) -> None:
        self.ports = [find_free_port() for _ in range(processes)]
        for port in self.ports:
            self.processes.append(self._launch(port))
        for port, process in zip(self.ports, self.processes, strict=True):
            _wait_for(port, process)
            if not process.is_running:
                raise RuntimeError(f"{self.kind.name} does not start\n{process.last_words()}")

    def _launch(self, port: int) -> OwnedProcess:
        origins = ",".join(f"http://127.0.0.1:{port}" for port in self.ports)
        environment = environment_of(self.kind) | {
            "PORT": str(port),
            "CHAT_ALLOWED_ORIGINS": origins,
            **({"DATABASE_URL": self.filled.url} if self.filled else {}),
            **({"REDIS_URL": self._redis.url} if self._redis else {"CHAT_SINGLE_PROCESS": "true"}),
            **self._variables,
        }
        if self.kind.is_ours:
            command = [str(ROOT / "deploy" / "daphne.sh")]
        else:
            command = ["daphne", "-b", "127.0.0.1", "-p", str(port), *FLAGS.split(), self.kind.application]
        log = self._folder / f"{port}.log"
        return OwnedProcess(machine.pinned(command), log, environment=environment, folder=ROOT)

    def template(self, message: dict[str, object], person: Person | None) -> Template:
        text = json.dumps(message, ensure_ascii=False)
        return Template(text.replace("%SESSION%", person.session_id if person else "0" * 36))

    async def connect(
        self,
        count: int,
        *,
        fleet: Fleet | None = None,
        message: dict[str, object] | None = None,
        people: Sequence[Person] | None = None,
        first_port: int = 0,
    ) -> Fleet:
        """Open connections, spread over the processes: each of another person, with a session of its own.

        Args:
            message: What they send, instead of the kind's own.
            people: Who connects; once for each time it is named.
            first_port: Index of the process that the first one goes to.
        """
        fleet = fleet or Fleet(self.pids)
        chosen: Sequence[Person | None] = people or self.people[:count] or [None] * count
        answers = Answers(self.kind.good, self.kind.bad, self.kind.broadcast)
        for index, port in enumerate(self.ports):
            mine = chosen[(index - first_port) % len(self.ports) :: len(self.ports)]
            await fleet.open(port, (self._socket(message, person, answers, port) for person in mine))
        return fleet

    async def connect_to(self, fleet: Fleet, person: Person, message: dict[str, object]) -> list[Socket]:
        """One more connection of this person, at the first process."""
        have = len(fleet.sockets)
        await self.connect(1, fleet=fleet, people=[person], message=message)
        return fleet.sockets[have:]

    def _socket(
        self, message: dict[str, object] | None, person: Person | None, answers: Answers, port: int
    ) -> tuple[Template, Answers, str, str]:
        path = self.kind.path.replace("%SESSION%", person.session_id if person else "room")
        cookie = f"Cookie: sessionid={person.cookie}\r\n" if person else ""
        headers = f"Origin: http://127.0.0.1:{port}\r\n{cookie}"
        return self.template(message or self.kind.message, person), answers, path, headers

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class Servers:
    """Starts servers and ends them all: `with Servers() as servers:`."""

    def __init__(self) -> None:
        self.databases = Databases()
        self._started: list[Server] = []
        self._redis: list[RedisServer] = []

    def start(
        self,
        kind: Kind,
        database: str = "sqlite",
        *,
        processes: int = 1,
        redis: RedisServer | None = None,
        variables: dict[str, str] | None = None,
    ) -> Server:
        filled = None
        if kind.settings:
            filled = self.databases.create(database, kind.settings, environment_of(kind))
        server = Server(kind, filled, redis, variables or {})
        self._started.append(server)
        server.start(processes)
        return server

    def start_redis(self) -> RedisServer:
        redis = RedisServer()
        self._redis.append(redis)
        redis.start()
        return redis

    def stop(self) -> None:
        """End the servers; the filled databases stay for the next row."""
        for server in self._started:
            server.close()
        for redis in self._redis:
            redis.close()
        self._started.clear()
        self._redis.clear()

    def close(self) -> None:
        self.stop()
        self.databases.close()


def environment_of(kind: Kind) -> dict[str, str]:
    """The environment of a server, before its database and port are known."""
    limits = {f"CHAT_{name.upper()}": _HIGH for name in ChatSettings.__struct_fields__ if _LIMIT.search(name)}
    return clean(dict(os.environ)) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": SECRET_KEY,
        "DEBUG": "0",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": kind.settings or "bench.peers.settings",
        "CHAT_ALLOWED_ORIGINS": "http://127.0.0.1",
        "CHAT_SINGLE_PROCESS": "true",
        **({"LAYER": "1"} if kind.has_layer else {}),
        **(limits if kind.is_ours else {}),
    }


def _wait_for(port: int, process: OwnedProcess) -> None:
    wait_until(lambda: _listens(port) or not process.is_running, "daphne answers", START_TIMEOUT_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
