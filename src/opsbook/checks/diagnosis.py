"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How a thing is, as far as the book needs it."""

    FINE = "fine"
    NOTE = "note"
    """Nothing is broken; somebody should know."""
    WRONG = "wrong"


@dataclass(frozen=True)
class Diagnosis:
    """One thing that the book needs, how it is, and what to do where it is not well."""

    area: str
    """component, runtime, credential, tool, clock, store, book."""
    name: str
    health: Health
    message: str
    hint: str = ""
