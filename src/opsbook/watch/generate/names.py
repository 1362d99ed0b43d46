"""The names by which opsbook, Prometheus and Alertmanager know the same thing."""

from __future__ import annotations

import re

from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.evaluate import State

STATE_METRIC = "opsbook_check_state"
"""Of opsbook's own `/metrics`: 0 ok, 1 warning, 2 critical, 3 unknown; labels check, component, system, environment."""
VALUE_METRIC = "opsbook_check_value"
"""Of opsbook's own `/metrics`: the value in its canonical unit; the same labels. No series while there is none."""
TIME_METRIC = "opsbook_check_timestamp_seconds"
"""Of opsbook's own `/metrics`: when a check was made last; the same labels."""
RECORDED_VALUE = "opsbook:check_value"
"""The value of a check as Prometheus itself sees it, recorded by the generated rules; the same labels and units."""
RECORDED_BAD = "opsbook:slo_bad"
"""1 while the check of a service level is not ok, 0 while it is; no sample while it is unknown."""

STATE_NUMBERS = {State.OK: 0, State.WARNING: 1, State.CRITICAL: 2, State.UNKNOWN: 3}

INCIDENT_SEVERITY = "incident_severity"
"""The label that names a severity of the book; `severity` is how bad the check is."""

DOWN = "OpsbookDown"
STUCK = "OpsbookStuck"
UNKNOWN = "CheckUnknown"


def alert_name(check: str) -> str:
    """`api-error-rate` is `ApiErrorRate`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", check))


def summary_subject(title: str, component: str) -> str:
    """How the summary of a generated alert begins: what it is about, for those who read it without its title."""
    return f"{title} ({component}): "


def where(system: System) -> dict[str, str]:
    """The labels that say which system, and where it runs."""
    return {"system": system.model.system, "environment": system.name}


def of_check(system: System, check: Check) -> dict[str, str]:
    """The labels that every series and alert of a check carries."""
    return {"check": check.id, "component": check.of, **where(system)}


def incident_severity(system: System, check: Check, state: State) -> dict[str, str]:
    """The label that names the severity of the book; none where the book has no severities.

    As incidents choose it: the check's own, that of its state, the first for critical and the last for others.
    """
    grades, named = list(system.model.severities), system.model.incidents.severity
    found = check.severity or next((name for key, name in named.items() if key == state.value), "")
    if not found and grades:
        found = grades[0] if state is State.CRITICAL else grades[-1]
    return {INCIDENT_SEVERITY: found} if found else {}
