"""`resume`: a page of what the client missed, then `resumed`, then the replies of which no number tells.

The connection is registered before the page is read, so nothing falls in between; live frames wait until the page is
sent. A page is as long as the outbox has room for. The client asks for the next one; if it does not, repair sends it.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat import conf, missed, protocol, repair, sessions
from chat.connection import Connection
from chat.missed import Missed


@dataclass(frozen=True, slots=True)
class Page:
    after: int
    found: Missed
    recovered: bool


async def handle(connection: Connection, message: protocol.Resume) -> None:
    session_id, last_seq = str(message.session_id), message.last_seq
    with connection.resuming(session_id, last_seq) as progress:
        page = await connection.runtime.threads.run(_read, session_id, connection.user_id, last_seq)
        progress.resume(page.after)
        repair.send_rows(progress, repair.encoded_rows(page.found), connection.outbox)
        reached, top = progress.position or 0, page.found.top
        connection.respond(
            protocol.Resumed(session_id=session_id, from_=last_seq, to=reached, top=top, recovered=page.recovered)
        )
        progress.note_top(top)
        if reached >= top:
            connection.runtime.repairs.show_replies(connection, progress, page.found)


def _read(session_id: str, user_id: str, last_seq: int) -> Page:
    settings = conf.chat()
    top = sessions.owned(session_id, user_id).last_seq
    # A client that is ahead of us, or too far behind, starts from the newest page.
    recovered = 0 <= top - last_seq <= settings.resume_limit
    after = last_seq if recovered else max(0, top - settings.resume_page)
    found = missed.read(
        session_id,
        after=after,
        limit=settings.resume_page,
        max_chars=settings.outbox_chars // 2,
        with_silent=True,
    )
    return Page(after, found or Missed(session_id, [], top, {}), recovered)
