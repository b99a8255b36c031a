"""What a device in a test was sent, in lines that say why an expectation failed. For `communicator`."""

from __future__ import annotations

import asyncio
import itertools
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db import router

from errors import conf
from errors.models import RoutingFailure
from errors.rows import row_writer

Frame = dict[str, Any]

_SHOWN_LINES = 12  # the last ones
_SHOWN_CHARS = 300  # of each
_UNSHOWN = {"timestamp", "sender"}
_PATIENCE_S = 1.0  # seconds for a record to be written: its frame may arrive a moment before it is known who got it
_LOOK_S = 0.02  # seconds between looks


async def history(frames: Sequence[Frame]) -> str:
    """What was received, a line for each frame and one for all chunks of a reply that came together."""
    groups = [list(group) for _, group in itertools.groupby(frames, _of_one_line)]
    shown = groups[-_SHOWN_LINES:]
    causes = await _causes(group[-1] for group in shown)
    lines = [_line(group[-1], causes, "" if len(group) == 1 else f" (the last of {len(group)})") for group in shown]
    return "\n  ".join(["received:", *lines]) if lines else "received: nothing"


async def told(frame: Frame) -> str:
    """One frame in a line; below an error, what was recorded under its reference."""
    return _line(frame, await _causes([frame]))


async def stored_failure(error: Frame) -> RoutingFailure:
    """Return the record that staff find under the reference of `error`, an `error` frame or the object in it.

    Raises:
        AssertionError: There is none.
    """
    reference = error.get("error", error)["reference"]
    for failure in await _read([reference]):
        return failure
    raise AssertionError(f"no failure is recorded under {reference}")


def _of_one_line(frame: Frame) -> Any:
    return frame["reply_id"] if frame["type"] == "ai_response" else id(frame)


async def _read(references: Sequence[str]) -> list[RoutingFailure]:
    """The records under these references, once all of them are written."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_S
    while True:
        found = await sync_to_async(_written)(references)
        if {failure.reference for failure in found} >= set(references) or loop.time() > deadline:
            return found
        await asyncio.sleep(_LOOK_S)


def _written(references: Sequence[str]) -> list[RoutingFailure]:
    row_writer.flush(_PATIENCE_S)
    records = RoutingFailure.objects.using(router.db_for_write(RoutingFailure))
    return list(records.filter(reference__in=references).order_by("-occurred_at"))


async def _causes(frames: Iterable[Frame]) -> dict[str, str]:
    """The recorded root cause of each error among the frames, by its reference."""
    references = [frame["error"]["reference"] for frame in frames if frame["type"] == "error"]
    if not references or not conf.errors().enabled:
        return {}
    try:
        failures = await _read(references)
    except Exception as exc:
        # The test may be about a database that is away; what is told is that an expectation failed.
        return dict.fromkeys(references, f"not known, the records cannot be read ({type(exc).__name__})")
    return {failure.reference: _cause(failure) for failure in failures}


def _cause(failure: RoutingFailure) -> str:
    where = failure.causes[-1]["where"] if failure.causes else ""
    return f"{failure.cause}, raised by {where}" if where else failure.cause


def _line(frame: Frame, causes: dict[str, str], note: str = "") -> str:
    text = json.dumps({key: value for key, value in frame.items() if key not in _UNSHOWN})
    line = textwrap.shorten(text, _SHOWN_CHARS) + note
    cause = causes.get(frame.get("error", {}).get("reference"))
    return f"{line}\n    its cause: {cause}" if cause else line
