"""The catalogue's rules: what every spec keeps, and what a `ChatError` may say."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace

import pytest
from django.core.exceptions import ImproperlyConfigured

from errors import catalogue, checks, taxonomy
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import Failure
from errors.taxonomy import (
    CATALOGUE,
    CATEGORY_RULES,
    INVALID_FORMAT,
    LLM_UNAVAILABLE,
    REGISTRATION_FAILED,
    SERVICE_ERROR,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Action,
    Category,
    ErrorSpec,
    Outcome,
    Stage,
)

# The starting catalogue of DESIGN 4: a client depends on every one of these words.
CODES = {
    "auth": "INVALID_TOKEN EXPIRED_TOKEN UNAUTHORIZED INSUFFICIENT_PERMISSIONS",
    "validation": "INVALID_FORMAT MISSING_FIELD FIELD_TOO_LONG UNKNOWN_TYPE FRAME_TOO_LARGE NOT_FOUND "
    "METHOD_NOT_ALLOWED SESSION_ENDED DUPLICATE_MISMATCH MODEL_UNKNOWN CONTEXT_TOO_LONG",
    "service": "LLM_UNAVAILABLE LLM_TIMEOUT LLM_OVERLOADED LLM_REFUSED REPLY_INTERRUPTED DATABASE_ERROR SERVER_BUSY "
    "SERVICE_ERROR",
    "rate_limit": "TOO_MANY_REQUESTS CONNECTION_LIMIT_EXCEEDED",
}

GOODBYE = replace(LLM_UNAVAILABLE, code="HOST_IS_AWAY", name="HOST_IS_AWAY")  # a host project's own
TAKEN = replace(LLM_UNAVAILABLE)
NO_SPEC = "LLM_UNAVAILABLE"


class TestCatalogue:
    def test_holds_the_agreed_codes_in_their_categories(self):
        found: dict[str, set[str]] = {}
        for spec in CATALOGUE:
            found.setdefault(spec.category.value, set()).add(spec.code)
        assert found == {category: set(words.split()) for category, words in CODES.items()}

    def test_holds_every_spec_of_the_module_once(self):
        specs = {name: value for name, value in vars(taxonomy).items() if isinstance(value, ErrorSpec)}
        assert {name: spec.name for name, spec in specs.items()} == {name: name for name in specs}
        assert sorted(specs) == sorted(spec.name for spec in CATALOGUE)

    def test_a_code_means_one_category_and_one_way_on(self):
        for spec in CATALOGUE:
            same = [other for other in CATALOGUE if other.code == spec.code]
            assert {(other.category, other.rule, other.close_code) for other in same} == {
                (spec.category, spec.rule, spec.close_code)
            }

    def test_a_failed_registration_is_a_service_error_with_a_sentence_of_its_own(self):
        assert (REGISTRATION_FAILED.code, REGISTRATION_FAILED.category) == (SERVICE_ERROR.code, SERVICE_ERROR.category)
        assert REGISTRATION_FAILED.message == "Failed to establish session connection"
        assert REGISTRATION_FAILED.rule.recoverable

    def test_only_auth_is_fatal_and_closes(self):
        assert {category for category, rule in CATEGORY_RULES.items() if rule.closes} == {Category.AUTH}
        assert {category for category, rule in CATEGORY_RULES.items() if not rule.recoverable} == {Category.AUTH}
        assert {category for category, rule in CATEGORY_RULES.items() if rule.needs_retry_after} == {
            Category.RATE_LIMIT
        }
        for spec in CATALOGUE:
            assert (spec.close_code is not None) is (spec.category is Category.AUTH)
            assert spec.close_code is None or 4500 <= spec.close_code <= 4999  # a client stays away

    @pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
    def test_a_spec_says_what_happened_why_and_what_to_do(self, spec):
        assert re.fullmatch(r"[A-Z][A-Z_]+", spec.code)
        for sentence in (spec.message, spec.why, spec.remedy):
            assert sentence.strip() == sentence
            assert sentence[0].isupper()
            assert 10 <= len(sentence) <= 120
            assert not re.search(r"[{}%<>]|\b(SQL|Redis|exception|traceback|Django|API key)\b", sentence)
        assert 400 <= spec.http_status <= 599
        assert set(spec.actions) <= set(Action)

    def test_a_spec_cannot_change_nor_close_against_its_category(self):
        with pytest.raises(FrozenInstanceError):
            SERVICE_ERROR.message = "changed"  # type: ignore[misc]
        with pytest.raises(ValueError, match="close code"):
            replace(SERVICE_ERROR, close_code=4501)
        with pytest.raises(ValueError, match="close code"):
            replace(UNAUTHORIZED, close_code=None)


class TestChatError:
    def test_a_rate_limit_must_say_when_to_come_back(self):
        with pytest.raises(ValueError, match="TOO_MANY_REQUESTS must say when"):
            ChatError(TOO_MANY_REQUESTS)
        assert ChatError(TOO_MANY_REQUESTS, retry_after_ms=1).retry_after_ms == 1

    @pytest.mark.parametrize("spec", [TOO_MANY_REQUESTS, LLM_UNAVAILABLE, INVALID_FORMAT], ids=lambda spec: spec.name)
    @pytest.mark.parametrize("retry_after_ms", [0, -1, 0.4])
    def test_a_time_to_wait_is_at_least_a_millisecond(self, spec, retry_after_ms):
        with pytest.raises(ValueError, match="at least 1"):
            ChatError(spec, retry_after_ms=retry_after_ms)

    @pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
    def test_its_public_part_is_the_specs_and_nothing_else(self, spec):
        error = ChatError(spec, detail="canary", metadata={"canary": "canary"}, retry_after_ms=1_500, field="content")
        payload = Failure.of(error, RouteContext(Stage.ROUTE, user_id="canary", private_texts=("canary",))).payload()
        assert (payload.code, payload.message) == (spec.code, spec.message)
        assert (payload.category, payload.recoverable) == (spec.category.value, spec.rule.recoverable)
        assert (payload.retry_after, payload.field, payload.outcome) == (1_500, "content", "rejected")
        assert "canary" not in repr(payload)

    def test_actions_are_what_the_server_would_take_now(self):
        failure = Failure.of(ChatError(LLM_UNAVAILABLE), RouteContext(Stage.REPLY, outcome=Outcome.SAVED))
        assert failure.payload().actions == ("retry", "switch_model")
        assert failure.payload(accepted={Action.RETRY}).actions == ("retry",)
        assert failure.payload(accepted=()).actions == ()


class TestOwnSpecs:
    """A host project adds words of its own with one setting."""

    def test_become_part_of_the_catalogue(self, settings):
        settings.ERRORS = {"extra_specs": (f"{__name__}.GOODBYE",)}
        assert catalogue.specs() == (*CATALOGUE, GOODBYE)
        assert checks.settings_are_valid(None) == []

    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            (f"{__name__}.NOWHERE", "cannot be imported"),
            ("no.such.module", "cannot be imported"),
            ("nonsense", "cannot be imported"),
            (f"{__name__}.NO_SPEC", "is no ErrorSpec"),
            (f"{__name__}.TAKEN", "the name LLM_UNAVAILABLE of"),
        ],
    )
    def test_that_cannot_be_used_refuse_to_start(self, settings, path, problem):
        settings.ERRORS = {"extra_specs": (path,)}
        with pytest.raises(ImproperlyConfigured, match=problem):
            catalogue.specs()
        (error,) = checks.settings_are_valid(None)
        assert (error.id, problem in error.msg, path in error.msg) == ("errors.E001", True, True)

    @pytest.mark.parametrize("levels", [{"validations": "warning"}, {"validation": "loud"}, {"": ""}])
    def test_a_level_that_does_not_exist_refuses_to_start(self, settings, levels):
        settings.ERRORS = {"log_levels": levels}
        assert [error.id for error in checks.settings_are_valid(None)] == ["errors.E002"]
