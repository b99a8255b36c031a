"""The log as it is written, in both of its forms: what a reader of stderr would see of everything that is logged."""

from __future__ import annotations

import io
import json
import logging
from types import TracebackType
from typing import Any

from errors import logs


class WrittenLog:
    """`with WrittenLog() as log:` -- what is logged meanwhile, from DEBUG on, through the product's own formatters."""

    LOGGERS = ("errors", "chat")

    def __init__(self) -> None:
        self._json = logging.StreamHandler(io.StringIO())
        self._readable = logging.StreamHandler(io.StringIO())
        self._json.setFormatter(logs.formatter(as_json=True))
        self._readable.setFormatter(logs.formatter(as_json=False))

    @property
    def json_text(self) -> str:
        return self._json.stream.getvalue()

    @property
    def readable_text(self) -> str:
        return self._readable.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line of the JSON log; each one is an object, or this fails."""
        return [json.loads(line) for line in self.json_text.split("\n") if line]

    def events(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event and facts.items() <= line.items()]

    def __enter__(self) -> WrittenLog:
        self._levels = {name: logging.getLogger(name).level for name in self.LOGGERS}
        for name in self.LOGGERS:
            logging.getLogger(name).setLevel(logging.DEBUG)
        for handler in (self._json, self._readable):
            logging.getLogger().addHandler(handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handler in (self._json, self._readable):
            logging.getLogger().removeHandler(handler)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
