"""Providers are looked at once, at start: one that cannot work refuses there, in one line, not at somebody's frame."""

from __future__ import annotations

import sys
import types

import pytest
from django.core.exceptions import ImproperlyConfigured

from chat import runtime
from chat.llm import registry
from chat.llm.base import Deadlines, Usage
from chat.models import ChatSession
from chat.protocol import ModelInfo

ONE = (ModelInfo(id="one", name="One"),)


class Whole:
    models = ONE

    async def stream(self, request):
        yield "well"


class RaisesModels(Whole):
    @property
    def models(self):
        raise RuntimeError("not\nnow")


class NoModels(Whole):
    models = ()


class ModelsAreText(Whole):
    models = "one"


class ModelsAreNone(Whole):
    models = None


class EmptyId(Whole):
    models = (ModelInfo(id="", name="One"),)


class LongId(Whole):
    models = (ModelInfo(id="x" * 129, name="One"),)


class IdIsNoText(Whole):
    models = (ModelInfo(id=7, name="One"),)  # type: ignore[arg-type]


class Twice(Whole):
    models = ONE + ONE


class NoStream:
    models = ONE


class ReturnsItsAnswer:
    models = ONE

    async def stream(self, request):
        return "well"


class NeedsArguments(Whole):
    def __init__(self, key):
        pass


class Forgetful(Whole):
    """Its models can be read at start only."""

    is_away = False

    @property
    def models(self):
        if self.is_away:
            raise RuntimeError("the catalogue is away")
        return list(ONE)


class Hesitant(Whole):
    """Takes its time to get ready, every time it is asked, and cannot."""

    asked = 0
    fault: type[BaseException] = OSError

    async def warm_up(self):
        type(self).asked += 1
        raise self.fault("no weights here")


class SaysWhich:
    """Knows its own models, and what they are called elsewhere."""

    models = (ModelInfo(id="one", name="One"), ModelInfo(id="two", name="Two"))

    async def stream(self, request):
        yield {"one": "the first", "two": "the second"}[request.model_id]

    def deadlines(self, model_id):
        return {"one": Deadlines(5, 5, 5), "two": Deadlines(6, 6, 6)}[model_id]


@pytest.fixture
def providers(monkeypatch):
    module = types.ModuleType("own_providers")
    for kind in [value for value in globals().values() if isinstance(value, type)]:
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "own_providers", module)
    monkeypatch.setattr(Forgetful, "is_away", False)
    monkeypatch.setattr(Hesitant, "asked", 0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RaisesModels", "RuntimeError: not now"),
        ("NoModels", "offers no models"),
        ("ModelsAreText", "each of `models` is a ModelInfo"),
        ("ModelsAreNone", "needs `models` and `stream`"),
        ("EmptyId", "1 to 128 characters"),
        ("LongId", "1 to 128 characters"),
        ("IdIsNoText", "1 to 128 characters"),
        ("Twice", "'one' is taken"),
        ("NoStream", "needs `models` and `stream`"),
        ("ReturnsItsAnswer", "must be a method that yields"),
        ("NeedsArguments", "dotted path of a class"),
    ],
)
def test_what_cannot_work_is_refused_at_start(providers, configure, name, words):
    configure(provider=f"own_providers.{name}")
    with pytest.raises(ImproperlyConfigured) as refused:
        registry.load()
    assert f"own_providers.{name}" in str(refused.value)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_model_id_belongs_to_one_provider(providers, use_provider):
    use_provider(id="demo", more='[[provider]]\nid = "second"\ntype = "demo"\n')
    with pytest.raises(ImproperlyConfigured, match="'second': the model id 'demo' is taken"):
        registry.load()


async def test_models_are_read_once_and_connections_live_without_the_provider(providers, alice, configure, monkeypatch):
    """A property that raises later reaches neither `connection_status` nor the actions of an error."""
    configure(provider="own_providers.Forgetful")
    await (await alice.connect()).close()
    monkeypatch.setattr(Forgetful, "is_away", True)
    device = await alice.connect()
    assert [model["id"] for model in device.status["models"]] == ["one"]
    ack = await device.say("hello", ref="r1")
    assert await device.answer(ack["reply_id"]) == "well"
    await device.send("model_select", ref="r2", session_id=ack["session_id"], model_id="nobodys")
    assert (await device.expect("error", ref="r2"))["error"]["code"] == "MODEL_UNKNOWN"
    await device.close()


@pytest.mark.parametrize(("model_id", "answer"), [("two", "the second"), ("gone", "the first"), ("", "the first")])
async def test_a_model_that_was_taken_out_is_answered_for_by_the_default(
    providers, alice, configure, failures, model_id, answer
):
    """The provider is asked for what it offers, and not for what it never heard of."""
    configure(provider="own_providers.SaysWhich")
    session = await ChatSession.objects.acreate(owner_id=alice.user_id, model_id=model_id)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1", session_id=str(session.pk))
    assert await device.answer(ack["reply_id"]) == answer
    assert await failures() == []
    await device.close()


@pytest.mark.parametrize("fault", [OSError, SystemExit])
async def test_a_provider_that_cannot_warm_up_is_asked_all_the_same(
    providers, alice, configure, monkeypatch, failures, fault
):
    monkeypatch.setattr(Hesitant, "fault", fault)
    configure(provider="own_providers.Hesitant")
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    assert await device.answer(ack["reply_id"]) == "well"
    assert Hesitant.asked == 2  # with the server, and before the reply
    assert await failures() == []
    assert runtime.current().backend.models == ONE


@pytest.mark.parametrize("counts", [(-1, 0), (0, -1), (2**31, 0), (1.5, 0), ("1", 0), (None, 0), (True, 0)])
def test_token_counts_that_make_no_sense_are_refused(counts):
    with pytest.raises(ValueError, match="whole numbers"):
        Usage(*counts)
