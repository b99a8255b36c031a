"""A provider that works: context, system prompt, figures, stopping, retrying, several models, the token budget."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.llm.base import ReplyRequest, Turn
from chat.llm.window import estimate, messages, prompt_tokens
from chat.models import Reply
from errors.exceptions import ChatError
from errors.taxonomy import CONTEXT_TOO_LONG
from tests.llm.conftest import KEY


async def test_an_answer_streams_and_its_figures_are_stored(alice, use_provider, llm_server):
    use_provider(system_prompt="Be kind.", max_tokens=99)
    device = await alice.connect()
    assert [model["id"] for model in device.status["models"]] == ["real"]
    first = await device.say("one", ref="r1")
    assert await device.answer(first["reply_id"]) == "You said: one. 😀 It works. "
    second = await device.say("two", ref="r2", session_id=first["session_id"])
    await device.answer(second["reply_id"])

    asked = llm_server.requests[-1]
    assert (asked["model"], asked["max_tokens"], asked["stream"]) == ("m", 99, True)
    assert [(message["role"], message["content"][:8]) for message in asked["messages"]] == [
        ("system", "Be kind."),
        ("user", "one"),
        ("assistant", "You said"),
        ("user", "two"),
    ]
    assert llm_server.headers[-1]["authorization"] == f"Bearer {KEY}"
    reply = await Reply.objects.aget(pk=second["reply_id"])
    assert (reply.prompt_tokens, reply.completion_tokens) == (11, 7)
    assert 0 <= reply.first_token_ms <= reply.total_ms


async def test_stopping_closes_the_providers_connection(alice, use_provider, llm_server):
    use_provider()
    device = await alice.connect()
    ack = await device.say("trickle", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    await device.send("stop", reply_id=ack["reply_id"])
    await device.expect("ai_response", state="stopped")
    assert await asyncio.to_thread(llm_server.hung_up.wait, 5)


async def test_a_moment_of_weakness_is_retried_before_the_first_word(alice, use_provider, llm_server, failures):
    use_provider(first_token_s=10.0)
    llm_server.failures_left = 2
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    assert await device.answer(ack["reply_id"]) == "You said: hello. 😀 It works. "
    assert len(llm_server.requests) == 3
    assert await failures() == []


async def test_questions_without_an_answer_are_one_turn_with_the_next(alice, use_provider, llm_server):
    use_provider()
    device = await alice.connect()
    ack = await device.say("401", ref="r1")
    await device.expect("error", reply_id=ack["reply_id"])
    ack = await device.say("hello", ref="r2", session_id=ack["session_id"])
    assert await device.answer(ack["reply_id"]) == "You said: hello. 😀 It works. "
    assert llm_server.requests[-1]["messages"] == [{"role": "user", "content": "401\n\nhello"}]


async def test_several_providers_are_one_choice(alice, use_provider, llm_server):
    more = '[[provider]]\nid = "second"\nname = "Second"\ntype = "demo"\n'
    more += f'[[provider]]\nid = "third"\nbase_url = "{llm_server.url}"\nmodel = "other"\norder = -1\n'
    use_provider(more=more)
    device = await alice.connect()
    assert [model["id"] for model in device.status["models"]] == ["third", "real", "demo", "demo-brief"]
    ack = await device.say("hello", ref="r1")
    await device.answer(ack["reply_id"])
    ack = await device.say("hello", ref="r2", model_id="real", session_id=ack["session_id"])
    await device.answer(ack["reply_id"])
    assert [request["model"] for request in llm_server.requests] == ["other", "m"]


async def test_a_person_who_used_up_the_day_is_told_when_it_ends(alice, use_provider, configure):
    use_provider()
    configure(tokens_per_day=18)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.answer(ack["reply_id"])
    await device.send("user_message", content="more", ref="r2", session_id=ack["session_id"])
    error = (await device.expect("error", ref="r2"))["error"]
    assert (error["code"], error["outcome"]) == ("TOO_MANY_REQUESTS", "rejected")
    assert error["message"] == "You have used up what you may ask for today."
    assert 0 < error["retry_after"] <= 86_400_000


def _request(*turns: tuple[str, str], partial: str = "") -> ReplyRequest:
    return ReplyRequest("m", tuple(Turn(*turn) for turn in turns), partial_text=partial)


class TestWindow:
    def test_the_newest_turns_that_fit_are_given(self):
        turns = [("user", "a" * 400), ("ai", "b" * 400), ("user", "c" * 400), ("ai", "d" * 400), ("user", "question")]
        room = estimate("question") + 2 * estimate("c" * 400)
        told = messages(_request(*turns), system_prompt="", context_tokens=room)
        assert [message["content"][0] for message in told] == ["c", "d", "q"]

    def test_an_answer_whose_question_does_not_fit_is_left_out(self):
        turns = [("user", "a" * 400), ("ai", "b" * 400), ("user", "question")]
        room = estimate("question") + estimate("b" * 400)
        told = messages(_request(*turns), system_prompt="", context_tokens=room)
        assert [message["role"] for message in told] == ["user"]

    def test_the_system_prompt_counts_and_stays(self):
        turns = [("user", "a" * 400), ("ai", "b" * 400), ("user", "question")]
        room = estimate("question") + 2 * estimate("a" * 400)
        told = messages(_request(*turns), system_prompt="s" * 400, context_tokens=room)
        assert [message["role"] for message in told] == ["system", "user"]

    @given(
        turns=st.lists(
            st.tuples(st.sampled_from(["user", "ai", "admin"]), st.text(min_size=1, max_size=80)), max_size=12
        ),
        room=st.integers(30, 300),
        prompt=st.sampled_from(["", "Be kind."]),
    )
    def test_whatever_was_said_the_roles_alternate_and_the_window_holds(self, turns, room, prompt):
        told = messages(_request(*turns, ("user", "question")), system_prompt=prompt, context_tokens=room)
        roles = [message["role"] for message in told if message["role"] != "system"]
        assert roles[0] == roles[-1] == "user"
        assert all(one != other for one, other in itertools.pairwise(roles))
        assert told[-1]["content"].endswith("question")
        assert sum(len(message["content"].encode()) // 4 for message in told) <= room

    def test_a_question_that_does_not_fit_is_told(self):
        with pytest.raises(ChatError) as caught:
            messages(_request(("user", "x" * 1_000)), system_prompt="", context_tokens=100)
        assert caught.value.spec is CONTEXT_TOO_LONG

    def test_a_partial_answer_is_given_to_go_on_from(self):
        told = messages(_request(("user", "q"), partial="So far"), system_prompt="s", context_tokens=1_000)
        assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
        assert told[2]["content"] == "So far"

    def test_what_is_read_is_estimated_up_to_the_window(self):
        request = _request(("user", "a" * 400), ("ai", "b" * 400), ("user", "question"), partial="So far")
        whole = 2 * estimate("a" * 400) + estimate("question") + estimate("So far")
        assert [prompt_tokens(request, room) for room in (None, whole + 1, 100)] == [whole, whole, 100]
