"""`make test`: the tiers one after another, each a process of its own, and what became of them.

    javascript  the page's modules, in node
    sqlite      the whole suite on SQLite, with the real Redis and daphne
    postgresql  those tests again that use a database, on a private PostgreSQL
    browser     the page in chromium; apart, for its API keeps an event loop running

Arguments go to pytest: `python -m tests.run -k name`. `TIERS="sqlite"` runs these only.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.install import CHROMIUM, NGINX, NODE, POSTGRES, REDIS, Part, install_missing

ROOT = Path(__file__).resolve().parent.parent
BROWSER_TESTS = ROOT / "tests" / "browser"
JAVASCRIPT_TESTS = ROOT / "tests" / "javascript"
TIER_NAMES = ("javascript", "sqlite", "postgresql", "browser")
# Most tests wait for a server or a deadline: five workers took 198 s on two cores for what two took 320 s.
WORKERS = "5"
# A browser is four busy processes by itself: three workers took 142 s for what one took 254 s.
BROWSER_WORKERS = "3"
NOTHING_COLLECTED = 5  # pytest's exit code; not a fault of a tier when `-k` chose tests of another
PYTEST = [sys.executable, "-m", "pytest"]
# pytest's last line, or node's count
CLOSING_LINE = re.compile(
    r"^.*(?:passed|failed|error|skipped|deselected|no tests ran).* in [\d.]+s.*$|^.*\bpass \d+$", re.M
)


@dataclass
class Tier:
    """One process that runs tests."""

    name: str
    needs: Part
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    limit_s: float = 900.0  # three times what the slowest takes on two cores; a tier that hangs must end
    outcome: str = ""
    exit_code: int = 0
    closing_line: str = ""


def plan(arguments: list[str]) -> list[Tier]:
    """The tiers that these arguments and $TIERS ask for."""
    paths = [Path(argument.partition("::")[0]).resolve() for argument in arguments if _names_a_path(argument)]
    are_of_browser = [path.is_relative_to(BROWSER_TESTS) for path in paths]
    tiers = []
    scripts = sorted(map(str, JAVASCRIPT_TESTS.glob("*.test.mjs")))
    if scripts and not arguments:
        tiers.append(Tier("javascript", NODE, ["node", "--test", "--test-reporter=spec", *scripts], limit_s=120.0))
    if not all(are_of_browser) or not paths:
        # A module's or class's tests stay in one worker: they share a server.
        suite = [*PYTEST, "-n", WORKERS, "--dist", "loadscope", f"--ignore={BROWSER_TESTS}", *arguments]
        tiers.append(Tier("sqlite", REDIS, suite, {"TEST_DATABASE": "sqlite"}))
        tiers.append(Tier("postgresql", POSTGRES, suite, {"TEST_DATABASE": "postgresql"}))
    if any(BROWSER_TESTS.glob("test_*.py")) and all(are_of_browser):
        chosen = [] if paths else [str(BROWSER_TESTS)]
        pages = [*PYTEST, "-n", BROWSER_WORKERS, "--dist", "loadscope", *chosen, *arguments]
        tiers.append(Tier("browser", CHROMIUM, pages, {"TEST_DATABASE": "sqlite"}))
    wanted = os.environ.get("TIERS", "").split() or TIER_NAMES
    unknown = set(wanted) - set(TIER_NAMES)
    if unknown:
        sys.exit(f"TIERS names {', '.join(sorted(unknown))}; there are {', '.join(TIER_NAMES)}")
    return [tier for tier in tiers if tier.name in wanted]


def run(tier: Tier) -> None:
    """Run one tier, showing its output as it comes, and note what became of it."""
    print(f"\n==> tests: {tier.name}", flush=True)
    colour = {"PY_COLORS": "1"} if sys.stdout.isatty() else {}
    process = subprocess.Popen(
        tier.command,
        cwd=ROOT,
        env=os.environ | tier.environment | colour,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    ended_late = threading.Timer(tier.limit_s, os.killpg, (process.pid, signal.SIGKILL))
    ended_late.start()
    try:
        output = _show(process)
        tier.exit_code = process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)  # it has servers to stop
        process.wait()
        raise
    finally:
        ended_late.cancel()
    lines = CLOSING_LINE.findall(output)
    tier.closing_line = lines[-1] if lines else ""
    tier.outcome = {0: "passed", NOTHING_COLLECTED: "chose no test"}.get(tier.exit_code, "FAILED")
    if tier.exit_code == -signal.SIGKILL:
        tier.outcome += f", killed (its limit is {tier.limit_s:g} s)"


def _show(process: subprocess.Popen[bytes]) -> str:
    """Pass the output on as it comes, and return the end of it."""
    assert process.stdout is not None
    tail = b""
    while chunk := os.read(process.stdout.fileno(), 65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        tail = (tail + chunk)[-8192:]
    return tail.decode(errors="replace")


def main(arguments: list[str]) -> int:
    """Run what was asked for; the exit code for the shell."""
    started = time.monotonic()
    tiers = plan(arguments)
    of_the_suite = [NGINX] if any(tier.name == "sqlite" for tier in tiers) else []  # a few tests; they skip themselves
    missing = install_missing([*(tier.needs for tier in tiers), *of_the_suite])
    if missing and os.environ.get("CI") == "true":
        for name, reason in missing.items():
            print(f"{name} is missing, and CI needs it: {reason}")
        return 1
    for tier in tiers:
        # Without Redis some tests of the first tier skip themselves; the rest is worth running.
        if tier.needs.name in missing and tier.needs is not REDIS:
            tier.outcome = f"SKIPPED, no {tier.needs.name}: {missing[tier.needs.name]}"
        else:
            run(tier)
    print(f"\n==> summary, after {time.monotonic() - started:.0f} s")
    for tier in tiers:
        print(f"{tier.name:<11} {tier.outcome}")
    for part in (REDIS, NGINX):
        if part.name in missing:
            print(f"{part.name:<11} its tests SKIPPED: {missing[part.name]}")
    for tier in tiers:
        if tier.closing_line:
            print(tier.closing_line)
    ran = [tier.exit_code for tier in tiers if tier.outcome.startswith(("passed", "FAILED"))]
    if not ran:
        return NOTHING_COLLECTED
    return 1 if any(ran) else 0


def _names_a_path(argument: str) -> bool:
    """Whether pytest would take this for a file or folder of tests; the `chat` of `-k chat` is none."""
    path = Path(argument.partition("::")[0])
    return path.exists() and path.resolve().is_relative_to(ROOT / "tests")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
