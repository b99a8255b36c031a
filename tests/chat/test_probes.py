"""An orchestrator asks a process by its address, which is in nobody's ALLOWED_HOSTS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from channels.testing import HttpCommunicator

from chat import health
from chat.probes import Probes
from chat.wrappers import OwnRootPath
from tests.errors.written_log import WrittenLog

pytestmark = pytest.mark.django_db(transaction=True)
READY = {"status": "ready", "checks": {"database": "ok", "channel_layer": "ok", "server": "ok"}}
OF_A_STRANGER = [(b"host", b"10.1.2.3:8001")]


async def ask(method: str, path: str, application: Any = None) -> tuple[int, bytes]:
    if application is None:
        from config.asgi import application
    answer = await HttpCommunicator(application, method, path, headers=OF_A_STRANGER).get_response(timeout=5)
    return answer["status"], answer["body"]


@pytest.mark.parametrize(("name", "said"), [("healthz", {"status": "healthy"}), ("readyz", READY)])
async def test_a_probe_is_answered_under_any_host_and_leaves_no_line(name, said):
    with WrittenLog() as log:
        status, body = await ask("GET", f"/chat/{name}")
        assert (status, json.loads(body)) == (200, said)
        assert await ask("HEAD", f"/chat/{name}") == (200, b"")
    assert not [line for line in log.lines if line["level"] in ("warning", "error")]


async def test_a_part_that_fails_is_503_and_no_word_of_why(monkeypatch):
    def refuse() -> None:
        raise ConnectionError("postgres://app:canary@db")

    monkeypatch.setattr(health, "_ask_database", refuse)
    status, body = await ask("GET", "/chat/readyz")
    said = {"status": "not ready", "checks": {**READY["checks"], "database": "unavailable"}}
    assert (status, json.loads(body)) == (503, said)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/chat/sessions"), ("POST", "/chat/healthz"), ("GET", "/chat/healthz/"), ("GET", "/x/chat/healthz")],
)
async def test_everything_else_still_needs_a_host_that_is_ours(method, path):
    assert (await ask(method, path))[0] == 400


async def test_it_stands_below_the_prefix(configure):
    configure(path_prefix="/talk/here")
    passed = []

    async def rest(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert (await ask("GET", "/talk/here/healthz", OwnRootPath(Probes(rest))))[0] == 200
    assert (await ask("GET", "/chat/healthz", OwnRootPath(Probes(rest))))[0] == 404
    assert passed == ["/chat/healthz"]
