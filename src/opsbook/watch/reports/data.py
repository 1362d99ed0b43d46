"""A report as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from opsbook.engine.views import summary as run_summary
from opsbook.watch.checklists import as_json as checklist_json
from opsbook.watch.incident_views import summary as incident_summary
from opsbook.watch.reports.facts import Facts
from opsbook.watch.reports.pages import summary
from opsbook.watch.silences import as_json as silence_json
from opsbook.watch.slos import Share
from opsbook.watch.status import as_json as status_json


def as_json(facts: Facts) -> str:
    """All that was gathered. Times are ISO 8601; those of runs and incidents seconds since 1970."""
    return json.dumps(told(facts), indent=2, ensure_ascii=False) + "\n"


def told(facts: Facts) -> dict[str, Any]:
    """As data, for the API."""
    end = facts.span.end.timestamp()
    return {
        "kind": facts.kind,
        "system": facts.system.model.system,
        "environment": facts.system.name,
        "begin": facts.span.begin.isoformat(),
        "end": facts.span.end.isoformat(),
        "summary": summary(facts),
        "now": status_json(facts.now),
        "availability": [
            {
                "slo": one.level.slo.id, "target": one.level.slo.target, "ok": one.share.ok,
                "ok_over_promise": one.level.whole.ok, "budget_left": one.level.budget_left,
            }
            for one in facts.kept
        ],
        "incidents": [incident_summary(one, clocks) for one, clocks in facts.incidents],
        "alerts": facts.alerts,
        "checks": [
            {"id": one.id, "component": one.component, "alerts": one.alerts, **_share(one.share)}
            for one in facts.checked
        ],
        "changes": [{**run_summary(one.run), "approvers": list(one.approvers)} for one in facts.changes],
        "book_revisions": [{"at": _iso(at), "revision": revision} for at, revision in facts.revisions],
        "windows": [
            {"window": one.window, "title": one.title, "start": _iso(one.start), "state": one.state,
             "closed_at": _iso(one.closed_at), "note": one.note}
            for one in facts.windows
        ],
        "silences": [silence_json(one, end) for one in facts.silences],
        "drills": [
            {"run": row.run, "objective": row.objective, "at": _iso(row.at), "good": row.good,
             "rto_seconds": row.rto_seconds, "rpo_seconds": row.rpo_seconds}
            for row in facts.drills
        ],
        "certificates": [
            {"title": one.title, "component": one.component, "seconds_left": one.seconds_left,
             "seen": one.at.isoformat()}
            for one in facts.certificates
        ],
        "capacity": [one.as_json(facts.span.end) for one in facts.growing],
        "actions": [
            {"text": one.text, "owner": one.owner, "incident": one.incident, "due_at": _iso(one.due_at)}
            for one in facts.actions
        ],
        "checklists": [checklist_json(one, end) for one in facts.checklists],
        "access": {
            "roles": {role: list(names) for role, names in facts.roles},
            "everybody": facts.system.model.access.everybody,
            "tokens": [
                {"id": one.id, "name": one.name, "owner": one.owner, "role": one.role,
                 "expires_at": _iso(one.expires_at)}
                for one in facts.tokens
            ],
        },
        "acts": [{"actor": actor, "event": event, "times": count} for actor, event, count in facts.acts],
        "chain": facts.chain or None,
    }  # fmt: skip


def _share(found: Share) -> dict[str, Any]:
    return {"ok": found.ok, "good": found.good, "bad": found.bad, "unknown": found.unknown}


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
