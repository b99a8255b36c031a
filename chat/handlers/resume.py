"""`resume`: a page of what the client missed, then `resumed`, then the replies that are running."""

from __future__ import annotations

from dataclasses import dataclass

from chat import conf, frames, protocol, sessions
from chat.connection import Connection


@dataclass(frozen=True, slots=True)
class Missed:
    messages: list[sessions.MessageFacts]
    running: list[sessions.ReplyFacts]
    top: int
    recovered: bool


async def handle(connection: Connection, message: protocol.Resume) -> None:
    runtime = connection.runtime
    session_id, last_seq = str(message.session_id), message.last_seq
    missed = await runtime.threads.run(_read, session_id, connection.user_id, last_seq)
    for stored in missed.messages:
        for frame in frames.replayed(stored):
            connection.push(frame)
    reached = missed.messages[-1].seq if missed.messages else missed.top
    connection.respond(
        protocol.Resumed(session_id=session_id, from_=last_seq, to=reached, top=missed.top, recovered=missed.recovered)
    )
    for frame in runtime.replies.frames_so_far(session_id):
        connection.push(frame)
    for reply in missed.running:
        if not runtime.replies.is_local(reply.reply_id):
            for frame in frames.running(session_id, reply):
                connection.push(frame)


def _read(session_id: str, user_id: str, last_seq: int) -> Missed:
    settings = conf.chat()
    session = sessions.owned(session_id, user_id)
    # A client that is ahead of us, or too far behind, starts from the newest page.
    recovered = 0 <= session.last_seq - last_seq <= settings.resume_limit
    after = last_seq if recovered else max(0, session.last_seq - settings.resume_page)
    return Missed(
        messages=sessions.missed(session, after=after, limit=settings.resume_page),
        running=sessions.running_replies(session),
        top=session.last_seq,
        recovered=recovered,
    )
