"""Who may stay: logins that end, accounts that change, keys that rotate, while sockets are open."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.cache import InvalidCacheKey, caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client
from django.utils import timezone

from chat import access, auth, runtime
from chat.auth import Login
from chat.testing import login_cookie
from tests.people import Device
from tests.waiting import until

NEW_KEY = "n" * 10 + "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"


@pytest.fixture
def new_secret(settings):
    """Rotates SECRET_KEY; what was signed with the old one still counts."""

    def rotate() -> None:
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = NEW_KEY

    return rotate


async def _account(person, **values):
    def change():
        user = get_user_model().objects.get(pk=person.user_id)
        for name, value in values.items():
            user.set_password(value) if name == "password" else setattr(user, name, value)
        user.save()

    await sync_to_async(change)()


async def _expect_end(device):
    """One error frame, and the close."""
    error = await device.expect_error("EXPIRED_TOKEN")
    assert error["recoverable"] is False
    assert await device.expect_close() == 4502
    return error["reference"]


class TestKeyRotation:
    async def test_a_socket_does_not_change_the_login_it_reads(self, alice, new_secret):
        """Its new key would have to reach the browser in a cookie: the next page does that, and is still signed in."""
        new_secret()
        for _ in range(2):
            await (await alice.connect()).close()
        assert await Session.objects.filter(pk=alice.cookie).aexists()
        assert (await asyncio.to_thread(alice.client.get, "/chat/sessions")).status_code == 200

    async def test_a_login_that_does_not_hold_is_not_deleted_by_a_socket(self, alice):
        await _account(alice, password="another battery staple")
        device = Device(alice.cookie)
        await device.open()
        assert await device.expect_close() == 4501
        assert await Session.objects.filter(pk=alice.cookie).aexists()

    async def test_a_login_under_a_new_key_brings_its_tabs_back(self, alice, new_secret, configure, failures):
        """Django renames the login; the tab is told to come back, and the browser's new cookie opens the door."""
        configure(access_check_s=0.2)
        tab = await alice.connect()
        new_secret()
        await asyncio.to_thread(alice.client.get, "/chat/sessions")
        goodbye = await tab.expect("goodbye", reason="sign_in_changed")
        assert goodbye["reconnect_in"] > 0
        assert await tab.expect_close() == 4000
        again = await Device(alice.client.cookies["sessionid"].value).connect()
        await again.close()
        assert await failures() == []


class TestAccount:
    async def test_a_closed_account_loses_its_sockets_at_once(self, alice, bob, failures):
        """Saving the account is enough; others stay, and each end is one frame and one record."""
        tabs, other = [await alice.connect(), await alice.connect()], await bob.connect()
        await _account(alice, is_active=False)
        references = {await _expect_end(tab) for tab in tabs}
        await other.say("still here", ref="r1")
        assert {row.reference for row in await failures()} == references
        assert [row.deliveries for row in await failures()] == [1, 1]

    async def test_a_new_password_ends_the_other_logins(self, alice):
        tab = await alice.connect()
        await _account(alice, password="another battery staple")
        await _expect_end(tab)

    async def test_a_deleted_account_loses_its_sockets(self, alice):
        tab = await alice.connect()
        await get_user_model().objects.filter(pk=alice.user_id).adelete()
        await _expect_end(tab)

    async def test_signing_in_again_disturbs_nobody(self, alice):
        """Signing in saves the account, too."""
        tab = await alice.connect()
        await asyncio.to_thread(alice.elsewhere)
        await tab.say("still here", ref="r1")


class TestLogin:
    async def test_a_change_that_nobody_announced_is_found(self, alice, configure):
        """An UPDATE in the database sends no signal."""
        configure(access_check_s=0.2)
        tab = await alice.connect()
        await get_user_model().objects.filter(pk=alice.user_id).aupdate(is_active=False)
        await _expect_end(tab)

    async def test_a_login_that_ran_out_is_found(self, alice, configure):
        configure(access_check_s=0.2)
        tab = await alice.connect()
        await Session.objects.filter(pk=alice.cookie).aupdate(expire_date=timezone.now() - timedelta(seconds=1))
        await _expect_end(tab)

    async def test_who_was_signed_out_unheard_comes_back_and_is_asked_to_sign_in(self, alice, configure):
        configure(access_check_s=0.2)
        tab = await alice.connect()
        await Session.objects.all().adelete()
        await tab.expect("goodbye")
        assert await tab.expect_close() == 4000
        late = Device(alice.cookie)
        await late.open()
        await late.expect_error("UNAUTHORIZED")
        assert await late.expect_close() == 4501

    async def test_who_signs_out_while_a_socket_opens_does_not_keep_it(self, alice, monkeypatch):
        """Nobody can tell the connection: it is not there yet, and the next look at everybody is a minute away."""
        sign_in = auth.sign_in

        def signs_out_meanwhile(cookies):
            signed_in = sign_in(cookies)
            Session.objects.all().delete()
            return signed_in

        monkeypatch.setattr(auth, "sign_in", signs_out_meanwhile)
        tab = await alice.connect()
        await tab.expect("goodbye")
        assert await tab.expect_close() == 4000

    async def test_everybody_has_their_turn_while_people_come_and_come(self, alice, bob, configure, monkeypatch):
        """Whoever comes is looked at, and somebody comes during each look: that must not put off all the others."""
        configure(access_check_s=0.2)
        hers, his = await alice.connect(), await bob.connect()
        watch, look = runtime.current().access, access.Access._look
        (guest,) = [each for each in runtime.current().connections.values() if each.user_id == bob.user_id]

        async def look_while_somebody_comes(self, guests):
            watch.look_at((guest,))
            await look(self, guests)

        monkeypatch.setattr(access.Access, "_look", look_while_somebody_comes)
        watch.look_at((guest,))
        await get_user_model().objects.filter(pk=alice.user_id).aupdate(is_active=False)
        await _expect_end(hers)
        await his.close()

    async def test_everybody_stays_while_the_database_does_not_answer(self, alice, configure, monkeypatch, log_lines):
        configure(access_check_s=0.05)
        tab = await alice.connect()
        monkeypatch.setattr(access, "judge", _fail)
        await until(lambda: "chat.access_not_checked" in [line["event"] for line in log_lines], "the look fails")
        await tab.rest()
        await tab.close()

    async def test_many_are_looked_at_in_two_queries(self, alice, people, django_assert_num_queries):
        def look():
            logins = {Login(alice.user_id, alice.cookie)}
            for number in range(20):
                person = people(f"person{number}")
                logins.add(Login(person.user_id, person.cookie))
            with django_assert_num_queries(2):
                return access.judge(logins)

        verdicts = await sync_to_async(look)()
        assert set(verdicts.values()) == {access.Verdict.HOLDS}
        assert len(verdicts) == 21


@pytest.mark.parametrize("engine", ["cache", "cached_db", "signed_cookies"])
async def test_other_keepers_of_logins(alice, settings, configure, engine):
    """Wherever Django keeps logins, one that holds stays and a closed account ends."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    configure(access_check_s=0.1)

    def log_in():
        client = Client()
        client.force_login(get_user_model().objects.get(pk=alice.user_id))
        return client.cookies["sessionid"].value

    tab = await Device(await sync_to_async(log_in)()).connect()
    guests = tuple(runtime.current().connections.values())
    verdicts = await sync_to_async(access.judge)([guest.login for guest in guests])
    assert set(verdicts.values()) == {access.Verdict.HOLDS}
    await get_user_model().objects.filter(pk=alice.user_id).aupdate(is_active=False)
    await _expect_end(tab)


async def test_a_cookie_that_no_database_can_look_up_names_nobody(alice, failures):
    wrong = r'"abcdefgh\000ijk"'
    tab = Device(wrong)
    await tab.open()
    await tab.expect_error("UNAUTHORIZED")
    assert await tab.expect_close() == 4501
    ask = sync_to_async(Client().get)
    answer = await ask("/chat/sessions", headers={"cookie": f"sessionid={wrong}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert [row.code for row in await failures()] == ["UNAUTHORIZED"]


class AwayCache(LocMemCache):
    """A cache with outages: it raises, as Redis does, or answers nothing and takes nothing, as others do.

    It is as strict about keys as memcached.
    """

    outage = ""

    def get(self, key, *args, **kwargs):
        if any(ord(character) < 33 for character in key):
            raise InvalidCacheKey(key)
        if self.outage == "raises":
            raise ConnectionError("the cache is away")
        return kwargs.get("default") if self.outage else super().get(key, *args, **kwargs)

    def set(self, *args, **kwargs):
        if not self.outage:
            super().set(*args, **kwargs)


class TestCacheOfLogins:
    """Where login sessions are in a cache, and it is away: Django takes that for a login that is not there."""

    @pytest.fixture
    def cookie(self, alice, settings, configure):
        settings.CACHES = {"default": {"BACKEND": "tests.walks.test_access.AwayCache", "LOCATION": "logins"}}
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
        configure(access_check_s=0.05)
        return login_cookie(get_user_model().objects.get(pk=alice.user_id))

    @pytest.fixture(params=["raises", "is silent"])
    def outage(self, request, monkeypatch):
        return lambda: monkeypatch.setattr(AwayCache, "outage", request.param)

    async def test_everybody_stays(self, cookie, outage, log_lines):
        tab = await Device(cookie).connect()
        outage()
        await until(lambda: "chat.access_not_checked" in [line["event"] for line in log_lines], "the look fails")
        await tab.rest()
        await tab.close()

    async def test_who_comes_is_asked_to_come_back_and_not_to_sign_in(self, cookie, outage, monkeypatch, failures):
        outage()
        tab = Device(cookie)
        await tab.open()
        error = await tab.expect_error("DATABASE_ERROR")
        assert (error["recoverable"], error["retry_after"]) == (True, 1_000)
        assert await tab.expect_close() == 4400
        await tab.close()
        monkeypatch.setattr(AwayCache, "outage", "")
        await (await Device(cookie).connect()).close()
        assert [row.code for row in await failures()] == ["DATABASE_ERROR"]

    @pytest.mark.parametrize("wrong", ["a" * 32, "not a key of Django's", "\x01\x02\x03\x04\x05\x06\x07\x08"])
    async def test_who_is_not_signed_in_is_told_so(self, cookie, wrong):
        tab = Device(wrong)
        await tab.open()
        await tab.expect_error("UNAUTHORIZED")
        assert await tab.expect_close() == 4501

    async def test_a_login_that_is_gone_is_found(self, cookie):
        tab = await Device(cookie).connect()
        caches["default"].clear()
        await tab.expect("goodbye", reason="sign_in_changed")
        assert await tab.expect_close() == 4000


async def test_signing_out_closes_this_process_while_the_layer_is_away(alice, settings):
    """Nothing listens at the layer's address, and the tab is closed at once all the same."""
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        }
    }
    tab = await alice.connect()
    await asyncio.to_thread(alice.client.post, "/chat/logout/")
    assert await tab.expect_close() == 4502


def _fail(_):
    raise RuntimeError("the database is away")


async def test_nobody_is_told_who_left_while_their_account_was_looked_at(alice, failures, monkeypatch):
    """A record says how many were told; here nobody was left to tell."""
    device = await alice.connect()
    guests = tuple(runtime.current().connections.values())
    has_left = threading.Event()

    def judge(logins):
        assert has_left.wait(2)
        return dict.fromkeys(logins, access.Verdict.OVER)

    monkeypatch.setattr(access, "judge", judge)
    looking = asyncio.create_task(runtime.current().access._look(list(guests)))
    await asyncio.sleep(0)
    await device.close()
    assert not runtime.current().connections
    has_left.set()
    await looking
    assert await failures() == []
