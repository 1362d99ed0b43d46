"""A dashboard for Grafana: what is bad, since when, and every check with its unit and its thresholds as colours.

The form is Grafana's dashboard JSON model, schema version 36 (Grafana 9 and later). Panels ask Prometheus for the same
series as the rules, with the environment as a variable.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from itertools import groupby, pairwise
from typing import Any

from opsbook.book.system import System
from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension, Quantity
from opsbook.checks.evaluate import State
from opsbook.watch.generate.names import RECORDED_VALUE, STATE_METRIC, STATE_NUMBERS, VALUE_METRIC, where
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.promql import selector
from opsbook.watch.generate.sight import Sight, Way, sights

SCHEMA_VERSION = 36
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {
    Dimension.DURATION: "s",
    Dimension.SIZE: "bytes",
    Dimension.RATIO: "percentunit",
    Dimension.COUNT: "short",
    Dimension.RATE: "suffix:/s",
    Dimension.THROUGHPUT: "Bps",
}
"""Grafana's names of our canonical units."""
COLOURS = {State.OK: "green", State.WARNING: "orange", State.CRITICAL: "red", State.UNKNOWN: "purple"}
WIDTH, HEIGHT = 8, 7
"""Of a panel; a dashboard is 24 wide."""


def dashboard_text(system: System, places: Places) -> str:
    """The dashboard as JSON."""
    return json.dumps(dashboard(system, places), indent=2, ensure_ascii=False) + "\n"


def dashboard(system: System, places: Places) -> dict[str, Any]:
    """The dashboard of a system."""
    title = system.model.title or system.model.system
    return {
        "uid": f"opsbook-{zlib.crc32(system.model.system.encode()):08x}",
        "title": title,
        "description": "Made by `opsbook generate grafana` of the book; change the book and make it anew.",
        "tags": ["opsbook", system.model.system],
        "timezone": "browser",
        "editable": False,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{"title": "opsbook", "type": "link", "url": places.opsbook, "targetBlank": True}],
        "templating": {"list": [_datasource(), _environment(system)]},
        "annotations": {"list": []},
        "panels": _panels(system, places),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _environment(system: System) -> dict[str, Any]:
    chosen = selector(STATE_METRIC, {"system": system.model.system})
    query = f"label_values({chosen}, environment)"
    return {
        "name": "environment",
        "type": "query",
        "label": "Environment",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "environment"},
        "definition": query,
        "refresh": 2,
        "current": {"text": system.name, "value": system.name},
    }


def _panels(system: System, places: Places) -> list[dict[str, Any]]:
    made = [*_overview(system)]
    line = made[-1]["gridPos"]["y"] + made[-1]["gridPos"]["h"]
    seen, _ = sights(system, places.exporters)
    order = {name: n for n, name in enumerate(system.components)}
    seen.sort(key=lambda one: order[one.check.of])
    for component, group in groupby(seen, key=lambda one: one.check.of):
        made.append(
            {"type": "row", "title": component, "collapsed": False, "panels": [], "gridPos": _at(0, line, 24, 1)}
        )
        line += 1
        for n, sight in enumerate(group):
            column, row = n % (24 // WIDTH), n // (24 // WIDTH)
            made.append({**_of_check(sight), "gridPos": _at(column * WIDTH, line + row * HEIGHT, WIDTH, HEIGHT)})
        line = made[-1]["gridPos"]["y"] + HEIGHT
    return [{"id": n, **panel} for n, panel in enumerate(made, 1)]


def _overview(system: System) -> list[dict[str, Any]]:
    """How many checks are in each state, and each check over time."""
    here = {**where(system), "environment": "$environment"}
    series = f"max by (check) ({selector(STATE_METRIC, here)})"
    counts = [
        {
            "type": "stat",
            "title": state.value,
            "datasource": SOURCE,
            "targets": [_target(f"count({series} == {number}) or vector(0)", state.value)],
            "fieldConfig": _field(
                "short", _steps([(None, "green" if state is State.OK else "text"), (1, COLOURS[state])])
            ),
            "options": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}},
            "gridPos": _at(n * 6, 0, 6, 4),
        }
        for n, (state, number) in enumerate(STATE_NUMBERS.items())
    ]
    over_time = {
        "type": "state-timeline",
        "title": "Checks that are not ok",
        "datasource": SOURCE,
        "targets": [_target(f"{series} > 0", "{{check}}")],
        "fieldConfig": _of_states(),
        "options": {
            "mergeValues": True,
            "showValue": "never",
            "legend": {"displayMode": "list", "placement": "bottom"},
        },
        "gridPos": _at(0, 4, 24, 10),
    }
    return [*counts, over_time]


def _of_check(sight: Sight) -> dict[str, Any]:
    check = sight.check
    labels = {**sight.labels, "environment": "$environment"}
    metric = {Way.VALUE: VALUE_METRIC, Way.STATE: STATE_METRIC}.get(sight.way, RECORDED_VALUE)
    steps = ", ".join(f"{state} {limit}" for state, limit in reversed(sight.limits.items()))
    shared = {
        "title": check.title or check.id,
        "description": f"{sight.spec.doc} {steps}.",
        "datasource": SOURCE,
        "targets": [_target(f"max({selector(metric, labels)})", check.id)],
    }
    if sight.way is Way.STATE:
        return {"type": "state-timeline", **shared, "fieldConfig": _of_states(), "options": {"mergeValues": True}}
    if sight.spec.dimension is Dimension.STATE:
        return {"type": "state-timeline", **shared, "fieldConfig": _up_or_down(), "options": {"mergeValues": True}}
    field = _field(UNITS[sight.spec.dimension], _steps(colours(sight.limits)))
    field["defaults"]["custom"] = {"thresholdsStyle": {"mode": "dashed+area"}, "fillOpacity": 0, "lineWidth": 1}
    return {"type": "timeseries", **shared, "fieldConfig": field, "options": {"legend": {"showLegend": False}}}


def colours(limits: Mapping[State, Threshold]) -> list[tuple[float | None, str]]:
    """Where each colour begins, from below; the first is that of the lowest values.

    What holds against its own past has no place on the axis, and one value that is bad no range.
    """
    edges = [0.0]
    fixed = {s: t for s, t in limits.items() if t.baseline is None and isinstance(t.limit, Quantity)}
    ranged = {state: limit for state, limit in fixed.items() if limit.operator not in ("==", "!=")}
    for limit in ranged.values():
        assert isinstance(limit.limit, Quantity)
        edges += [limit.limit.value, *([limit.upper.value] if limit.upper else [])]
    edges = sorted(set(edges[1:]))
    if not edges:
        return [(None, COLOURS[State.OK])]
    inside = [edges[0] - 1, *((low + high) / 2 for low, high in pairwise(edges)), edges[-1] + 1]

    def colour(value: float) -> str:
        return COLOURS[next((state for state, limit in ranged.items() if limit.met_by(value)), State.OK)]

    found: list[tuple[float | None, str]] = [(None, colour(inside[0]))]
    for edge, value in zip(edges, inside[1:], strict=True):
        if colour(value) != found[-1][1]:
            found.append((edge, colour(value)))
    return found


def _steps(places: list[tuple[float | None, str]]) -> list[dict[str, Any]]:
    return [{"value": value, "color": colour} for value, colour in places]


def _field(unit: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "defaults": {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}},
        "overrides": [],
    }


def _of_states() -> dict[str, Any]:
    field = _field("short", _steps([(None, "text")]))
    field["defaults"]["mappings"] = [
        _mapping({number: (state, COLOURS[state]) for state, number in STATE_NUMBERS.items()})
    ]
    return field


def _up_or_down() -> dict[str, Any]:
    field = _field("short", _steps([(None, "text")]))
    field["defaults"]["mappings"] = [_mapping({1: ("up", "green"), 0: ("down", "red")})]
    return field


def _mapping(names: Mapping[int, tuple[str, str]]) -> dict[str, Any]:
    options = {
        str(value): {"text": str(text), "color": colour, "index": n}
        for n, (value, (text, colour)) in enumerate(names.items())
    }
    return {"type": "value", "options": options}


def _target(expression: str, legend: str) -> dict[str, Any]:
    return {"refId": "A", "datasource": SOURCE, "expr": expression, "legendFormat": legend}


def _at(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}
