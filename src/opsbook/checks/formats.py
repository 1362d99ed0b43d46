"""A sweep in the formats of the ecosystem. Pure: sweep in, text out."""

from __future__ import annotations

import json
import math
from typing import Any
from xml.etree import ElementTree

from opsbook.book.units import CANONICAL_UNIT
from opsbook.checks.evaluate import WORST_FIRST, Result, State
from opsbook.checks.sweep import Sweep
from opsbook.checks.wording import one_line

LEVEL = {State.OK: 0, State.WARNING: 1, State.CRITICAL: 2, State.UNKNOWN: 3}
"""The return codes of the monitoring plugins' convention (Monitoring Plugins Development Guidelines, section 2.3)."""


def as_json(sweep: Sweep) -> str:
    """Everything, for programs."""
    document = {
        "system": sweep.system,
        "environment": sweep.environment,
        "at": sweep.at.isoformat(),
        "seconds": round(sweep.seconds, 4),
        "state": sweep.state,
        "totals": sweep.totals(),
        "results": [_result(result) for result in sweep.results],
    }
    return json.dumps(_finite(document), indent=2, default=str, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON has no infinity: it is null there, and `shown` tells it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _result(result: Result) -> dict[str, Any]:
    return {
        "id": result.check.id,
        "component": result.check.of,
        "observe": result.spec.name,
        "state": result.state,
        "value": result.value,
        "unit": CANONICAL_UNIT[result.spec.dimension] or result.spec.dimension,
        "shown": result.shown,
        "warning": str(result.warning) if result.warning else None,
        "critical": str(result.critical) if result.critical else None,
        "sentence": result.sentence,
        "cause": result.cause,
        "failure": result.failure,
        "procedure": result.check.procedure,
        "seconds": round(result.seconds, 4),
        "detail": result.detail,
    }


def as_junit(sweep: Sweep) -> str:
    """A test suite per component; critical is a failure, unknown an error, a warning goes to its output."""
    root = ElementTree.Element("testsuites", name=f"{sweep.system} {sweep.environment}", time=f"{sweep.seconds:.3f}")
    for component, results in by_component(sweep).items():
        failures = sum(result.state is State.CRITICAL for result in results)
        errors = sum(result.state is State.UNKNOWN for result in results)
        counts = {"tests": str(len(results)), "failures": str(failures), "errors": str(errors)}
        suite = ElementTree.SubElement(
            root, "testsuite", {"name": component, "timestamp": sweep.at.isoformat(), **counts}
        )
        for result in results:
            case = ElementTree.SubElement(
                suite, "testcase", name=result.check.id, classname=component, time=f"{result.seconds:.3f}"
            )
            tag = {State.CRITICAL: "failure", State.UNKNOWN: "error"}.get(result.state)
            if tag:
                text = one_line(result.sentence + (f" (follows from {result.cause})" if result.cause else ""))
                ElementTree.SubElement(case, tag, message=text, type=result.spec.name)
            elif result.state is State.WARNING:
                ElementTree.SubElement(case, "system-out").text = one_line(result.sentence)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def as_nagios(sweep: Sweep) -> str:
    """One status line with performance data, then a line per check that is not ok."""
    # The bar begins the performance data, so none may stand in a sentence.
    bad = [result for result in worst_first(sweep.results) if result.state is not State.OK]
    roots = [result for result in bad if result.cause is None]
    totals = ", ".join(f"{count} {state}" for state, count in sweep.totals().items() if count)
    head = f"OPSBOOK {sweep.state.upper()} - {sweep.system} {sweep.environment}: {totals or 'no checks'}"
    if roots:
        head += f"; {roots[0].check.id}: {roots[0].sentence}"
    numbers = [(r, number) for r in sweep.results if (number := _number(r)) is not None and math.isfinite(number)]
    data = " ".join(f"'{r.check.id}'={_exact(number)}{_nagios_unit(r)}" for r, number in numbers)
    lines = [f"{result.state.upper()} {result.check.id}: {result.sentence}" for result in bad]
    return "\n".join(
        line.replace("|", "¦") if n else f"{line.replace('|', '¦')} | {data}" for n, line in enumerate([head, *lines])
    )


def _nagios_unit(result: Result) -> str:
    # The guidelines know s, %, B and c; everything else stays a bare number.
    return {"s": "s", "B": "B"}.get(CANONICAL_UNIT[result.spec.dimension], "")


def as_prometheus(sweep: Sweep) -> str:
    """The text exposition format (0.0.4): state, value and time of every check."""
    families = (
        ("opsbook_check_state", "0 ok, 1 warning, 2 critical, 3 unknown", lambda r: float(LEVEL[r.state])),
        ("opsbook_check_value", "The observed value in its canonical unit", _number),
        ("opsbook_check_seconds", "How long reading it took", lambda r: r.seconds),
    )
    lines = []
    for name, text, value in families:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        for result in sweep.results:
            number = value(result)
            if number is not None:
                lines.append(f"{name}{{{_labels(sweep, result)}}} {_exact(number)}")
    lines += ["# HELP opsbook_sweep_seconds How long the whole round took", "# TYPE opsbook_sweep_seconds gauge"]
    lines.append(
        f'opsbook_sweep_seconds{{system="{sweep.system}",environment="{sweep.environment}"}} {_exact(sweep.seconds)}'
    )
    return "\n".join(lines)


def _exact(number: float) -> str:
    """All of its digits: sizes and times have more than six."""
    return f"{float(number):.15g}"


def _number(result: Result) -> float | None:
    return float(result.value) if isinstance(result.value, bool | int | float) else None


def _labels(sweep: Sweep, result: Result) -> str:
    labels = {
        "system": sweep.system,
        "environment": sweep.environment,
        "component": result.check.of,
        "check": result.check.id,
        "observation": result.spec.name,
    }
    return ",".join(f'{key}="{value}"' for key, value in labels.items())


def worst_first(results: tuple[Result, ...] | list[Result]) -> list[Result]:
    """Results in the order in which a person wants them."""
    return sorted(results, key=lambda result: (result.cause is not None, WORST_FIRST.index(result.state)))


def by_component(sweep: Sweep) -> dict[str, list[Result]]:
    """Results grouped by component, the component with the worst of them first."""
    groups: dict[str, list[Result]] = {}
    for result in worst_first(sweep.results):
        groups.setdefault(result.check.of, []).append(result)
    return groups
