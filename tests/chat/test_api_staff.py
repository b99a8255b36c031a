"""The JSON API for staff: what the admin's list shows, and to nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from chat.models import ChatMessage, Reply
from tests.chat.talks import session, staff
from tests.chat.test_api import FORBIDDEN, NOT_UNDERSTOOD

pytestmark = pytest.mark.django_db
ADDRESSES = ("/chat/admin/sessions", "/chat/admin/metrics")


@pytest.fixture
def owners() -> list[Any]:
    return [get_user_model().objects.create_user(name) for name in ("alice", "bob")]


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_without_the_permission_of_the_list(address, client, owners):
    """Nor with that permission alone: the admin is for staff."""
    assert staff("sam").get(address).json() == FORBIDDEN
    assert staff("rita", "read_transcript").get(address).status_code == 403
    once = staff("olga", "view_chatsession")
    assert once.get(address).status_code == 200
    get_user_model().objects.filter(username="olga").update(is_staff=False)
    answer = once.get(address)
    assert (answer.status_code, answer.json()) == (403, FORBIDDEN)
    client.force_login(owners[0])
    assert client.get(address).status_code == 403


def test_titles_need_the_permission_to_read(owners):
    talk = session(owners[0], "canary-77")
    shown = staff("sam", "view_chatsession").get(ADDRESSES[0])
    assert "canary-77" not in shown.content.decode()
    (found,) = shown.json()["sessions"]
    assert (found["session_id"], found["user_id"]) == (str(talk.pk), str(owners[0].pk))
    (read,) = staff("rita", "view_chatsession", "read_transcript").get(ADDRESSES[0]).json()["sessions"]
    assert read == {**found, "title": "canary-77"}


def test_everybodys_come_newest_first_each_once(owners, configure):
    configure(history_page=2)
    made = [session(owners[number % 2], ago=timedelta(minutes=number)) for number in range(5)]
    client, seen, cursor = staff("sam", "view_chatsession"), [], ""
    while True:
        page = client.get(f"{ADDRESSES[0]}?limit=500{cursor}").json()
        assert len(page["sessions"]) <= 2
        seen += [found["session_id"] for found in page["sessions"]]
        assert page["has_more"] is (len(seen) < 5) is (page["next"] is not None)
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == [str(talk.pk) for talk in made]


@pytest.mark.parametrize(("query", "field"), [("limit=0", "limit"), ("limit=501", "limit"), ("cursor=x", "cursor")])
def test_a_wrong_parameter_is_named(query, field):
    answer = staff("sam", "view_chatsession").get(f"{ADDRESSES[0]}?{query}")
    assert (answer.status_code, answer.json()) == (400, {**NOT_UNDERSTOOD, "field": field})


def test_figures_are_flat_and_count_everything(owners, django_assert_max_num_queries):
    talk = session(owners[0])
    session(owners[0], ago=timedelta(days=2))
    session(owners[1], ago=timedelta(days=3), ended_at=timezone.now())
    for seq, state in enumerate(("pending", "streaming", "complete"), 1):
        asked = ChatMessage.objects.create(session=talk, seq=seq, sender="user", content="c")
        Reply.objects.create(session=talk, message=asked, owner_key="1", state=state, lease_until=timezone.now())
    client = staff("sam", "view_chatsession")
    with django_assert_max_num_queries(8):  # of which two count; the rest is the sign-in and the permissions
        found = client.get(ADDRESSES[1]).json()
    assert found == {"total_sessions": 3, "active_sessions": 2, "sessions_last_24_hours": 1, "running_replies": 2}
