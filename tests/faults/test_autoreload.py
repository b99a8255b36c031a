"""The development server: a changed file starts it anew, with sockets open and an answer being written."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.services.client import SiteClient
from tests.services.databases import PASSWORD, PEOPLE, ROOT, server_environment
from tests.services.process import OwnedProcess, find_free_port, wait_until

RELOAD_S = 20.0  # seconds on a busy machine; Django looks at its files once in a second
PROVIDER = """
import asyncio
from chat.protocol import ModelInfo

class Endless:
    models = (ModelInfo(id="endless", name="Endless"),)

    async def stream(self, request):
        while True:
            yield "and on "
            await asyncio.sleep(0.05)
"""


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/chat/healthz", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


async def _change_until(file: Path, end: Coroutine[Any, Any, int]) -> None:
    """Change the file until Django has seen it: it compares with its own first look around, which takes a while."""
    ended = asyncio.ensure_future(end)
    while not ended.done():
        file.write_text(f"{file.read_text()}\n# changed\n")
        await asyncio.wait({ended}, timeout=1.5)
    ended.result()


@pytest.fixture
def development(migrated_databases, tmp_path):
    """`manage.py runserver` with a provider whose file can be touched."""
    provider = tmp_path / "endless.py"
    provider.write_text(textwrap.dedent(PROVIDER))
    port = find_free_port()
    environment = server_environment(
        migrated_databases.create(),
        DEBUG="1",
        PORT=str(port),
        SECRET_KEY=secrets.token_urlsafe(50),
        CHAT_ALLOWED_ORIGINS=f"http://127.0.0.1:{port}",
        CHAT_PROVIDER="endless.Endless",
        CHAT_LEASE_S="2",
        CHAT_CHECKPOINT_S="0.5",
        CHAT_SINGLE_PROCESS="true",
        PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
    )
    command = [sys.executable, "manage.py", "runserver", f"127.0.0.1:{port}"]
    process = OwnedProcess(command, tmp_path / "runserver.log", environment=environment, folder=ROOT)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: _answers(url) or not process.is_running, "runserver answers", RELOAD_S)
    assert process.is_running, process.last_words()
    yield url, provider, process
    process.kill()


async def test_a_changed_file_starts_it_anew(development):
    """The old process is gone although an answer was being written; it is ended, and the person goes on."""
    url, provider, process = development
    site = SiteClient(url)
    await asyncio.to_thread(site.sign_in, PEOPLE[0], PASSWORD)
    socket = await site.connect()
    await socket.send(type="user_message", content="hello", ref="r1")
    ack = await socket.expect("ack", ref="r1")
    await socket.expect("ai_response", reply_id=ack["reply_id"])

    await _change_until(provider, socket.closed(RELOAD_S))
    await asyncio.to_thread(wait_until, lambda: _answers(url), "runserver answers again", RELOAD_S)

    async with await site.connect() as again:
        await again.send(type="resume", session_id=ack["session_id"], last_seq=1)
        await again.expect("resumed")
        ended = await again.expect_where(
            # With its text, or without any where it was killed before the first checkpoint.
            lambda frame: frame["type"] == "error" or frame.get("metadata", {}).get("done") == "true",
            "its end",
            15,
        )
        assert ended["reply_id"] == ack["reply_id"]
    assert await asyncio.to_thread(process.end) in {0, -15}
