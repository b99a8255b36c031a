"""The house: a file imports only from a lower floor, `errors/` never imports `chat/`, the pipeline has one caller."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Lowest first. A module may import modules of the floors above its own line, and none beside it.
FLOORS = [
    {"errors.taxonomy", "errors.conf", "errors.keys", "errors.background", "errors.log_text", "errors.migrations"},
    {"errors.exceptions", "errors.context", "errors.catalogue", "errors.redaction", "errors.metrics", "errors.links"},
    {"errors.translator", "errors.report", "errors.checks", "errors.log_values", "errors.loggers"},
    {"errors.failure", "errors.apps", "errors.logs", "errors.theme"},
    {"errors.models"},
    {"errors.extent"},
    {"errors.columns", "errors.outage", "errors.causes", "errors.users", "errors.read_only", "errors.own_connections"},
    {"errors.cells"},
    {"errors.rows", "errors.periods", "errors.detail", "errors.search", "errors.explanations", "errors.export"},
    {"errors.admin_page"},
    {"errors.recorder", "errors.filters", "errors.summary", "errors.changelist", "errors.management", "errors.views"},
    {"errors.middleware", "errors.admin", "errors.templatetags", "errors.urls"},
    {"chat.llm.endpoint", "chat.llm.turns"},
    {"chat.llm.providers_file"},
    {"chat.conf", "chat.llm.conf", "chat.titles", "chat.telemetry", "chat.demo_accounts", "chat.wrappers", "chat.wire"},
    {"chat.protocol", "chat.database", "chat.origins", "chat.refusal", "chat.abandoned", "chat.frame_history"},
    {"chat.addresses", "chat.communicator", "chat.encoded", "chat.page_modules", "chat.redis_gate"},
    {"chat.limits", "chat.connection_leases", "chat.static_files"},
    {"chat.models", "chat.message_types", "chat.groups", "chat.migrations"},
    {"chat.flood", "chat.flow", "chat.layer_batch", "chat.layer_kinds", "chat.layer_membership", "chat.layer_peers"},
    {"chat.layer_outgoing"},
    {"chat.layer_link"},
    {"chat.hub"},
    {"chat.held", "chat.hub_calls"},
    {"chat.decode", "chat.llm.base", "chat.llm.demo_answers", "chat.llm.bounded", "chat.llm.openai_faults"},
    {
        "chat.sessions",
        "chat.envelope",
        "chat.login_store",
        "chat.admin_links",
        "chat.outbox",
        "chat.reply_progress",
        "chat.push",
        "chat.announcements",
        "chat.llm.demo",
        "chat.llm.window",
        "chat.llm.choice",
        "chat.llm.openai_client",
        "chat.llm.openai_chunks",
    },
    {"chat.admin_filters", "chat.admin_list", "chat.admin_transcript"},
    {"chat.admin", "chat.llm.openai"},
    {"chat.history", "chat.llm.registry"},
    {"chat.activity", "chat.entries", "chat.dialect", "chat.session_changes", "chat.faults", "chat.auth"},
    {"chat.allowances"},
    {"chat.access", "chat.batch", "chat.ownership", "chat.idle_sessions", "chat.missed", "chat.progress"},
    {"chat.jobs", "chat.frames", "chat.checks", "chat.management"},
    {"chat.writer", "chat.reply_jobs", "chat.reply_reader"},
    {"chat.journal"},
    {"chat.reply_ends", "chat.reply_stream"},
    {"chat.reaper"},
    {"chat.replies", "chat.api_shapes", "chat.apps"},
    {"chat.repair"},
    {"chat.heartbeat"},
    {"chat.runtime"},
    {"chat.connection", "chat.health", "chat.shutdown", "chat.api_errors"},
    {"chat.handlers", "chat.fault_middleware", "chat.registration", "chat.probes", "chat.api_staff"},
    {"chat.router"},
    {"chat.pipeline"},
    {"chat.consumers", "chat.api", "chat.views", "chat.scrape", "chat.testing"},
    {"chat.urls", "config.theme"},
    {"chat.asgi"},
    {"config.settings", "config.admin"},
    {"config.urls", "config.asgi"},
]
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}
PARTS = ("errors", "chat", "config")


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _files() -> list[Path]:
    return sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py") if path.name != "__init__.py")


def _room(module: str) -> str:
    """The name under which a module stands in FLOORS: its own, or its package's."""
    while module and module not in LEVEL:
        module = module.rpartition(".")[0]
    return module


def _imports(path: Path) -> set[str]:
    """Every module of ours that a file imports, also within functions; for type checking only does not count."""
    tree = ast.parse(path.read_text())
    skipped = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = (ROOT / Path(*whole.split("."))).with_suffix(".py").exists()
                found.add(whole if is_module else str(node.module))
    return {name for name in found if name.partition(".")[0] in PARTS}


@pytest.mark.parametrize("path", _files(), ids=_module)
def test_every_file_imports_downwards_only(path: Path) -> None:
    module = _module(path)
    assert _room(module), f"{module} stands on no floor: give it a line in FLOORS"
    for imported in _imports(path):
        assert _room(imported), f"{imported} stands on no floor"
        is_lower = LEVEL[_room(imported)] < LEVEL[_room(module)]
        assert is_lower, f"{module} imports {imported}, which is not below it"


def test_errors_knows_nothing_of_chat() -> None:
    for path in (ROOT / "errors").rglob("*.py"):
        assert not {name for name in _imports(path) if not name.startswith("errors")}, path


def test_every_room_on_the_plan_exists() -> None:
    for name in LEVEL:
        place = ROOT / Path(*name.split("."))
        assert place.is_dir() or place.with_suffix(".py").exists(), f"{name} is gone: take it out of FLOORS"


def test_the_read_pump_is_the_only_caller_of_the_pipeline() -> None:
    callers = []
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                continue
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "self.pipeline":
                    callers.append(f"{_module(path)}.{node.name}")
    assert callers == ["chat.consumers.receive_json"]


def test_handlers_catch_nothing() -> None:
    """An exception has one way: up."""
    for path in (ROOT / "chat" / "handlers").glob("*.py"):
        tries = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Try)]
        assert not tries, path


def test_package_files_are_empty() -> None:
    for part in (*PARTS, "tests"):
        for path in (ROOT / part).rglob("__init__.py"):
            assert not path.read_text().strip(), path


def test_apps_touch_nothing_when_they_get_ready() -> None:
    """`ready` registers the system checks and does nothing else: no query, no connection, no thread."""
    for part in ("errors", "chat"):
        tree = ast.parse((ROOT / part / "apps.py").read_text())
        (ready,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "ready"]
        assert [ast.unparse(statement) for statement in ready.body] == [f"from {part} import checks"]
