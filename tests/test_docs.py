"""The documents tell the truth: examples decode, tables have every value. Their links are in test_docs_pointers.py."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.utils import timezone

from chat import decode, groups, protocol, sessions
from chat.conf import ChatSettings
from chat.llm.conf import LlmSettings
from chat.models import ChatMessage, ChatSession, Reply
from errors import taxonomy
from errors.conf import ErrorsSettings
from errors.management.commands.write_error_docs import render
from errors.taxonomy import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
PROTOCOL = (DOCS / "protocol.md").read_text()
CONFIGURATION = (DOCS / "configuration.md").read_text()

EXAMPLE = re.compile(r"^<!-- (client|server|http|event) ?(\w*) -->\n```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JSON_BLOCK = re.compile(r"^```json$", re.MULTILINE)
EXAMPLES = [match.groups() for match in EXAMPLE.finditer(PROTOCOL)]


def examples(side: str) -> list[Any]:
    """Parameters (name, text) for a test: every example of one side."""
    return [
        pytest.param(name, text, id=f"{name}-{number}")
        for number, (found, name, text) in enumerate(EXAMPLES)
        if found == side
    ]


def tag(frame: type[msgspec.Struct]) -> str:
    return str(frame.__struct_config__.tag)


class TestProtocol:
    @pytest.mark.parametrize(("name", "text"), examples("client"))
    def test_a_client_example_is_accepted_with_every_field(self, name: str, text: str) -> None:
        message = decode.decode(text)
        assert message.type == name
        unknown = set(json.loads(text)) - {"type", *message.__struct_fields__}
        assert not unknown

    @pytest.mark.parametrize(("name", "text"), examples("server"))
    def test_a_server_example_is_what_the_server_would_send(self, name: str, text: str) -> None:
        frame = msgspec.json.decode(text, type=protocol.Frame)
        assert tag(type(frame)) == name
        assert json.loads(protocol.encode(frame)) == json.loads(text)

    def test_every_frame_has_an_example(self) -> None:
        shown = {(side, name) for side, name, _ in EXAMPLES}
        frames = {("client", tag(frame)) for frame in protocol.INBOUND}
        frames |= {("server", tag(frame)) for frame in get_args(protocol.Frame)}
        assert frames <= shown
        assert {name for side, name in shown if side == "client"} == {tag(frame) for frame in protocol.INBOUND}

    def test_the_event_example_is_delivered(self) -> None:
        (event,) = [json.loads(text) for side, _, text in EXAMPLES if side == "event"]
        assert event["type"] == groups.EVENT
        session_id, frames = groups.read_event(event)
        assert groups.of_session(session_id).startswith("chat.session.")
        assert f"`{groups.of_session('<session_id>')}`" in PROTOCOL
        assert [frame.kind for frame in frames] == ["notification"]

    def test_every_json_block_is_an_example(self) -> None:
        assert len(JSON_BLOCK.findall(PROTOCOL)) == len(EXAMPLES)

    def test_every_close_code_is_explained(self) -> None:
        codes = {value for name, value in vars(taxonomy).items() if name.startswith("CLOSE_")}
        assert {str(code) for code in codes} <= set(re.findall(r"^\| (\d{4}) \|", PROTOCOL, re.MULTILINE))

    def test_the_numbers_are_those_of_the_defaults(self) -> None:
        """Where the text names a limit, it names the one in force."""
        settings = ChatSettings()
        assert f"has at most {settings.max_content_chars:_} characters".replace("_", " ") in PROTOCOL
        assert f"over {settings.max_frame_bytes:_} bytes".replace("_", " ") in PROTOCOL
        assert f"At most {settings.max_registrations} sessions per connection" in PROTOCOL
        assert f"at most {settings.resume_page} missed messages" in PROTOCOL
        assert f"more than {settings.resume_limit:_} messages".replace("_", " ") in PROTOCOL


class TestHttpExamples:
    """The bodies have exactly the keys of real answers."""

    def test_sessions_and_messages(self, people) -> None:
        alice = people("alice")
        session = self._fill(alice.user_id)
        ChatSession.objects.create(owner_id=alice.user_id, last_activity_at="2020-01-01T00:00:00Z")
        for name, method, path in (
            ("sessions", "get", "/chat/sessions?limit=1"),
            ("session", "get", f"/chat/sessions/{session.pk}?limit=2"),
            ("end", "post", f"/chat/sessions/{session.pk}/end"),
            ("admin_sessions", "get", "/chat/admin/sessions?limit=1"),
            ("admin_metrics", "get", "/chat/admin/metrics"),
        ):
            if name == "admin_sessions":
                get_user_model().objects.update(is_staff=True, is_superuser=True)
                ChatSession.objects.update(ended_at=None)
            answer = getattr(alice.client, method)(path)
            assert (answer.status_code, shape(answer.json())) == (200, shape(example(name))), path

    def test_a_failure(self, people, monkeypatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OperationalError("away")

        monkeypatch.setattr(sessions, "page", fail)
        answer = people("alice").client.get("/chat/sessions")
        documented = example("error")
        assert shape(answer.json()) == shape(documented)
        assert (answer.json()["code"], answer.json()["error"]) == (documented["code"], documented["error"])
        assert answer.status_code == 503
        assert int(answer["Retry-After"]) >= 1

    def test_health(self, people) -> None:
        client = people("alice").client
        for name in ("healthz", "readyz"):
            assert client.get(f"/chat/{name}").json() == example(name)

    def test_statuses_named_in_the_text(self, people, client) -> None:
        alice = people("alice")
        for who, method, path, status, code in (
            (client, "get", "/chat/sessions", 401, "UNAUTHORIZED"),
            (alice.client, "get", "/chat/admin/sessions", 403, "INSUFFICIENT_PERMISSIONS"),
            (alice.client, "get", "/chat/sessions/none", 404, "NOT_FOUND"),
            (alice.client, "get", "/chat/none", 404, "NOT_FOUND"),
            (alice.client, "post", "/chat/none", 404, "NOT_FOUND"),
            (alice.client, "post", "/chat/sessions", 405, "METHOD_NOT_ALLOWED"),
            (alice.client, "get", "/chat/sessions?limit=0", 400, "INVALID_FORMAT"),
        ):
            answer = getattr(who, method)(path)
            assert (answer.status_code, answer.json()["code"]) == (status, code), path
            assert "reference" not in answer.json()
        assert alice.client.post("/chat/sessions")["Allow"] == "GET, HEAD"

    def _fill(self, user_id: str) -> ChatSession:
        """A session as in the examples: messages 5 and 6, and older ones."""
        session = ChatSession.objects.create(owner_id=user_id, title="t", model_id="demo", last_seq=6)
        old, asked, answer = [
            ChatMessage.objects.create(session=session, seq=seq, sender=sender, content="c", **more)
            for seq, sender, more in (
                (4, "user", {}),
                (5, "user", {"client_ref": "m-17", "model_id": "demo", "metadata": {"page": "/pricing"}}),
                (6, "ai", {"model_id": "demo"}),
            )
        ]
        Reply.objects.create(
            session=session,
            message=asked,
            answer=answer,
            owner_key=user_id,
            state="complete",
            lease_until=timezone.now(),
        )
        return old.session


def example(name: str) -> Any:
    (text,) = [text for side, found, text in EXAMPLES if (side, found) == ("http", name)]
    return json.loads(text)


def shape(value: Any) -> Any:
    """The keys of a body, at every depth, and what kind of value each has."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


class TestErrors:
    def test_the_page_is_what_the_command_writes(self) -> None:
        """Run `manage.py write_error_docs` after a change of the catalogue."""
        assert (DOCS / "errors.md").read_text() == render(CATALOGUE)

    @pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
    def test_every_code_has_its_section(self, spec: taxonomy.ErrorSpec) -> None:
        page = (DOCS / "errors.md").read_text()
        _, _, section = page.partition(f"\n## {spec.code}\n")
        section, _, _ = section.partition("\n## ")
        for text in (spec.message, spec.why, spec.remedy, f"| HTTP status | {spec.http_status} |"):
            assert text in section


class TestConfiguration:
    @pytest.mark.parametrize(
        ("name", "kind"), [("CHAT", ChatSettings), ("ERRORS", ErrorsSettings), ("LLM", LlmSettings)]
    )
    def test_every_key_is_listed_with_its_true_default(self, name: str, kind: type[msgspec.Struct]) -> None:
        defaults = {
            field.name: written(msgspec.to_builtins(getattr(kind(), field.name)))
            for field in msgspec.structs.fields(kind)
        }
        assert {key: row[0] for key, row in table(name).items()} == defaults

    @pytest.mark.parametrize("name", ["CHAT", "ERRORS", "The deployment"])
    def test_every_row_says_its_unit_and_why(self, name: str) -> None:
        for key, (_, unit, reason) in table(name).items():
            assert unit, key
            assert len(reason) > 10, key

    def test_every_variable_of_the_settings_module_is_listed(self) -> None:
        assert set(table("The deployment")) == set(variables_read())

    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
    def test_no_page_names_a_variable_that_there_is_not(self, document: Path) -> None:
        known = {f"CHAT_{field}".upper() for field in ChatSettings.__struct_fields__}
        known |= {f"ERRORS_{field}".upper() for field in ErrorsSettings.__struct_fields__}
        known |= {"CHAT_NAME", "ERRORS_NAME"}  # as a pattern
        assert set(re.findall(r"\b(?:CHAT|ERRORS)_[A-Z_]*[A-Z]\b", document.read_text())) <= known


def table(section: str) -> dict[str, list[str]]:
    """The rows below a heading of configuration.md: key -> default, unit, reason."""
    _, _, text = CONFIGURATION.partition(f"\n## {section}\n")
    text, _, _ = text.partition("\n## ")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): [row[1].strip("`"), *row[2:]] for row in rows}


def written(value: Any) -> str:
    """A default as the table writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple) and value:
        return ",".join(value)
    return str(value) if value or value == 0 else "empty"


def variables_read() -> Iterator[str]:
    """The names that config/settings.py asks the environment for, one by one."""
    for node in ast.walk(ast.parse((ROOT / "config" / "settings.py").read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            is_reader = ast.unparse(node.func).startswith(("_boolean", "env.", "os.environ.get"))
            if is_reader and str(node.args[0].value).isupper():
                yield str(node.args[0].value)
