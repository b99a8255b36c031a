"""`python -m bench`: measures, prints the table, keeps results.json, docs/performance.md and the plot.

The environment chooses: ROWS="route failure" (default: all), ROUNDS=7, QUICK=1 (two short rounds; only checks the
harness and keeps nothing).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import traceback
from datetime import UTC, datetime

from bench import load, machine, report, results
from bench.catalogue import ROWS
from bench.load import ClientBound
from bench.session import Bench
from tests.install import POSTGRES, REDIS, require


async def measure(bench: Bench, chosen: list[str]) -> int:
    """Run the rows; the number of those that could not be measured."""
    broken = 0
    for name in chosen:
        bench.say(f"== {name}: {(ROWS[name].__doc__ or '').splitlines()[0]}")
        load.client_shares.clear()
        try:
            await ROWS[name].run(bench)
            bench.client_shares[name] = max(load.client_shares, default=0.0)
        except ClientBound as exc:
            bench.say(f"{name} is refused: {exc}")
            broken += 1
        except Exception:
            traceback.print_exc()
            broken += 1
        finally:
            bench.servers.stop()
            gc.collect()
        if not bench.is_quick:
            bench.save()  # after each row: an interrupted run keeps what it has
            report.write()
    return broken


def main() -> int:
    chosen = os.environ.get("ROWS", "").split() or list(ROWS)
    unknown = [name for name in chosen if name not in ROWS]
    if unknown:
        print(f"no row is called {' '.join(unknown)}; there are: {' '.join(ROWS)}")
        return 2
    require([POSTGRES, REDIS], "make bench")
    is_quick = os.environ.get("QUICK", "0") not in {"", "0"}
    bench = Bench(rounds=int(os.environ.get("ROUNDS") or (2 if is_quick else 7)), is_quick=is_quick)
    machine.pin_client()
    bench.environment |= machine.describe()
    bench.environment |= {"date": datetime.now(UTC).date().isoformat(), "rounds": str(bench.rounds)}
    bench.say(", ".join(f"{name} {value}" for name, value in bench.environment.items()))
    try:
        broken = asyncio.run(measure(bench, chosen))
    finally:
        bench.servers.close()
    print()
    for result in bench.results:
        print(results.line(result))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
