"""The admin's pages of accounts wear the theme, so that an administrator can grant the permissions of support staff."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from unfold.forms import UserChangeForm, UserCreationForm

from tests.chat.talks import staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    return staff("root", is_superuser=True)


def test_forms_are_the_themes(root: Client) -> None:
    added = root.get("/admin/auth/user/add/")
    assert issubclass(type(added.context["adminform"].form), UserCreationForm)
    user = get_user_model().objects.get()
    changed = root.get(f"/admin/auth/user/{user.pk}/change/")
    assert issubclass(type(changed.context["adminform"].form), UserChangeForm)
    assert root.get(f"/admin/auth/user/{user.pk}/password/").status_code == 200
    assert root.get("/admin/auth/group/add/").status_code == 200


@pytest.mark.parametrize(
    ("codename", "words"),
    [
        ("read_transcript", "Can read the titles and messages of sessions"),
        ("export_routingfailure", "Can export routing failures"),
    ],
)
def test_own_permissions_can_be_granted(root: Client, codename: str, words: str) -> None:
    assert Permission.objects.get(codename=codename).name == words
    assert words in root.get("/admin/auth/group/add/").content.decode()


def test_the_table_of_permissions_names_what_there_is() -> None:
    text = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
    table = text.partition("### Who may see what")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| ([^|]+) \|", table, re.MULTILINE)
    assert len(rows) == 4
    for app, codename, name in rows:
        assert Permission.objects.get(content_type__app_label=app, codename=codename).name == name


@pytest.mark.parametrize(
    ("query", "leads_to"),
    [("", "/admin/"), ("?next=/admin/chat/chatsession/", "/admin/chat/chatsession/"), ("?next=//evil.org/", "/admin/")],
)
def test_signing_in_leads_to_the_admin_and_not_to_the_chat(root: Client, query: str, leads_to: str) -> None:
    user = get_user_model().objects.get()
    user.set_password("a-long-password")
    user.save()
    visitor = Client()
    html = visitor.get(f"/admin/login/{query}").content.decode()
    found = re.search(r'<input type="hidden" name="next" value="([^"]*)" form="login-form">', html)
    assert found is not None
    fields = {"username": user.get_username(), "password": "a-long-password", "next": found[1]}
    assert visitor.post(f"/admin/login/{query}", fields)["Location"] == leads_to
