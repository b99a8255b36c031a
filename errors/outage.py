"""Which faults of a database pass by themselves: what cannot be stored now can be stored later. For those who retry."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError

# PostgreSQL's codes of what the driver does not call operational: a server that only reads, as for the time of a
# failover, and a connection that the server has closed within a transaction.
_SQLSTATES = frozenset({"25006", "25P03"})


def is_momentary(exc: Exception) -> bool:
    """Whether the database is away, locked or changing hands; else it is about the data, or a defect."""
    is_operational = isinstance(exc, OperationalError | InterfaceError)
    return is_operational or getattr(exc.__cause__, "sqlstate", None) in _SQLSTATES
