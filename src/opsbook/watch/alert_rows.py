"""An alert as a row of the store, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from opsbook.checks.evaluate import State
from opsbook.store.alerts import open_key
from opsbook.watch.contract import Alert, Phase


def as_row(alert: Alert, where: Mapping[str, str]) -> dict[str, Any]:
    """The columns of an alert."""
    labels = {
        "notify": alert.notify,
        "hold": alert.hold.total_seconds(),
        "labels": alert.labels,
        "at_least": {state.value: at.timestamp() for state, at in alert.at_least.items()},
    }
    resolved = alert.phase is Phase.RESOLVED
    return {
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "open_key": None if resolved else open_key(where, alert.fingerprint),
        "source": alert.source,
        "check_id": alert.check,
        "component": alert.component,
        "phase": alert.phase.value,
        "state": alert.state.value,
        "severity": alert.severity,
        "title": alert.title,
        "sentence": alert.sentence,
        "shown": alert.shown,
        "cause": alert.cause,
        "procedure": alert.procedure,
        "silenced_by": alert.silenced_by,
        "labels": json.dumps(labels, sort_keys=True),
        "changes": json.dumps([one.timestamp() for one in alert.changes]) if alert.changes else "",
        "flapping": alert.flapping,
        "since": alert.since.timestamp(),
        "seen_at": alert.seen_at.timestamp(),
        "fired_at": _seconds(alert.fired_at),
        "well_since": _seconds(alert.well_since),
        "resolved_at": _seconds(alert.resolved_at),
    }


def from_row(row: Mapping[str, Any]) -> Alert:
    """The alert of a row of the store."""
    told = json.loads(row["labels"] or "{}")
    return Alert(
        id=row["id"],
        fingerprint=row["fingerprint"],
        source=row["source"],
        phase=Phase(row["phase"]),
        state=State(row["state"]),
        title=row["title"],
        since=_moment(row["since"]),
        seen_at=_moment(row["seen_at"]),
        sentence=row["sentence"],
        shown=row["shown"],
        check=row["check_id"],
        component=row["component"],
        cause=row["cause"],
        severity=row["severity"],
        procedure=row["procedure"],
        notify=tuple(told.get("notify", ())),
        hold=timedelta(seconds=told.get("hold", 0)),
        labels=told.get("labels", {}),
        at_least=_at_least(told, row),
        flapping=bool(row["flapping"]),
        changes=tuple(map(_moment, json.loads(row["changes"] or "[]"))),
        silenced_by=row["silenced_by"],
        incident=row["incident"],
        fired_at=_maybe(row["fired_at"]),
        well_since=_maybe(row["well_since"]),
        resolved_at=_maybe(row["resolved_at"]),
    )


def _at_least(told: Mapping[str, Any], row: Mapping[str, Any]) -> dict[State, datetime]:
    # An alert that was stored without it is as bad as it is since it began.
    since = told.get("at_least", {row["state"]: row["since"]})
    return {State(state): _moment(at) for state, at in since.items()}


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
