"""Rules of service levels: alerts by how fast the error budget burns, over a long and a short window at once.

The windows are those of the Site Reliability Workbook, chapter 5 ("Multiwindow, Multi-Burn-Rate Alerts"): an hour with
five minutes for what burns fast, six hours with thirty minutes for what burns slowly. The short one lets the alert end
soon after the fault. What counts as an error is time in which the check is not ok, as opsbook itself counts it.
"""

from __future__ import annotations

from datetime import timedelta

from opsbook.book.checks import Check, Slo
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.watch.generate.names import RECORDED_BAD, STATE_METRIC, alert_name, incident_severity, of_check, where
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.promql import duration, number, selector
from opsbook.watch.generate.rules import AlertRule, Group, Record
from opsbook.watch.generate.sight import Unseen
from opsbook.watch.generate.templates import literal

FAST = (timedelta(hours=1), timedelta(minutes=5))
SLOW = (timedelta(hours=6), timedelta(minutes=30))


def group_of_slos(system: System, places: Places) -> tuple[list[Group], list[Unseen]]:
    """The rules of all service levels, and the alerts that can never be."""
    group, never = Group(f"{'/'.join(where(system).values())}/slos"), []
    checks = {check.id: check for check in system.checks}
    for slo in system.model.slos:
        check = checks.get(slo.check)
        if check is None:
            continue
        group.rules += _records(system, slo, check)
        for state, factor, _ in burns(slo):
            if factor * budget(slo) >= 1:
                reason = f"its budget of {number(100 * budget(slo))} % cannot burn {number(factor)} times too fast"
                never.append(Unseen(check, f"{state} of the service level {slo.id}: {reason}"))
            else:
                group.rules.append(burn_alert(system, slo, check, state, places))
    return [group], never


def burns(slo: Slo) -> list[tuple[State, float, tuple[timedelta, timedelta]]]:
    """State, how many times too fast, and the long and the short window."""
    return [(State.CRITICAL, slo.burn_fast, FAST), (State.WARNING, slo.burn_slow, SLOW)]


def budget(slo: Slo) -> float:
    """The share of time that may be bad."""
    return 1 - float(slo.target)


def labels_of(system: System, slo: Slo, check: Check) -> dict[str, str]:
    """The labels of a service level's series: its check's, and its own name."""
    return {**of_check(system, check), "slo": slo.id}


def share_name(window: timedelta) -> str:
    """The recorded share of bad time over a window."""
    return f"opsbook:slo_bad:ratio_{duration(window.total_seconds())}"


def _records(system: System, slo: Slo, check: Check) -> list[Record]:
    labels = labels_of(system, slo, check)
    state = f"max({selector(STATE_METRIC, of_check(system, check))})"
    bad = selector(RECORDED_BAD, labels)
    windows = sorted({*FAST, *SLOW, timedelta(days=3), slo.over})
    return [
        Record(RECORDED_BAD, f"({state} < 3) != bool 0", labels),
        *(
            Record(share_name(window), f"avg_over_time({bad}[{duration(window.total_seconds())}])", labels)
            for window in windows
        ),
    ]


def burn_alert(system: System, slo: Slo, check: Check, state: State, places: Places) -> AlertRule:
    """The alert of a budget that burns too fast."""
    factor, (long, short) = next((factor, windows) for one, factor, windows in burns(slo) if one is state)
    labels = labels_of(system, slo, check)
    limit = number(factor * budget(slo))
    expression = " and ".join(f"{selector(share_name(window), labels)} > {limit}" for window in (long, short))
    title = literal(slo.title or slo.id)
    told = {
        "summary": f"{title}: its error budget burns more than {number(factor)} times too fast",
        "threshold": f"> {limit} of {duration(long.total_seconds())} and of {duration(short.total_seconds())}",
    }
    if check.procedure:
        told |= {"procedure": check.procedure, "runbook_url": f"{places.opsbook}/procedures/{check.procedure}"}
    more = incident_severity(system, check, state)
    return AlertRule(f"Slo{alert_name(slo.id)}", expression, {**labels, "severity": state.value, **more}, told)
