"""Row keys: unique, valid, and in the order in which they were made."""

from __future__ import annotations

import uuid

import time_machine

from errors.keys import new_key


def test_keys_are_version_7_and_differ():
    keys = {new_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    assert {(key.version, key.variant) for key in keys} == {(7, uuid.RFC_4122)}


def test_a_later_key_sorts_after_an_earlier_one():
    with time_machine.travel("2026-01-01T00:00:00Z", tick=False):
        earlier = new_key()
    with time_machine.travel("2026-01-01T00:00:00.001Z", tick=False):
        later = new_key()
    assert earlier.hex < later.hex
