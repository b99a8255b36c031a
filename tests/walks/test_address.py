"""A failure names the address from where it came: in the log and the record, for a refused handshake too."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections, router
from django.test import AsyncClient, Client

from chat import sessions
from errors.keys import new_key
from errors.models import RoutingFailure
from tests.errors.stored import page, staff, store, words
from tests.errors.written_log import WrittenLog
from tests.people import Device

VISITOR, PROXY = "93.184.216.34", "10.0.0.7"
FORWARDED = {"x-forwarded-for": f"1.1.1.1, {VISITOR}"}  # the left end is the visitor's own claim


@pytest.fixture
def behind_a_proxy(configure: Callable[..., None]) -> None:
    configure(trusted_proxies=(PROXY, "127.0.0.1"))


@pytest.mark.usefixtures("behind_a_proxy")
class TestOfASocket:
    @pytest.mark.parametrize("origin", [None, "https://evil.example"], ids=["nobody", "another page"])
    async def test_refused_at_the_handshake(self, alice, failures, origin):
        headers = {**FORWARDED, "origin": origin} if origin else FORWARDED
        device = Device(alice.cookie if origin else None, headers)
        with WrittenLog() as log:
            await device.open()
            if not origin:
                assert VISITOR not in json.dumps(await device.expect("error"))
                assert await device.expect_close() == 4501
        (line,), (row,) = log.events("chat.routing_failed"), await failures()
        assert (line["stage"], line["address"], line["connection_id"]) == ("connect", VISITOR, None)
        assert row.address == VISITOR

    async def test_that_is_connected(self, alice, failures):
        device = await alice.connect(**FORWARDED)
        await device.send_text("[]")
        assert VISITOR not in json.dumps(await device.expect("error"))
        await device.send("stop", ref="r1", reply_id="nobodys")
        assert VISITOR not in json.dumps(await device.expect("error", ref="r1"))
        assert [(row.stage, row.address) for row in await failures()] == [
            ("receive", VISITOR),
            ("registration", VISITOR),
        ]
        await device.close()


async def test_a_claim_is_not_believed_without_a_proxy(alice, failures):
    """As the limits do: what anybody can write into a header is no address, and a private one is none either."""
    device = await alice.connect(**FORWARDED)
    with WrittenLog() as log:
        await device.send_text("[]")
        await device.expect("error")
    assert log.events("chat.routing_failed", address=None)
    assert [row.address for row in await failures()] == [""]
    await device.close()


@pytest.mark.parametrize("server", ["asgi", "wsgi"])
async def test_of_an_http_request(alice, failures, monkeypatch, behind_a_proxy, server):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(sessions, "page", fail)
    if server == "asgi":
        client = AsyncClient()
        client.cookies["sessionid"] = alice.cookie
        answer = await client.get("/chat/sessions", headers=FORWARDED)
    else:
        client = Client(headers=FORWARDED)
        client.cookies["sessionid"] = alice.cookie
        answer = await sync_to_async(client.get)("/chat/sessions")
    assert answer.status_code == 503
    assert VISITOR not in answer.content.decode()
    assert [(row.stage, row.address) for row in await failures()] == [("http", VISITOR)]


@pytest.mark.django_db
class TestRecord:
    def test_shows_it_to_staff(self):
        carol = staff("carol")
        assert f"Address {VISITOR}" in words(carol.get(page(store(address=VISITOR))).content.decode())
        assert "Address" not in words(carol.get(page(store())).content.decode())

    def test_a_process_of_the_release_before_can_still_write_its_rows(self):
        """Migrated first, then restarted one after another."""
        columns = [field.column for field in RoutingFailure._meta.concrete_fields if field.name != "address"]
        old = RoutingFailure.objects.filter(pk=store(address=VISITOR).pk).values_list(*columns)
        table, names = RoutingFailure._meta.db_table, ", ".join(columns)
        assert old
        with connections[router.db_for_write(RoutingFailure)].cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT %s, {', '.join(columns[1:])} FROM {table}",  # noqa: S608
                [new_key().hex],
            )
        assert sorted(RoutingFailure.objects.values_list("address", flat=True)) == ["", VISITOR]
