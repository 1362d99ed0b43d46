"""What a restore did, told from its run: what was restored, for how long nobody could write, what was kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.backups.opened import opened_backup
from opsbook.connectors.change import Json
from opsbook.engine.views import View
from opsbook.operations.statements import LONGEST_NAME
from opsbook.recovery.objectives import duration
from opsbook.store.runs import StepRow

STOP, START = "stop-", "start-"
KINDS = ("restore-postgres", "restore-files", "restore-tables", "restore-at")
"""Changes whose result says what was restored."""


def chosen(system: System, backup: str, stamp: str) -> tuple[str, str]:
    """The stamp of the backup that is meant, and a name for the database that is made of it. Blocking."""
    with opened_backup(system, backup, stamp) as opened:
        manifest = opened.manifest
    name = manifest.database.name if manifest.database else backup
    suffix = f"_{manifest.stamp.lower()}".replace("-", "_")
    return manifest.stamp, name[: LONGEST_NAME - len(suffix)] + suffix


def told(view: View) -> dict[str, Json]:
    """The figures of a run that restored, switched or went back; without those that it did not come to."""
    found: dict[str, Json] = {}
    for row in view.changes:
        kind = json.loads(row.change).get("kind")
        result = json.loads(row.result) if row.result and not row.undo else None
        if isinstance(result, dict) and kind in KINDS:
            found |= result
        if isinstance(result, dict) and kind == "switch-database":
            found |= {
                "kept": result.get("kept"),
                "switched_seconds": result.get("seconds"),
                "ended": result.get("ended"),
            }
    if (stopped := write_stop(view.steps)) is not None:
        found["write_stop_seconds"] = stopped
    return found


def write_stop(steps: Mapping[str, StepRow]) -> float | None:
    """Seconds from the moment in which the first writer was told to stop until the last one had started again."""
    stops = [row.started_at for name, row in steps.items() if name.startswith(STOP) and row.started_at]
    starts = [row.ended_at for name, row in steps.items() if name.startswith(START) and row.ended_at]
    return round(max(starts) - min(stops), 1) if stops and starts else None


def sentences(told: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    lines = []
    if told.get("database"):
        verified = f"{told['tables']} tables, {told['rows']:,} rows" if "rows" in told else "made by an earlier attempt"
        took = f" in {duration(told['seconds'])}" if "seconds" in told else ""
        lines.append(f"{told['database']}: restored and verified{took}: {verified}")
    lines += [
        f"{name}: {told['removed'][name]:,} rows replaced by {rows:,}"
        for name, rows in (told.get("replaced") or {}).items()
    ]
    if "files" in told:
        lines.append(f"{told['to']}: {told['files']:,} files, as they were backed up")
    if "keys" in told:
        lines.append(f"{told['to']}: {sum(told['keys'].values()):,} keys; a server has loaded it")
    lines += [f"note: {remark}" for remark in told.get("remarks") or ()]
    lines += [f"left out, because its other table is not here: {one}" for one in told.get("left_out") or ()]
    if told.get("kept"):
        lines.append(f"switched; what was used before is kept as {told['kept']}")
    if "write_stop_seconds" in told:
        moment = told.get("switched_seconds")
        inside = f", of which nobody could connect for {moment:g} s" if moment is not None else ""
        lines.append(f"writes were stopped for {told['write_stop_seconds']:.1f} s{inside}")
    return lines
