"""The subjects of the API: what a token may be bound to."""

from __future__ import annotations

from collections.abc import Mapping

SCOPES: Mapping[str, str] = {
    "books": "components, environments, observations, operations",
    "checks": "what checks say and said",
    "procedures": "procedures and their plans",
    "runs": "runs, their output, approvals and acts",
    "backups": "what is stored, promises and drills",
    "audit": "the record of every act",
    "alerts": "alerts, and Alertmanager's webhook",
    "incidents": "incidents and their post-mortems",
    "windows": "maintenance windows and silences",
    "checklists": "open checklists",
    "oncall": "who is on call",
    "status": "what runs, waits and fires now",
    "ping": "what jobs say of themselves",
    "tokens": "the tokens themselves",
    "metrics": "opsbook's own figures for Prometheus",
}
"""Scope → what it opens."""
