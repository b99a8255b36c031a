"""What gathers for the channel layer within a millisecond, and the messages made from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from chat import groups

_MAX_CHARS = 8_000_000  # of frames that wait for a layer that is slow; the rest is repaired from the database
_MAX_CONTROLS = 20_000  # waiting for a layer that is slow; what they are for happens later without them, too
_FEW_PEERS = 3  # other processes for which one message with everything is cheaper than one for each group
_MANY_GROUPS = 3  # groups in a batch from which on that is so

BEHIND = "behind"  # the control that says: frames of this group were lost, look into the database

Packed = list[Any]


class LayerBatch:
    """Frames and controls in the order in which they came, bounded."""

    def __init__(self) -> None:
        self._frames: dict[str, list[Packed]] = defaultdict(list)
        self._controls: list[Packed] = []
        self._chars = 0

    def add_frame(self, group: str, item: Packed) -> bool:
        """Take a frame: packed, the connection left out, and the sender's own mark. Return whether there was room."""
        if self._chars > _MAX_CHARS:
            return False
        self._chars += len(item[0][0])
        self._frames[group].append(item)
        return True

    def add_control(self, group: str, name: str, value: str) -> None:
        if len(self._controls) < _MAX_CONTROLS:
            self._controls.append([group, name, value])

    def messages(self, peers: Collection[str]) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
        """Yield for each layer message: the group it goes to, its event, and the groups that are behind without it.

        Args:
            peers: The other hubs, where it is known that a frame need not come back to us; else nothing.
        """
        if self._controls:
            # What another control is about, each process finds out when it looks after all that it has.
            behind = {group if name == BEHIND else groups.HUBS for group, name, _ in self._controls}
            yield groups.HUBS, {"controls": self._controls}, tuple(behind)
        if len(peers) == 1 and self._frames:
            # To the one other process, whatever the groups; sent to all hubs, we would have to read it ourselves.
            yield groups.of_hub(*peers), {"frames_of": dict(self._frames)}, tuple(self._frames)
        elif len(self._frames) >= _MANY_GROUPS and len(peers) <= _FEW_PEERS:
            yield groups.HUBS, {"frames_of": dict(self._frames)}, tuple(self._frames)
        else:
            for group, frames in self._frames.items():
                yield group, {"frames_of": {group: frames}}, (group,)
