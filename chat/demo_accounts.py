"""The accounts that `make run` creates for development, and that no deployment must have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoAccount:
    name: str
    password: str
    is_staff: bool


DEMO_ACCOUNTS = (
    DemoAccount("demo", "demo", is_staff=False),
    DemoAccount("admin", "admin", is_staff=True),
)
