"""Renaming, ending and deleting a session: what is stored, who may, and that every device of the person hears of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import connections

from chat import hub_calls
from chat.models import ChatMessage, ChatSession, Reply
from errors.models import RoutingFailure
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

NOT_FOUND = {"error": "This was not found.", "code": "NOT_FOUND", "field": "session_id"}


def ask(person: Any, method: str, session_id: str, body: Any = None, path: str = "") -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    answer = person.client.generic(method, f"/chat/sessions/{session_id}{path}", content, "application/json")
    return answer.status_code, answer.json()


def open_session(person: Any, **values: Any) -> ChatSession:
    return ChatSession.objects.create(owner_id=person.user_id, title="Before", **values)


class TestRenaming:
    @pytest.mark.parametrize(
        ("title", "kept"),
        [
            ("After", "After"),
            ("  two\n\tlines ", "two lines"),
            ("x" * 80, "x" * 80),
            ("\U0001f600" * 80, "\U0001f600" * 80),
            ("<b>&amp;</b>", "<b>&amp;</b>"),
        ],
    )
    def test_keeps_the_title(self, people, title, kept):
        alice = people("alice")
        session = open_session(alice)
        status, body = ask(alice, "PATCH", session.pk, {"title": title})
        assert (status, body["session"]["title"]) == (200, kept)
        session.refresh_from_db()
        assert session.title == kept

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"title": ""}, "MISSING_FIELD"),
            ({"title": " \n"}, "MISSING_FIELD"),
            ({"title": "x" * 81}, "FIELD_TOO_LONG"),
            ({"title": "a\x00b"}, "INVALID_FORMAT"),
            ({"title": 7}, "INVALID_FORMAT"),
            ({"title": None}, "INVALID_FORMAT"),
            ({"title": ["a"]}, "INVALID_FORMAT"),
            ({}, "MISSING_FIELD"),
        ],
    )
    def test_names_the_title_as_what_is_wrong(self, people, body, code):
        alice = people("alice")
        session = open_session(alice)
        status, answer = ask(alice, "PATCH", session.pk, body)
        assert (status, answer["code"], answer["field"]) == (400, code, "title")
        session.refresh_from_db()
        assert session.title == "Before"

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"x"', b'{"title": "\\ud800"}'])
    def test_refuses_what_is_no_object(self, people, body):
        alice = people("alice")
        status, answer = ask(alice, "PATCH", open_session(alice).pk, body)
        assert (status, answer["code"]) == (400, "INVALID_FORMAT")

    def test_refuses_more_than_a_request_may_hold(self, people, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        alice = people("alice")
        status, answer = ask(alice, "PATCH", open_session(alice).pk, {"title": "x" * 200})
        assert (status, answer["code"]) == (413, "FRAME_TOO_LARGE")

    def test_changes_nothing_else(self, people):
        alice = people("alice")
        session = ChatSession.objects.get(pk=open_session(alice, last_seq=3).pk)
        ask(alice, "PATCH", session.pk, {"title": "After", "last_seq": 9, "owner_id": 7, "ended_at": "2020-01-01"})
        renamed = ChatSession.objects.get(pk=session.pk)
        unchanged = ("last_seq", "owner_id", "ended_at", "last_activity_at")
        assert [getattr(renamed, name) for name in unchanged] == [getattr(session, name) for name in unchanged]


class TestDeleting:
    def test_takes_everything_that_was_said_and_leaves_the_records_of_failures(self, people):
        alice = people("alice")
        session, other = open_session(alice), open_session(alice)
        for where in (session, other):
            ChatMessage.objects.create(session=where, seq=1, sender="user", content="Hello")
        RoutingFailure.objects.create(
            session_id=str(session.pk), reference="E-7KQ4-M2XW", occurred_at=session.created_at, recoverable=True
        )
        assert ask(alice, "DELETE", session.pk) == (200, {"deleted": True})
        assert list(ChatSession.objects.all()) == [other]
        assert [message.session_id for message in ChatMessage.objects.all()] == [other.pk]
        assert RoutingFailure.objects.get().session_id == str(session.pk)
        assert ask(alice, "DELETE", session.pk) == (404, NOT_FOUND)
        assert ask(alice, "GET", session.pk) == (404, NOT_FOUND)

    async def test_stops_the_reply_that_is_being_written(self, alice, configure):
        configure(fault_commands=True, checkpoint_s=0.05)
        device = await alice.connect()
        ack = await device.say("/fault slow", ref="1")
        await device.expect("ai_response", reply_id=ack["reply_id"])
        assert (await sync_to_async(ask)(alice, "DELETE", ack["session_id"]))[0] == 200
        await device.expect("notification")
        from chat import runtime

        replies = runtime.current().replies
        await until(lambda: replies.stream(ack["reply_id"]) is None, "the reply is stopped")
        assert not await Reply.objects.aexists()
        assert not await ChatMessage.objects.aexists()
        assert not any(frame["type"] == "error" for frame in await device.rest())
        await device.send("user_message", content="Still there?", ref="2", session_id=ack["session_id"])
        assert (await device.expect("error", ref="2"))["error"]["code"] == "NOT_FOUND"
        again = await device.say("Hello", ref="3")
        assert again["session_id"] != ack["session_id"]
        await device.close()


class TestWhoMay:
    @pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("DELETE", ""), ("POST", "/end")])
    def test_nobody_but_the_owner(self, people, method, path):
        """A foreign session and one that does not exist are the same."""
        alice, mallory = people("alice"), people("mallory")
        session = open_session(alice)
        for session_id in (str(session.pk), "00000000-0000-4000-8000-000000000000", "none"):
            status, body = ask(mallory, method, session_id, {"title": "Mine"}, path)
            assert (status, body) == (404, NOT_FOUND)
        session.refresh_from_db()
        assert (session.title, session.ended_at) == ("Before", None)


class TestTelling:
    @pytest.mark.parametrize(
        ("method", "path", "told"),
        [
            ("PATCH", "", {"event": "session_updated", "title": "After"}),
            ("POST", "/end", {"event": "session_ended"}),
            ("DELETE", "", {"event": "session_deleted"}),
        ],
    )
    async def test_every_device_of_the_person_and_nobody_else(self, alice, mallory, method, path, told):
        devices = [await alice.connect(), await alice.connect()]
        stranger = await mallory.connect()
        session_id = (await devices[0].say("Hello", ref="1"))["session_id"]
        await devices[1].expect("notification")  # the title of the new session
        await devices[0].expect("notification")
        assert (await sync_to_async(ask)(alice, method, session_id, {"title": "After"}, path))[0] == 200
        for device in devices:
            frame = await device.expect("notification", session_id=session_id)
            assert (frame["metadata"], frame["sender"]) == (told, "system")
        assert not any(frame["type"] == "notification" for frame in await stranger.rest())
        for device in (*devices, stranger):
            await device.close()

    @pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("POST", "/end"), ("DELETE", "")])
    def test_nobody_is_told_before_it_is_committed(self, people, monkeypatch, method, path):
        """In a project whose requests are transactions a device would read what was there before."""
        alice, told_within = people("alice"), []
        connection = connections["default"]
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        monkeypatch.setattr(hub_calls, "broadcast", lambda *_: told_within.append(connection.in_atomic_block))
        assert ask(alice, method, open_session(alice).pk, {"title": "After"}, path)[0] == 200
        assert told_within == [False]

    @pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("POST", "/end"), ("DELETE", "")])
    def test_a_layer_that_is_away_fails_no_request(self, people, monkeypatch, log_lines, method, path):
        async def fail(*args: Any) -> None:
            raise ConnectionRefusedError("canary-77 10.0.0.9")

        monkeypatch.setattr(get_channel_layer(), "group_send", fail)
        alice = people("alice")
        assert ask(alice, method, open_session(alice).pk, {"title": "After"}, path)[0] == 200
        (line,) = [line for line in log_lines if line["event"] == "chat.session_change_not_announced"]
        assert line["cause"] == "ConnectionRefusedError"
