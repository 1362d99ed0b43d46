"""The address of a job that reports: its name and a part that nobody guesses, so that a cron line needs no token."""

from __future__ import annotations

import hashlib
import hmac

PURPOSE = "ping"
CHARACTERS = 32
"""Of the part that nobody guesses: 128 bits."""


def ping_id(key: bytes, system: str, environment: str, job: str) -> str:
    """`JOB.MARK`: the mark is HMAC-SHA-256 (RFC 2104) over purpose, system, environment and job."""
    # Lengths first, so that no two different names are signed alike.
    signed = "\n".join(f"{len(part)}:{part}" for part in (PURPOSE, system, environment, job))
    return f"{job}.{hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()[:CHARACTERS]}"


def job_of(key: bytes, system: str, environment: str, id: str) -> str | None:
    """The job that such an address is of; None where it is not one of this opsbook."""
    job = id.rpartition(".")[0]
    return job if job and hmac.compare_digest(ping_id(key, system, environment, job), id) else None
