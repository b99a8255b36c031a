"""`make soak`: SECONDS=600 SEED=1; DATABASE, PROCESSES and REDIS choose one shape instead of both."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tests.faults import shapes, soak
from tests.faults.shapes import Shape
from tests.faults.verdict import NUMBERS, Verdict
from tests.install import require

SHOWN = 40  # findings on the screen; all are in the folder


def main() -> int:
    seconds, seed = float(os.environ.get("SECONDS") or 60), int(os.environ.get("SEED") or 1)
    chosen = shapes.choose(os.environ)
    require(shapes.needs(chosen), "make soak")
    verdicts: list[Verdict] = []
    for shape in chosen:
        verdicts.append(_run(shape, seconds / len(chosen), seed))
    total = {key: sum(each.as_line()[key] for each in verdicts) for key in verdicts[0].as_line()}
    print(json.dumps(total))
    return 1 if any(total[name] for name in NUMBERS) else 0


def _run(shape: Shape, seconds: float, seed: int) -> Verdict:
    folder = Path(tempfile.mkdtemp(prefix="switchboard-soak-"))
    folder.chmod(0o755)
    began = time.monotonic()
    words = ", ".join(f"{name} {value}" for name, value in asdict(shape).items())
    print(f"==> soak: {words}; {seconds:g} s, seed {seed}", flush=True)

    def report(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {text}", flush=True)

    variables = {name: value for name, value in os.environ.items() if name.startswith(("CHAT_", "ERRORS_"))}
    found, run = soak.run(folder, seconds=seconds, seed=seed, variables=variables, report=report, **asdict(shape))
    print("--- recovery: seconds from healing to the first ack (median, worst, times)")
    for name, times in sorted(run.recoveries.items()):
        print(f"    {name:<60} {median(times):6.2f} {max(times):6.2f} {len(times):4}")
    for name, count in run.closed.items():
        print(f"    {name}: sockets closed, none should: {dict(count)}")
    print(f"--- {json.dumps(found.as_line())}")
    if found.is_clean and not os.environ.get("KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
        return found
    (folder / "findings.txt").write_text("".join(f"{number}: {what}\n" for number, what in found.findings))
    for number, what in found.findings[:SHOWN]:
        print(f"    {number}: {what}")
    if len(found.findings) > SHOWN:
        print(f"    ... and {len(found.findings) - SHOWN} more")
    print(f"    kept: {folder}   python -m tests.faults.explain {folder} REF")
    return found


if __name__ == "__main__":
    sys.exit(main())
