"""I5: public surfaces show nothing of an exception, staff surfaces no secret and no message text. BIRD: the canary."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from chat import auth, protocol, router, sessions
from errors import report
from errors.exceptions import ChatError
from errors.taxonomy import LLM_UNAVAILABLE, UNAUTHORIZED
from tests.errors.written_log import WrittenLog
from tests.people import Device

BIRD = "zqcanary8c41"  # part of every secret below and of the message; no line of code that raises holds it
TEXT = f"Please keep '{BIRD}' \"to yourself\":\n  the plan is \\ {BIRD} at the café 😀 by noon"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoi{BIRD}.c2ln{BIRD}"
COOKIE = f"theme=dark; sessionid=a{BIRD}; other={BIRD}"


def said(words: str) -> Callable[[], Exception]:
    return lambda: RuntimeError(f"story {words}")


def chained(explicit: bool) -> Exception:
    try:
        try:
            raise OperationalError(f"root story {TEXT}")
        except OperationalError as exc:
            if explicit:
                raise ChatError(LLM_UNAVAILABLE, detail=TEXT, metadata={"body": TEXT}) from exc
            raise ValueError("story") from None if explicit else ValueError(TEXT)
    except Exception as exc:
        return exc


def noted() -> Exception:
    exc = RuntimeError("story")
    exc.add_note(f"while answering {TEXT}")
    exc.add_note(f"Authorization: Bearer {BIRD}")
    return exc


def grouped() -> Exception:
    inner = [KeyError(TEXT), ExceptionGroup("inner", [ValueError(f"password={BIRD}"), OperationalError(postgres())])]
    return ExceptionGroup(f"story {TEXT}", inner)


def postgres() -> str:
    return f"new row violates check\nDETAIL:  Failing row contains (1, {BIRD[:6]}..., {BIRD}).\nHINT:  see {BIRD}"


LEAKS: dict[str, Callable[[], Exception]] = {
    # the message's own text
    "as it is": said(TEXT),
    "as repr": said(repr(TEXT)),
    "as a key": lambda: KeyError("story", TEXT),
    "as JSON": said(json.dumps({"content": TEXT})),
    "as JSON with its letters": said(json.dumps({"content": TEXT}, ensure_ascii=False)),
    "as JSON in a repr": said(repr(json.dumps([TEXT]))),
    "as bytes": said(repr(TEXT.encode())),
    "its beginning": said(f"{TEXT[:30]}..."),
    "its end": said(f"...{TEXT[-50:]}"),
    "a piece of it": said(f"unexpected {TEXT[40:75]!r} in line 2"),
    "one word of it": said(f"invalid literal for int() with base 10: '{BIRD}'"),
    "line by line": said(" | ".join(TEXT.split("\n"))),
    "stripped": said(TEXT.strip().rstrip("n")),
    "ten times": said(TEXT * 10),
    # secrets
    "secret key": lambda: RuntimeError("story", django_settings.SECRET_KEY),
    "DSN": said(f'connection to "postgresql://app:p{BIRD}@10.0.0.7:5432/prod?sslmode=on" failed'),
    "DSN in words": said(f"host=10.0.0.7 user=app password=p{BIRD} dbname=prod"),
    "Redis": said(f"Error 111 connecting to redis://:{BIRD}@10.0.0.8:6379/0"),
    "headers": lambda: RuntimeError("story", {"Authorization": f"Token {BIRD}", "Cookie": COOKIE}),
    "raw headers": lambda: RuntimeError("story", [(b"cookie", COOKIE.encode()), (b"authorization", BIRD.encode())]),
    "header lines": said(
        f"GET / HTTP/1.1\r\nCookie: {COOKIE}\r\nAuthorization: Digest username=a, response={BIRD}\r\n"
    ),
    "set-cookie": said(f"set-cookie: sessionid={BIRD}; Path=/"),
    "bearer": said(f"401 for Bearer x{BIRD}"),
    "JWT": said(f"cannot verify {JWT}"),
    "provider key": said(f"Incorrect API key provided: sk-proj-{BIRD}"),
    "environment": said(f"OPENAI_API_KEY=x{BIRD} CLIENT_SECRET='{BIRD}' AWS_SECRET_ACCESS_KEY={BIRD} pwd: {BIRD}"),
    "JSON body": said(json.dumps({"password": f'a"b{BIRD}', "access_token": BIRD, "x-api-key": BIRD})),
    "query": said(f"GET /chat/ws?token={BIRD}&ticket={BIRD}"),
    "postgres detail": lambda: OperationalError(f"story {postgres()}"),
    "postgres detail in a repr": said(repr(postgres())),
    # places
    "explicit chain": lambda: chained(explicit=True),
    "implicit chain": lambda: chained(explicit=False),
    "notes": noted,
    "groups": grouped,
    "beyond what is kept": said("x" * 1_980 + django_settings.SECRET_KEY),
}


def leaks_of(surfaces: dict[str, str]) -> list[str]:
    forbidden = (BIRD, django_settings.SECRET_KEY[:8], django_settings.SECRET_KEY[-8:])
    return [name for name, text in surfaces.items() if any(word in html.unescape(text) for word in forbidden)]


@pytest.fixture
def operator(transactional_db) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("olivia"))
    return client


async def test_no_surface_shows_a_secret_or_what_was_said(alice, operator, configure, monkeypatch, failures):
    """Each leak is raised in a real handler; the staff's surfaces still tell the story."""
    raised: list[Callable[[], Exception]] = []

    async def fail(connection: Any, message: Any) -> None:
        raise raised[-1]()

    configure(messages_per_minute=1_000)
    monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, fail)
    device = await alice.connect()
    surfaces: dict[str, str] = {}
    for name, leak in LEAKS.items():
        raised.append(leak)
        report._last_traceback.clear()
        with WrittenLog() as log:
            await device.send("user_message", content=TEXT, ref="r1")
            surfaces[f"{name}: frame"] = json.dumps(await device.expect("error"), ensure_ascii=False)
        surfaces[f"{name}: log"], surfaces[f"{name}: readable log"] = log.json_text, log.readable_text
    rows = await failures()
    for name, row in zip(LEAKS, rows, strict=True):
        surfaces[f"{name}: row"] = repr(vars(row))
        address = reverse("admin:errors_routingfailure_change", args=[row.pk])
        surfaces[f"{name}: admin"] = (await asyncio.to_thread(operator.get, address)).content.decode()
    surfaces["admin list"] = (await asyncio.to_thread(operator.get, "/admin/errors/routingfailure/")).content.decode()

    assert leaks_of(surfaces) == []
    staffs = {name: text for name, text in surfaces.items() if name.endswith(("log", "row", ": admin"))}
    assert [name for name, text in staffs.items() if "story" not in text or "Traceback" not in text] == []
    assert all(row.traceback and row.causes for row in rows)
    await device.close()


async def test_neither_a_close_nor_a_refused_connection_says_why(alice, monkeypatch, failures):
    async def fail(connection: Any, message: Any) -> None:
        raise ChatError(UNAUTHORIZED, detail=f"Bearer x{BIRD}")

    def fail_to_sign_in(cookies: Any) -> None:
        raise OperationalError(f"story postgres://app:{BIRD}@db {cookies}")

    monkeypatch.setitem(router.HANDLERS, protocol.Ping, fail)
    device = await alice.connect()
    await device.send("ping")
    told = [await device._socket.receive_output(5) for _ in range(2)]
    assert told[1] == {"type": "websocket.close", "code": 4501}

    monkeypatch.setattr(auth, "sign_in", fail_to_sign_in)
    other = Device(alice.cookie)
    await other.open()
    told += [await other._socket.receive_output(5) for _ in range(2)]
    assert told[3] == {"type": "websocket.close", "code": 4400}
    assert leaks_of({"told": repr(told), "rows": repr([vars(row) for row in await failures()])}) == []
    assert alice.cookie not in repr([vars(row) for row in await failures()])


@pytest.mark.parametrize("name", LEAKS)
def test_an_http_body_says_only_what_the_catalogue_says(transactional_db, monkeypatch, name):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise LEAKS[name]()

    client = Client(headers={"authorization": f"Bearer {BIRD}"})
    client.force_login(get_user_model().objects.create_user("alice"))
    monkeypatch.setattr(sessions, "page", fail)
    with WrittenLog() as log:
        answer = client.get("/chat/sessions")
    assert answer.status_code in (500, 503)
    assert set(answer.json()) == {"error", "code", "reference"}
    assert leaks_of({"body": answer.content.decode(), "headers": str(answer.headers)}) == []
    if "text" not in name:
        assert "story" in log.json_text
