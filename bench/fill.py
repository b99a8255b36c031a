"""`python -m bench.fill COUNT`: migrates a database and fills it with people who are signed in; tells their cookies.

Runs with the environment of the server that will use the database. Prints one JSON list of {cookie, session_id}.
"""

from __future__ import annotations

import json
import sys
import uuid
from datetime import timedelta

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.utils.crypto import get_random_string  # noqa: E402


def fill(count: int) -> list[dict[str, str]]:
    call_command("migrate", verbosity=0, interactive=False)
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)  # models without migrations
    people = get_user_model()
    people.objects.bulk_create(people(username=f"person-{index}", password="!") for index in range(count))
    users = list(people.objects.order_by("pk"))
    store, expire_date = SessionStore(), timezone.now() + timedelta(days=1)
    logins = [
        Session(
            session_key=get_random_string(32, "abcdefghijklmnopqrstuvwxyz0123456789"),
            session_data=store.encode(
                {
                    SESSION_KEY: str(user.pk),
                    BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
                    HASH_SESSION_KEY: user.get_session_auth_hash(),
                }
            ),
            expire_date=expire_date,
        )
        for user in users
    ]
    Session.objects.bulk_create(logins)
    rooms = [uuid.uuid4() for _ in users]
    if apps.is_installed("chat"):
        model = apps.get_model("chat", "ChatSession")
        titled = [
            model(id=room, owner=user, title="Load", assistant_enabled=False)
            for room, user in zip(rooms, users, strict=True)
        ]
        model.objects.bulk_create(titled)
    return [{"cookie": login.session_key, "session_id": str(room)} for login, room in zip(logins, rooms, strict=True)]


if __name__ == "__main__":
    print(json.dumps(fill(int(sys.argv[1]))))
