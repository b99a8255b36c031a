"""Somebody in a soak, and what waits in the outbox of one of their devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.ledger import Said
from tests.faults.link import Link
from tests.services.client import SiteClient

if TYPE_CHECKING:
    from tests.faults.device import Device


@dataclass(slots=True)
class Waiting:
    """A message in the outbox."""

    said: Said
    due_at: float = 0.0
    link: Link | None = None  # where it was sent and has not been answered


class Person:
    """Somebody with a login, the sessions they have, and the devices they use."""

    def __init__(self, name: str, site: SiteClient, tag: str = "") -> None:
        self.name = name
        self.tag = tag  # at the end of every ref; it differs where one deployment has several soaks
        self.site = site
        self.cookies = site.cookies
        self.sessions: dict[str, bool] = {}  # session_id -> whether the assistant answers there
        self.devices: list[Device] = []
