"""docs/how-to/deploy.md, followed: nginx with TLS and the shipped configuration, two processes, PostgreSQL, Redis."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from django.core.management import get_commands

from chat.conf import ChatSettings
from tests.environment import clean
from tests.install import find_nginx
from tests.services.client import SiteClient
from tests.services.databases import FILL, PASSWORD
from tests.services.llm_server import LlmServer
from tests.services.nginx import NginxServer
from tests.services.postgres import PostgresServer, find_postgres
from tests.services.process import OwnedProcess, find_free_port, give_up, wait_until
from tests.services.redis import RedisServer
from tests.test_docs import DOCS, ROOT

PAGE = (DOCS / "how-to" / "deploy.md").read_text()
ENVIRONMENT = re.search(r"^<!-- file: switchboard.env -->\n```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
READ_TIMEOUT_S = 3  # in place of 75
HEARTBEAT_S = 1  # in place of 25


@dataclass
class Process:
    """One process of the deployment."""

    port: int
    launch: Callable[[], OwnedProcess]

    def start(self) -> None:
        """Start it and await that it is ready for work."""
        self.daphne = self.launch()
        wait_until(lambda: is_ready(self), "the process is ready", 30)

    def has_log_line_of(self, connection_id: str) -> bool:
        return connection_id in self.daphne.output()


@dataclass
class Deployment:
    url: str
    plain_port: int
    processes: list[Process]

    def sign_in(self) -> SiteClient:
        client = SiteClient(self.url)
        client.sign_in("alice", PASSWORD)
        return client


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, shared_redis: RedisServer) -> Iterator[Deployment]:
    if find_nginx() is None:
        give_up("nginx is not installed (apt install nginx)")
    if find_postgres() is None:
        give_up("PostgreSQL is not installed (apt install postgresql)")
    folder = tmp_path_factory.mktemp("srv") / "switchboard"
    for name in ("chat", "errors", "config", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", folder)
    tls_port, plain_port, *ports = [find_free_port() for _ in range(4)]
    url = f"https://localhost:{tls_port}"
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    changes = {
        "listen 443": f"listen 127.0.0.1:{tls_port}",
        "listen 80": f"listen 127.0.0.1:{plain_port}",
        "chat.your-domain.org": "localhost",
        "/srv/switchboard": str(folder),
        "127.0.0.1:8001": f"127.0.0.1:{ports[0]}",
        "127.0.0.1:8002": f"127.0.0.1:{ports[1]}",
        "proxy_read_timeout 75s": f"proxy_read_timeout {READ_TIMEOUT_S}s",
    }
    with (
        PostgresServer() as postgres,
        LlmServer() as llm,
        NginxServer(config, changes) as nginx,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SSL_CERT_FILE", str(nginx.certificate))  # what clients of this process trust
        environment = lay_environment(url, postgres.url, shared_redis.url, llm.url)
        for command in COMMANDS:
            run(command, folder, environment)
        run(f"python manage.py shell --no-imports --command {shlex.quote(FILL)}", folder, environment)
        processes = [Process(port, partial(launch, folder, environment, port)) for port in ports]
        for process in processes:
            process.start()
        yield Deployment(url, plain_port, processes)
        for process in processes:
            process.daphne.kill()


def lay_environment(url: str, database_url: str, redis_url: str, llm_url: str) -> dict[str, str]:
    """The page's own file, with a test's addresses in it."""
    assert ENVIRONMENT is not None
    documented = dict(line.split("=", 1) for line in ENVIRONMENT[1].splitlines())
    real = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "localhost",
        "CHAT_ALLOWED_ORIGINS": url,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "LLM_BASE_URL": llm_url,
    }
    assert real.keys() <= documented.keys()
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    return clean(dict(os.environ)) | documented | real | path | {"CHAT_HEARTBEAT_S": str(HEARTBEAT_S)}


def run(command: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["/bin/sh", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def launch(folder: Path, environment: dict[str, str], port: int) -> OwnedProcess:
    command = [str(folder / "deploy" / "daphne.sh")]
    log = folder.parent / f"daphne-{port}.log"
    return OwnedProcess(command, log, environment=environment | {"PORT": str(port)}, folder=folder)


def is_ready(process: Process) -> bool:
    assert process.daphne.is_running, process.daphne.last_words()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/chat/readyz", timeout=2) as answer:
            return bool(json.load(answer)["status"] == "ready")
    except OSError:
        return False


def test_signing_in_over_tls_gives_cookies_that_only_tls_carries(deployment: Deployment) -> None:
    client = deployment.sign_in()
    cookies = {cookie.name: cookie for cookie in client._jar}
    assert cookies["sessionid"].secure
    assert cookies["csrftoken"].secure
    assert client.get_text("/chat/")[0] == 200
    assert client.get_text("/admin/login/")[0] == 200


def test_the_first_line_says_what_a_process_runs_on_and_not_where(deployment: Deployment) -> None:
    for process in deployment.processes:
        (line,) = [line for line in process.daphne.output().splitlines() if "chat.started" in line]
        facts = {key: value for key, value in json.loads(line).items() if key not in ("timestamp", "logger")}
        assert facts == {
            "event": "chat.started",
            "level": "info",
            "models": ["the-model"],
            "channel_layer": "RedisPubSubChannelLayer",
            "database": "postgresql",
        }


def test_plain_http_leads_to_tls(deployment: Deployment) -> None:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(Stay).open(f"http://localhost:{deployment.plain_port}/chat/?a=1", timeout=5)
    with caught.value as answer:
        assert (answer.code, answer.headers["Location"]) == (301, "https://localhost/chat/?a=1")


def test_static_files_come_from_the_folder_compressed(deployment: Deployment) -> None:
    """Every module of the page, as JavaScript, or a browser would not run it, and to be kept for good."""
    page = deployment.sign_in().get_text("/chat/")[1]
    modules = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    assert len(modules) > 40
    for address, caching in [
        *((module, "max-age=315360000, public, immutable") for module in modules),
        ("/static/chat/client.js", "max-age=60, public"),  # its documented name
    ]:
        request = urllib.request.Request(deployment.url + address, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers.get_all("Cache-Control") == [caching]
            assert "Access-Control-Allow-Origin" not in answer.headers  # nginx's answer, not a process's
            assert "javascript" in answer.headers["Content-Type"]
            assert "Strict-Transport-Security" in answer.headers


def test_the_page_comes_over_http_2_and_keeps_its_own_caching(deployment: Deployment) -> None:
    """Its many small files need one connection. Sockets ask for HTTP/1.1, as the tests below do."""
    address = urllib.parse.urlsplit(deployment.url)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((address.hostname, address.port), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname=address.hostname) as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"
    with urllib.request.urlopen(f"{deployment.url}/chat/login/", timeout=5) as answer:
        assert "no-store" in answer.headers.get_all("Cache-Control")[0]
        assert len(answer.headers.get_all("Cache-Control")) == 1


def test_what_a_client_claims_of_the_proxy_is_not_believed(deployment: Deployment) -> None:
    claims = {"Daphne-Root-Path": "/evil", "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "http"}
    request = urllib.request.Request(f"{deployment.url}/chat/login/", headers=claims)
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
        assert "/evil" not in answer.read().decode()


async def test_two_devices_on_two_processes_see_the_same(deployment: Deployment) -> None:
    client = deployment.sign_in()
    async with await client.connect() as first, await client.connect() as second:
        ids = [(await device.expect("connection_status"))["connection_id"] for device in (first, second)]
        await first.send(type="user_message", ref="r1", content="hello")
        session_id = (await first.expect("ack", ref="r1"))["session_id"]
        await first.expect("ai_response", state="complete", timeout=20)
        await second.send(type="resume", ref="r2", session_id=session_id, last_seq=0)
        await second.expect("resumed", ref="r2")
        await second.send(type="user_message", ref="r3", content="and again", session_id=session_id)
        assert (await first.expect("user_message"))["client_ref"] == "r3"
        await first.expect("ai_response", state="complete", timeout=20)
        for device in (first, second):
            await device.send(type="stop", ref="none", reply_id="nobodys")
            await device.expect("error", ref="none")
        first_process, second_process = deployment.processes
        wait_until(
            lambda: (
                (first_process.has_log_line_of(ids[0]) and second_process.has_log_line_of(ids[1]))
                or (first_process.has_log_line_of(ids[1]) and second_process.has_log_line_of(ids[0]))
            ),
            "each process has one of the devices",
        )


async def test_a_silent_socket_outlives_the_proxys_patience(deployment: Deployment) -> None:
    async with await deployment.sign_in().connect() as device:
        began = time.monotonic()
        while time.monotonic() - began < 2 * READ_TIMEOUT_S:
            await device.expect("heartbeat")
        await device.send(type="ping", ref="p")
        await device.expect("pong", ref="p")


async def test_one_process_restarts_and_nobody_loses_anything(deployment: Deployment) -> None:
    client = deployment.sign_in()
    async with await client.connect() as first, await client.connect() as second:
        await first.send(type="user_message", ref="first", content="hello")
        session_id = (await first.expect("ack", ref="first"))["session_id"]
        await first.expect("ai_response", state="complete", timeout=20)
        await second.send(type="resume", session_id=session_id, last_seq=0, ref="r2")
        await second.expect("resumed", ref="r2")
        end = deployment.processes[0].daphne.end
        await asyncio.to_thread(end, timeout_s=ChatSettings().stop_grace_s + 5)  # whose socket it was shows meanwhile
        ended, alive = (first, second) if first.connection.close_code else (second, first)
        assert await ended.closed() == 4000
        assert any(frame["type"] == "goodbye" for frame in ended.received)
        async with await client.connect() as again:  # the other process answers for both
            await alive.send(type="user_message", ref="r3", content="still there?", session_id=session_id)
            await alive.expect("ack", ref="r3")
            await again.send(type="resume", session_id=session_id, last_seq=2, ref="r4")
            assert (await again.expect("user_message"))["client_ref"] == "r3"
            assert (await again.expect("resumed", ref="r4"))["recovered"]
        assert alive.connection.close_code is None
    deployment.processes[0].start()


def read_unit(name: str) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    assert unit.read(ROOT / "deploy" / name)
    return unit


def test_the_unit_gives_a_process_longer_than_it_takes_to_end() -> None:
    service = read_unit("switchboard@.service")["Service"]
    assert float(service["TimeoutStopSec"]) > ChatSettings().stop_grace_s + 2
    assert service["ExecStart"] == "/srv/switchboard/deploy/daphne.sh"
    assert os.access(ROOT / "deploy" / "daphne.sh", os.X_OK)
    assert "PORT=%i" in service["Environment"]


def test_old_failures_are_deleted_every_night() -> None:
    """By the command that there is, as the user and with the environment of the processes; a night that was missed is
    made up for."""
    timer, service = read_unit("switchboard-prune.timer"), read_unit("switchboard-prune.service")["Service"]
    assert re.fullmatch(r"\*-\*-\* \d\d:\d\d:00", timer["Timer"]["OnCalendar"])
    assert timer["Timer"]["Persistent"] == "true"
    assert "Unit" not in timer["Timer"]  # of the same name
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert service["Type"] == "oneshot"
    python, script, command = service["ExecStart"].split()
    assert (python, script) == ("/srv/switchboard/.venv/bin/python", "manage.py")
    assert command in get_commands()
    of_processes = read_unit("switchboard@.service")["Service"]
    for name in ("User", "WorkingDirectory", "EnvironmentFile", "ProtectSystem", "ReadWritePaths"):
        assert service[name] == of_processes[name]
    for name in ("switchboard-prune.service", "switchboard-prune.timer"):
        assert f"deploy/{name}" in PAGE
