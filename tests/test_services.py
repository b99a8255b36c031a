"""The servers that tests start do what their names say: a fault test is worth what its fault is worth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import environ
import psycopg
import pytest
import redis

from tests.services.postgres import PostgresServer
from tests.services.process import OwnedProcess, ServerFailed, wait_until
from tests.services.redis import RedisServer

ORPHAN_MAKER = """
import sys, os
from pathlib import Path
from tests.services.process import OwnedProcess
print(OwnedProcess(["sleep", "300"], Path(sys.argv[1])).pid, flush=True)
os.kill(os.getpid(), 9)
"""


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number that is not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestOwnedProcess:
    def test_takes_its_children_along(self, tmp_path):
        process = OwnedProcess(["/bin/sh", "-c", "sleep 300 & echo $!; wait"], tmp_path / "log")
        wait_until(lambda: process.output().endswith("\n"), "the child is born")
        child = int(process.output())
        process.kill()
        wait_until(lambda: not is_alive(child), "the child is gone")
        assert process.exit_code == -signal.SIGKILL

    @pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
    def test_dies_with_a_test_process_that_is_killed(self, tmp_path):
        command = [sys.executable, "-c", ORPHAN_MAKER, str(tmp_path / "log")]
        maker = subprocess.run(command, capture_output=True, text=True)
        assert maker.returncode == -signal.SIGKILL
        wait_until(lambda: not is_alive(int(maker.stdout)), "the orphan is gone")

    def test_tells_the_last_words_of_what_does_not_end(self, tmp_path):
        process = OwnedProcess(["/bin/sh", "-c", "echo farewell; sleep 300"], tmp_path / "log")
        wait_until(lambda: "farewell" in process.output(), "it speaks")
        with pytest.raises(ServerFailed, match="farewell"):
            process.wait(timeout_s=0.05)
        process.kill()


class TestRedisServer:
    def test_hangs_while_paused_and_answers_afterwards(self, own_redis: RedisServer):
        with redis.Redis.from_url(own_redis.url, socket_timeout=0.3) as client:
            client.set("greeting", "hello")
            own_redis.pause()
            with pytest.raises(redis.TimeoutError):
                client.get("greeting")
            own_redis.resume()
            assert client.get("greeting") == b"hello"

    def test_refuses_while_stopped_and_comes_back_empty_on_the_same_port(self, own_redis: RedisServer):
        with redis.Redis.from_url(own_redis.url) as client:
            client.set("greeting", "hello")
            own_redis.stop()
            with pytest.raises(redis.ConnectionError):
                client.get("greeting")
            own_redis.start()
            assert client.get("greeting") is None


class TestPostgresServer:
    def test_has_a_url_that_the_settings_and_psycopg_understand(self, own_postgres: PostgresServer):
        parsed = environ.Env.db_url_config(own_postgres.url)
        parameters = {"dbname": parsed["NAME"], "user": parsed["USER"], **parsed["OPTIONS"]}
        for connection in (psycopg.connect(own_postgres.url), psycopg.connect(**parameters)):
            with connection:
                assert connection.execute("SELECT current_database()").fetchone() == ("switchboard",)

    def test_hangs_while_paused_and_keeps_its_data_over_a_restart(self, own_postgres: PostgresServer):
        with psycopg.connect(own_postgres.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
            own_postgres.pause()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(own_postgres.url, connect_timeout=2).close()
            own_postgres.resume()
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)
            own_postgres.restart()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with psycopg.connect(own_postgres.url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


class TestDaphneServer:
    async def test_serves_a_signed_in_person_who_stays_signed_in_over_a_restart(self, start_daphne):
        server = start_daphne()
        alice = server.sign_in("alice")
        async with await alice.connect() as socket:
            before = await socket.expect("connection_status")
            server.kill()
            assert await socket.closed() == 1006
        server.restart()
        async with await alice.connect() as socket:
            after = await socket.expect("connection_status", user_id=before["user_id"])
            assert after["connection_id"] != before["connection_id"]
            await socket.send(type="ping", ref="p1")
            await socket.expect("pong", ref="p1")
        assert alice.get_json("/chat/sessions")[0] == 200
        assert server.terminate() == 0

    def test_tells_why_it_does_not_start(self, start_daphne):
        with pytest.raises(ServerFailed, match="CHAT_NO_SUCH_THING"):
            start_daphne(variables={"CHAT_NO_SUCH_THING": "1"})

    def test_runs_commands_on_its_own_database(self, daphne):
        daphne.manage("check")
        assert "No planned migration" in daphne.manage("migrate", "--plan").stdout


class TestEnvironment:
    def test_holds_nothing_of_the_shell_it_was_started_in(self):
        settings = {name for name in os.environ if name.startswith(("CHAT_", "ERRORS_", "REDIS_"))}
        assert settings == {"CHAT_ALLOWED_ORIGINS", "CHAT_SINGLE_PROCESS"}
