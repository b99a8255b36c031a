"""Every exception has its word: by its class, by the nearest of its ancestors, or SERVICE_ERROR."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from channels import exceptions as channels_exceptions
from channels.exceptions import AcceptConnection, ChannelFull, DenyConnection, MessageTooLarge, StopConsumer
from django import db
from django.core import exceptions as core
from django.http import Http404

from chat.models import ChatSession, Reply
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.middleware import ErrorMiddleware
from errors.taxonomy import CATALOGUE, LLM_TIMEOUT, SERVICE_ERROR, Category, Stage
from errors.translator import TRANSLATIONS, translate


class OfAHost(db.OperationalError):
    """A subclass that nobody registered."""


class AskedInVain(TimeoutError):
    """As drivers define their own."""


class TwoWords(Http404, core.PermissionDenied):
    """The first ancestor that has a word counts."""


CASES = {
    "DATABASE_ERROR": [
        db.Error(), db.OperationalError("x"), db.InterfaceError(), db.IntegrityError(), db.DataError(),
        db.ProgrammingError(), db.InternalError(), db.NotSupportedError(), db.DatabaseError(),
        db.transaction.TransactionManagementError(), OfAHost(),
    ],
    "NOT_FOUND": [ChatSession.DoesNotExist(), Reply.DoesNotExist(), core.ObjectDoesNotExist(), Http404(), TwoWords()],
    "INSUFFICIENT_PERMISSIONS": [core.PermissionDenied()],
    "INVALID_FORMAT": [
        core.ValidationError("x"), core.SuspiciousOperation(), core.DisallowedHost(), core.TooManyFieldsSent(),
        core.BadRequest(),
    ],
    "FRAME_TOO_LARGE": [core.RequestDataTooBig(), MessageTooLarge()],
    "SERVER_BUSY": [ChannelFull(), TimeoutError(), AskedInVain()],
    "SERVICE_ERROR": [
        Exception(), ValueError(), KeyError("x"), OSError(), ConnectionRefusedError(), RecursionError(), MemoryError(),
        AssertionError(), ExceptionGroup("x", [db.OperationalError()]), core.ImproperlyConfigured(),
        core.MultipleObjectsReturned(), core.FieldError(), ChatSession.MultipleObjectsReturned(),
        channels_exceptions.InvalidChannelLayerError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
        StopAsyncIteration(),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "exc"),
    [pytest.param(code, exc, id=f"{type(exc).__name__} is {code}") for code, excs in CASES.items() for exc in excs],
)
def test_an_exception_has_its_word(code, exc):
    error = translate(exc)
    assert error.spec.code == code
    assert (error.detail, error.field, error.metadata, error.args) == (None, None, {}, (error.spec.name,))
    assert error.retry_after_ms is None or error.retry_after_ms >= 1


@pytest.mark.parametrize(
    "exc", [exc for excs in CASES.values() for exc in excs], ids=lambda exc: f"{type(exc).__name__} in a reply"
)
def test_an_exception_in_a_reply_blames_nobody_who_asked(exc):
    """A provider's PermissionDenied is not the person's: it must neither close the socket nor ask for another field."""
    spec, asked = translate(exc, Stage.REPLY).spec, translate(exc).spec
    assert spec is (asked if asked.category is Category.SERVICE else SERVICE_ERROR)


def test_a_chat_error_stays_the_one_it_is():
    class Special(ChatError):
        pass

    for error in (ChatError(LLM_TIMEOUT, detail="x"), Special(LLM_TIMEOUT)):
        assert translate(error) is error
        assert translate(error, Stage.REPLY) is error


@pytest.mark.parametrize("spec", [spec for spec in CATALOGUE if spec.category is Category.AUTH], ids=lambda s: s.name)
def test_nobody_has_to_sign_in_for_a_provider(spec):
    """It is the provider that was refused: signing in again, as these sentences ask for, would change nothing."""
    error = ChatError(spec, detail="the provider answered 401")
    assert translate(error, Stage.REPLY).spec is SERVICE_ERROR
    assert translate(error) is error


def test_every_word_of_the_table_can_be_said():
    """A rate limit without a time would raise where nothing may raise."""
    for kind, (spec, retry_after_ms) in TRANSLATIONS.items():
        assert ChatError(spec, retry_after_ms=retry_after_ms).spec is spec, kind


def test_every_error_of_django_db_is_a_database_error():
    kinds = [kind for _, kind in inspect.getmembers(db, inspect.isclass) if issubclass(kind, Exception)]
    assert len(kinds) >= 9
    for kind in kinds:
        assert translate(kind("x")).spec.code == "DATABASE_ERROR", kind


class TestWhatIsNoFailure:
    """Channels steers consumers with exceptions, and asyncio cancels with one: those pass through unrecorded."""

    @pytest.mark.parametrize("signal", [StopConsumer, AcceptConnection, DenyConnection, KeyboardInterrupt])
    async def test_passes(self, signal, log_lines):
        async def step(message: object, context: RouteContext) -> None:
            raise signal

        with pytest.raises(signal):
            await ErrorMiddleware(step)(None, RouteContext(Stage.ROUTE))
        assert log_lines == []

    async def test_our_own_cancellation_passes(self, log_lines):
        async def step(message: object, context: RouteContext) -> None:
            await asyncio.Event().wait()

        task = asyncio.create_task(ErrorMiddleware(step)(None, RouteContext(Stage.ROUTE)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log_lines == []

    async def test_success_is_no_failure(self, log_lines):
        async def step(message: object, context: RouteContext) -> str:
            return "done"

        assert await ErrorMiddleware(step)(None, RouteContext(Stage.ROUTE)) is None
        assert log_lines == []
