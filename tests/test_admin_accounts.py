"""The admin's pages of accounts wear the theme, so that an administrator can grant the permissions of support staff."""

from __future__ import annotations

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
