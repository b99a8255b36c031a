"""Wrong settings refuse to start, in a line that says what to change. Real processes, in a copy of the project.

The copy has its own `var/`: a developer's key and database are neither read nor written.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from chat import conf as chat_conf
from chat.conf import ChatSettings
from errors.conf import ErrorsSettings, from_environment, read

ROOT = Path(__file__).resolve().parent.parent
GOOD = {  # a deployment of one process
    "SECRET_KEY": secrets.token_urlsafe(50),
    "ALLOWED_HOSTS": "chat.switchboard.dev",
    "CHAT_ALLOWED_ORIGINS": "https://chat.switchboard.dev,http://127.0.0.1:8000,https://[::1]:8443",
    "CHAT_SINGLE_PROCESS": "true",
}
CANARY = "canary-pw-5e1d"

# What is set -> words of the one line that refuses it. All of these under `manage.py check`, where DEBUG is on.
REFUSED: dict[str, tuple[str, ...]] = {
    "CHAT_PATH_PREFX=/x": ("CHAT_PATH_PREFX is not a setting", "did you mean CHAT_PATH_PREFIX?"),
    "ERRORS_RETENTION_DAY=3": ("ERRORS_RETENTION_DAY is not a setting", "did you mean ERRORS_RETENTION_DAYS?"),
    "CHAT_OUTBOX_SIZE=many": ("CHAT_OUTBOX_SIZE", "'many'", "int"),
    "CHAT_MAX_CONTENT_CHARS=0": ("CHAT_MAX_CONTENT_CHARS", "'0'", ">= 1"),
    "CHAT_HISTORY_MESSAGES=10001": ("CHAT_HISTORY_MESSAGES", "'10001'", "<= 10000"),
    "CHAT_SINGLE_PROCESS=maybe": ("CHAT_SINGLE_PROCESS", "'maybe'", "true or false"),
    "CHAT_ALLOWED_ORIGINS=https://a.b/": ("CHAT_ALLOWED_ORIGINS", "'https://a.b/'", "scheme://host"),
    "CHAT_PATH_PREFIX=chat/": ("CHAT_PATH_PREFIX", "'chat/'", "as /chat"),
    "CHAT_METRICS_TOKEN=canary-pw-5e1d": ("CHAT_METRICS_TOKEN", "at least 16"),
    "DATABASE_URL=nonsense": ("DATABASE_URL", "sqlite:///PATH"),
    f"DATABASE_URL=mysql://app:{CANARY}@db/prod": ("DATABASE_URL", "postgres://"),
    f"DATABASE_URL=postgres://app:{CANARY}@db:port/prod": ("DATABASE_URL", "postgres://"),
    f"REDIS_URL=http://:{CANARY}@cache/0": ("REDIS_URL", "redis://"),
    f"REDIS_URL=redis://:p[{CANARY}]x@cache/0": ("REDIS_URL", "redis://", "%5B"),
    f"REDIS_URL=redis://:{CANARY}@cache:port/0": ("REDIS_URL", "redis://"),
    "DEBUG=perhaps": ("DEBUG", "'perhaps'", "true or false"),
    "PORT=abc": ("PORT", "'abc'", "a port number"),
    "PORT=99999": ("PORT", "'99999'", "a port number"),
    "LOG_LEVEL=loud": ("LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR"),
}
# What is changed of GOOD ("-NAME": taken away) -> ids of the checks that refuse it when the server starts.
CHECKED: dict[str, set[str]] = {
    "": set(),
    "-SECRET_KEY": {"chat.E004"},
    "SECRET_KEY=change-me-change-me-change-me-change-me-change-me-change-me": {"chat.E004"},
    "SECRET_KEY=abababababababababababababababababababababababababababababab": {"chat.E004"},
    "-CHAT_ALLOWED_ORIGINS": {"chat.E003"},
    "CHAT_ALLOWED_ORIGINS=https://chat.example.org": {"chat.E003"},
    "-CHAT_SINGLE_PROCESS": {"chat.E002"},
    "-SECRET_KEY -CHAT_ALLOWED_ORIGINS -CHAT_SINGLE_PROCESS": {"chat.E002", "chat.E003", "chat.E004"},
    "CHAT_LEASE_S=2": {"chat.E009"},
    "CHAT_PROVIDER=no.such.Class": {"chat.E007"},
    "CHAT_PROVIDER=os.path": {"chat.E007"},
    f"LLM_API_KEY={CANARY} LLM_MODEL=m": {"chat.E007"},
    "CHAT_PROVIDER=builtins.int": {"chat.E007"},
    "ERRORS_EXTRA_SPECS=no.such.SPEC": {"errors.E001"},
    'ERRORS_LOG_LEVELS={"validation":"loud"}': {"errors.E002"},
    f"-CHAT_SINGLE_PROCESS REDIS_URL=redis://:{CANARY}@127.0.0.1:1/0": set(),  # Redis may come later
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product without anything that a developer's machine added to it."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("chat", "config", "errors"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "manage.py", folder)
    return folder


@pytest.fixture(scope="module")
def run(tree: Path) -> Run:
    def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        clean = {"PATH": os.environ["PATH"], **environment}
        return subprocess.run(command, cwd=tree, env=clean, capture_output=True, text=True, timeout=120)

    return run_python


def check(run: Run, case: str) -> subprocess.CompletedProcess[str]:
    name, _, value = case.partition("=")
    return run("manage.py", "check", **{"SECRET_KEY": GOOD["SECRET_KEY"], name: value})


def serve(run: Run, case: str) -> subprocess.CompletedProcess[str]:
    environment = dict(GOOD)
    for word in case.split():
        name, _, value = word.partition("=")
        if name.startswith("-"):
            del environment[name[1:]]
        else:
            environment[name] = value
    return run("-c", "import config.asgi; print('serving')", **environment)


@pytest.fixture(scope="module")
def outcomes(run: Run) -> Iterator[Mapping[str, Future[subprocess.CompletedProcess[str]]]]:
    """What becomes of every case: two processes at a time, begun when the first test asks."""
    with ThreadPoolExecutor(2) as pool:
        begun = {case: pool.submit(check, run, case) for case in REFUSED}
        yield begun | {case: pool.submit(serve, run, case) for case in CHECKED}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_value_refuses_in_one_line(outcomes, case):
    done = outcomes[case].result()
    assert done.returncode != 0
    assert done.stderr.startswith("switchboard: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert [word for word in REFUSED[case] if word not in done.stderr] == []
    assert CANARY not in done.stderr + done.stdout


@pytest.mark.parametrize("case", CHECKED)
def test_a_deployment_mistake_refuses_to_serve(outcomes, case):
    """daphne runs no system checks, so importing the application does; each finding is a line with its id."""
    done = outcomes[case].result()
    lines = done.stderr.removeprefix("switchboard: ").splitlines()
    assert {line.partition(":")[0] for line in lines} == CHECKED[case]
    assert len(lines) == len(CHECKED[case])
    assert (done.returncode == 0) is (done.stdout == "serving\n") is (not CHECKED[case])
    assert CANARY not in done.stderr


def test_demo_accounts_refuse_to_serve_until_their_passwords_are_changed(run, tmp_path):
    own = {"DATABASE_URL": f"sqlite:///{tmp_path / 'demo.sqlite3'}"}
    assert run("manage.py", "migrate", "--verbosity", "0", **own).returncode == 0
    refused = run("manage.py", "create_demo_accounts", **GOOD, **own, DEBUG="0")
    assert refused.returncode != 0
    assert "DEBUG" in refused.stderr
    assert "demo" in run("manage.py", "create_demo_accounts", **own).stdout
    done = run("-c", "import config.asgi", **GOOD, **own)
    assert done.returncode != 0
    assert [line.partition(":")[0] for line in done.stderr.removeprefix("switchboard: ").splitlines()] == [
        "chat.E006"
    ] * 2
    lock = "from django.contrib.auth.models import User; User.objects.update(password='!')"
    assert run("manage.py", "shell", "-c", lock, **own).returncode == 0
    assert run("-c", "import config.asgi", **GOOD, **own).returncode == 0


def test_development_makes_its_own_key_and_keeps_it(run, tree):
    """Under manage.py DEBUG is on by itself, and the key is random, private and stays; a server never makes one."""
    key = tree / "var" / "secret_key"
    key.unlink(missing_ok=True)
    served = run("-c", "import config.asgi", CHAT_ALLOWED_ORIGINS="https://a.b", CHAT_SINGLE_PROCESS="1")
    assert "chat.E004" in served.stderr
    assert not key.exists()

    ask = "from django.conf import settings; print(settings.DEBUG, settings.SECRET_KEY)"
    first = run("manage.py", "shell", "-c", ask).stdout.split()[-2:]
    assert first[0] == "True"
    assert len(first[1]) >= 50
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert run("manage.py", "shell", "-c", ask).stdout.split()[-2:] == first
    assert run("manage.py", "shell", "-c", ask, DEBUG="0", **GOOD).stdout.split()[-2:] == ["False", GOOD["SECRET_KEY"]]


# --- The table of settings itself, without a process for each ---------------------------------------------------------


def numbers(kind: type[msgspec.Struct]) -> list[str]:
    """The settings that are numbers: all of them are amounts of something."""
    hints = get_type_hints(kind, include_extras=True)
    return [name for name, hint in hints.items() if {hint, *get_args(hint)} & {int, float}]


NUMBERS = [
    (name, kind, field)
    for name, kind in (("CHAT", ChatSettings), ("ERRORS", ErrorsSettings))
    for field in numbers(kind)
]


@pytest.mark.parametrize(("name", "kind", "field"), NUMBERS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("text", ["0", "-1", "many", "", "nan", "inf", "1e400", "0x10", "1,5"])
def test_a_number_is_an_amount(name, kind, field, text):
    """A limit of nothing, less than nothing or without end is a mistake, not a way to switch the limit off."""
    variable = f"{name}_{field.upper()}"
    given = override_settings(**{name: from_environment(name, kind, {variable: text})})
    with given, pytest.raises(ImproperlyConfigured, match=variable) as refused:
        read(name, kind)
    assert "\n" not in str(refused.value)


def test_there_are_numbers_in_the_table():
    assert len(NUMBERS) >= 25


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "https://*.a.b", "a.b", "ftp://a.b", "https://a.b/chat", "https://A.b", "https://good@evil.net",
     "https://a.b:port", "https://a.b:123456", "https://a.b?", "https://a.b#", "https://a.b\n", " ", "https://"],
)  # fmt: skip
def test_an_origin_is_a_whole_one(origin):
    given = override_settings(CHAT={"allowed_origins": ("https://good.net", origin)})
    with given, pytest.raises(ImproperlyConfigured, match="CHAT_ALLOWED_ORIGINS"):
        chat_conf.chat()


@pytest.mark.parametrize("prefix", ["", "/", "chat", "/chat/", "/chat\n", "//chat", "/a b", "/é", "/chat?x", "/a/../b"])
def test_a_prefix_is_a_path(prefix):
    given = override_settings(CHAT={"path_prefix": prefix})
    with given, pytest.raises(ImproperlyConfigured, match="CHAT_PATH_PREFIX"):
        chat_conf.chat()


def test_lists_and_words_are_read_as_people_write_them():
    read_as: dict[str, Any] = from_environment(
        "CHAT",
        ChatSettings,
        {
            "CHAT_ALLOWED_ORIGINS": " https://a.b , https://c.d,",
            "CHAT_LOCAL_DELIVERY": " Off ",
            "CHAT_OUTBOX_SIZE": " 9 ",
            "PATH": "x",
        },
    )
    assert read_as == {"allowed_origins": ("https://a.b", "https://c.d"), "local_delivery": False, "outbox_size": "9"}
    with override_settings(CHAT=read_as):
        assert chat_conf.chat().outbox_size == 9
