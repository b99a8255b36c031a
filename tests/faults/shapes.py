"""The deployments that `make soak` breaks, as its variables choose them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.install import POSTGRES, REDIS, Part


@dataclass(frozen=True, slots=True)
class Shape:
    """One deployment."""

    database: str
    processes: int
    has_redis: bool

    @property
    def needs(self) -> list[Part]:
        """The servers that it is made of and pip does not bring."""
        return [POSTGRES] * (self.database == "postgresql") + [REDIS] * self.has_redis


SMALL = Shape("sqlite", processes=1, has_redis=False)
LARGE = Shape("postgresql", processes=2, has_redis=True)


def choose(variables: Mapping[str, str]) -> list[Shape]:
    """Both, or the one that DATABASE, PROCESSES and REDIS describe.

    Raises:
        SystemExit: They describe none; the text says what is possible.
    """
    database, processes, redis = (variables.get(name, "") for name in ("DATABASE", "PROCESSES", "REDIS"))
    if not (database or processes or redis):
        return [SMALL, LARGE]
    database = database or "sqlite"
    processes = processes or ("2" if database == "postgresql" else "1")
    count = int(processes) if processes.isdecimal() else 0
    has_redis = redis == "1" or (not redis and count > 1)
    if database not in ("sqlite", "postgresql") or count < 1 or (count > 1 and not has_redis):
        sys.exit("DATABASE is sqlite or postgresql; PROCESSES is a number, and more than one needs REDIS=1")
    return [Shape(database, count, has_redis)]


def needs(shapes: list[Shape]) -> list[Part]:
    """What these deployments together are made of."""
    return list(dict.fromkeys(part for shape in shapes for part in shape.needs))
