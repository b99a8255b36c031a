"""`make smoke`: a real server, a real conversation, every `/fault`, and the record of each failure as staff find it.

Starts daphne on a free port with a database file of its own, and ends and removes both. Prints the transcript as it
goes, then one JSON line; exits 1 on any surprise. Run alone as `python -m tests.smoke`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback

from tests import smoke_faults
from tests.services.client import SiteClient
from tests.services.databases import PEOPLE, STAFF, MigratedDatabases
from tests.services.server import DaphneServer
from tests.smoke_transcript import Transcript
from tests.smoke_visitor import Visitor

LIMIT_S = 180.0  # four times what it takes; a run that hangs must end
FIRST_MESSAGE = "Hello, what can you tell me about errors?"


def main() -> int:
    """Run the whole of it; the exit code for the shell."""
    os.environ["TEST_DATABASE"] = "sqlite"
    transcript = Transcript()
    databases = MigratedDatabases()
    try:
        transcript.part("A server of its own: database, accounts, daphne")
        with DaphneServer(databases.create()) as server:
            try:
                asyncio.run(_visit(server, transcript))
            except Exception as exc:
                traceback.print_exc(file=sys.stdout)
                print(f"\nthe server's last words:\n{server.output()[-3_000:]}")
                transcript.surprise(f"the run broke off: {type(exc).__name__}: {exc}"[:1_000])
    except Exception as exc:
        transcript.surprise(f"{type(exc).__name__}: {exc}")
    finally:
        databases.close()
    return transcript.finish()


async def _visit(server: DaphneServer, transcript: Transcript) -> None:
    async with asyncio.timeout(LIMIT_S):
        await _ask_health(server, transcript)
        transcript.part("Signing in")
        site = await asyncio.to_thread(server.sign_in, PEOPLE[0])
        staff = await asyncio.to_thread(server.sign_in, STAFF[0])
        cookies = ["sessionid=" in client.cookies for client in (site, staff)]
        transcript.check(f"{PEOPLE[0]} and {STAFF[0]} have a login session", all(cookies))
        visitor = Visitor(site, transcript)
        try:
            await _talk(visitor)
            await smoke_faults.visit_all(visitor, staff)
            await _look_back(visitor)
            await _say_goodbye(server, visitor)
        finally:
            await visitor.leave()
        _read_log(server, transcript)


async def _ask_health(server: DaphneServer, transcript: Transcript) -> None:
    transcript.part(f"Health of {server.url}")
    stranger = SiteClient(server.url)
    found = await asyncio.to_thread(stranger.get_json, "/chat/healthz")
    transcript.check("healthz", found, (200, {"status": "healthy"}))
    status, body = await asyncio.to_thread(stranger.get_json, "/chat/readyz")
    words = sorted(set(body["checks"].values()))
    transcript.check("readyz", (status, body["status"], words), (200, "ready", ["ok"]))
    status, body = await asyncio.to_thread(stranger.get_json, "/chat/sessions")
    transcript.check("sessions need a sign-in", (status, body.get("code")), (401, "UNAUTHORIZED"))


async def _talk(visitor: Visitor) -> None:
    """Two questions, with the answers streaming."""
    transcript = visitor.transcript
    transcript.part("A conversation")
    status = await visitor.connect()
    transcript.check("nothing was said here before", status["session_id"], None)
    transcript.check("there is a choice of models", len(status["models"]) > 1)
    for number, content in enumerate((FIRST_MESSAGE, "And how do I deploy this?")):
        ack = await visitor.say(content)
        transcript.check("numbered in order", (ack["seq"], ack["duplicate"]), (2 * number + 1, False))
        await visitor.expect("loading", reply_id=ack["reply_id"], in_reply_to=ack["message_id"])
        text, frame = await visitor.read_reply(ack["reply_id"])
        transcript.check("the answer is whole", (frame["type"], frame.get("state")), ("ai_response", "complete"))
        transcript.check("and has the length it says", frame.get("content_length"), len(text))
    transcript.check("no error came", await visitor.unread_errors(), [])


async def _look_back(visitor: Visitor) -> None:
    """What a second device reads over the socket is what a reload reads over HTTP."""
    transcript = visitor.transcript
    transcript.part("A second device, and a reload")
    second = Visitor(visitor.site, transcript)
    try:
        status = await second.connect()
        transcript.check("the most recent session is offered", status["session_id"], visitor.session_id)
        await second.send("resume", session_id=visitor.session_id, last_seq=0)
        resumed = await second.expect("resumed")
        replayed = [frame for frame in second.socket.frames if "seq" in frame]
    finally:
        await second.leave()
    seqs = [frame["seq"] for frame in replayed]
    transcript.check("every message, in order, no gap", seqs, list(range(1, visitor.last_seq + 1)))
    transcript.check(
        "resume says so", (resumed["to"], resumed["top"], resumed["recovered"]), (seqs[-1], seqs[-1], True)
    )
    address = f"/chat/sessions/{visitor.session_id}?limit=100"
    status, body = await asyncio.to_thread(visitor.site.get_json, address)
    transcript.check("HTTP knows the session", (status, body["session"]["title"]), (200, FIRST_MESSAGE))
    by_seq = {message["seq"]: message for message in body["messages"]}
    same = [frame["content"] == by_seq[frame["seq"]]["content"] for frame in replayed if frame["seq"] in by_seq]
    transcript.check("and the same words", bool(same) and all(same))


async def _say_goodbye(server: DaphneServer, visitor: Visitor) -> None:
    """SIGTERM: everybody is told, sockets close with 4000, the process ends by itself."""
    transcript = visitor.transcript
    transcript.part("SIGTERM")
    ending = asyncio.create_task(asyncio.to_thread(server.terminate))
    goodbye = await visitor.expect("goodbye")
    transcript.check("goodbye says when to come back", goodbye["reconnect_in"] > 0)
    transcript.check("the socket closes with", await visitor.socket.closed(), 4000)
    transcript.check("the server exits with", await ending, 0)


def _read_log(server: DaphneServer, transcript: Transcript) -> None:
    """As many ERROR lines as references were told, each of them once, and nothing else went wrong."""
    transcript.part("The server's log")
    told = sorted(fault["reference"] for fault in transcript.faults.values() if "reference" in fault)
    lines = server.log_lines(event="chat.routing_failed", level="error")
    transcript.check("one ERROR line for each reference told", sorted(line["reference"] for line in lines), told)
    others = [line["event"] for line in server.log_lines(level="error") if line["event"] != "chat.routing_failed"]
    transcript.check("no other ERROR line", others, [])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server is ended then, too
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
