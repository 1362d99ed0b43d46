"""Ids of runs: sorted by time, short enough to be read out at 3 a.m., and known by any unambiguous beginning or end."""

from __future__ import annotations

import secrets
from datetime import datetime

LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that look like others."""


def new_run_id(now: datetime) -> str:
    """Such as `261121-1213-k7qa`."""
    return f"{now:%y%m%d-%H%M}-" + "".join(secrets.choice(LETTERS) for _ in range(4))
