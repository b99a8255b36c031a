"""People in tests: an account, a login, a test client, and devices (`chat.testing.ChatCommunicator`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.contrib.auth import get_user_model
from django.test import Client

from chat.testing import ChatCommunicator, login_cookie

ORIGIN = "http://testserver"
Device = ChatCommunicator


@dataclass(frozen=True)
class Person:
    name: str
    user_id: str
    cookie: str
    client: Client  # signed in, for HTTP

    def elsewhere(self) -> Person:
        """The same person, signed in on another browser."""
        return replace(self, cookie=login_cookie(get_user_model().objects.get(pk=self.user_id)))

    async def connect(self, **headers: str) -> Device:
        """Open a socket as the person's browser would and return it once it has its `connection_status`."""
        return await Device(self.cookie, headers).connect()
