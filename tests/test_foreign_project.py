"""Both apps live in a project that is not ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.environment import clean
from tests.services.databases import ROOT


def test_both_apps_work_in_a_project_with_a_user_model_of_its_own(tmp_path):
    """UUID keys, another prefix, two databases of other names, no admin: a conversation, a message and a failure of the
    host's own, the API, and the host's own log."""
    environment = clean(dict(os.environ)) | {
        "SECRET_KEY": "f0r31gn-" * 8,
        "FOREIGN_DATABASES": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.foreign.walk"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["text"] == "HELLO"
    assert (seen["error"]["code"], seen["error"]["message"]) == ("OUT_OF_PAPER", "The printer is out of paper.")
    assert seen["contents"] == ["hello", "HELLO", "print"]
    assert seen["shouted"] == "QUIET"
    reference = seen["error"]["reference"]
    logged = [line for line in done.stderr.splitlines() if f"reference={reference} " in line]
    assert [line.partition("] ")[0] + "] " + line.partition("] ")[2].split()[0] for line in logged] == [
        "[ERROR errors] chat.routing_failed",
        "[DEBUG errors] chat.error_translated",
    ]
    assert all(" code=OUT_OF_PAPER " in line for line in logged)
    assert "is broken" not in done.stderr + done.stdout
    assert "chat.routing_failed" not in done.stdout
    assert seen["recorded"] == ["OUT_OF_PAPER", seen["error"]["reference"], True]
