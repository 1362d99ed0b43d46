"""Promises, drills and stored backups as plain data, the same for every face."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from opsbook.connectors.backups.catalogue import Listing, StoredBackup
from opsbook.connectors.backups.pgbackrest_info import Held
from opsbook.recovery.forecast import Forecast
from opsbook.recovery.report import Promised
from opsbook.recovery.stock import Listed, Stock


def promised_as_json(known: Promised, now: datetime) -> dict[str, Any]:
    """A promise, how it stands, its last drill and what could be recovered from now."""
    one = known.judged
    last, source = one.last, one.source
    return {
        "objective": one.name,
        "standing": str(one.standing),
        "promises": [
            {"figure": p.figure, "target_seconds": p.target, "measured_seconds": p.measured,
             "standing": str(p.standing), "why": p.why, "trend": list(p.trend)}
            for p in one.promises
        ],
        "last_drill": {"at": last.at.isoformat(), "good": last.good, "run": last.run, "lost_rows": last.lost_rows,
                       "problems": list(last.problems)} if last else None,
        "recoverable": {"from": source.name, "data_time": source.data_time.isoformat(),
                        "age_seconds": (now - source.data_time).total_seconds()} if source else None,
        "forecast": forecast_json(known.forecast) if known.forecast else None,
    }  # fmt: skip


def forecast_json(found: Forecast) -> dict[str, Any]:
    """A forecast as data."""
    return {
        "growth_bytes_a_day": found.growth,
        "seconds_now": found.seconds_now,
        "missed_at": found.missed_at.isoformat() if found.missed_at else None,
    }


def stock_as_json(found: Stock) -> dict[str, Any]:
    """Everything that was found, by the id of the backup."""
    told = {backup.id: listing_as_json(one) for backup, one in found.listings}
    return {**told, **repositories_as_json(found.repositories)}


def listing_as_json(one: Listing) -> dict[str, Any]:
    """What a store holds of one backup of the book."""
    return {
        "backups": [stored_as_json(each, brief=True) for each in one.backups],
        "unreadable": [vars(each) for each in one.unreadable],
        "attempts": list(one.attempts),
    }


def stored_as_json(one: StoredBackup, *, brief: bool = False) -> dict[str, Any]:
    """One stored backup; brief: without its parts, tables and files."""
    manifest = one.manifest.model_dump(mode="json", exclude={"parts", "database", "files"} if brief else set())
    return {
        "manifest": {**manifest, "stored": one.manifest.stored, "plain": one.manifest.plain},
        "signature": one.signature.value,
        "whole": one.whole,
        "absent": list(one.absent),
        "proofs": [proof.model_dump(mode="json") for proof in one.proofs],
        "holds": [hold.model_dump(mode="json") for hold in one.holds],
    }


def repositories_as_json(found: Sequence[Listed]) -> dict[str, Any]:
    """By the id of the backup."""
    return {
        backup.id: {
            "stanza": held.stanza, "status": held.message, "cipher": held.cipher,
            "wal": {"first": held.wal_first, "last": held.wal_last},
            "backups": [repository_backup(one) for one in held.backups],
        }
        for backup, held in found
    }  # fmt: skip


def repository_backup(one: Held) -> dict[str, Any]:
    """One backup of pgBackRest."""
    return {**dataclasses.asdict(one), "start": one.start.isoformat(), "stop": one.stop.isoformat()}
