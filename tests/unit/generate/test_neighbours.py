"""What Alertmanager, Grafana and blackbox_exporter get."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from tests.unit.generate.made import COMPONENTS, check, system_of

from opsbook.book.threshold import Threshold
from opsbook.checks.evaluate import State
from opsbook.watch.generate.alertmanager import alertmanager_text
from opsbook.watch.generate.grafana import colours, dashboard_text
from opsbook.watch.generate.inhibition import inhibit_rules
from opsbook.watch.generate.options import Places

DASHBOARD: dict[str, Any] = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "panels", "templating", "time"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
        "title": {"type": "string", "minLength": 1},
        "schemaVersion": {"type": "integer", "minimum": 30},
        "templating": {
            "properties": {
                "list": {
                    "items": {
                        "required": ["name", "type", "query"],
                        "properties": {"type": {"enum": ["datasource", "query"]}},
                    }
                }
            }
        },
        "panels": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/panel"}},
    },
    "$defs": {
        "panel": {
            "type": "object",
            "required": ["id", "type", "title", "gridPos"],
            "properties": {
                "id": {"type": "integer", "minimum": 1},
                "type": {"enum": ["row", "stat", "timeseries", "state-timeline"]},
                "gridPos": {
                    "required": ["x", "y", "w", "h"],
                    "properties": {
                        "x": {"type": "integer", "minimum": 0, "maximum": 23},
                        "w": {"type": "integer", "minimum": 1, "maximum": 24},
                    },
                },
            },
            "if": {"properties": {"type": {"not": {"const": "row"}}}},
            "then": {
                "required": ["targets", "datasource", "fieldConfig"],
                "properties": {
                    "targets": {"minItems": 1, "items": {"required": ["refId", "expr", "datasource"]}},
                    "fieldConfig": {
                        "required": ["defaults", "overrides"],
                        "properties": {
                            "defaults": {
                                "required": ["unit", "thresholds"],
                                "properties": {
                                    "thresholds": {
                                        "required": ["mode", "steps"],
                                        "properties": {
                                            "steps": {
                                                "minItems": 1,
                                                "items": {
                                                    "required": ["value", "color"],
                                                    "properties": {"value": {"type": ["number", "null"]}},
                                                },
                                            }
                                        },
                                    }
                                },
                            }
                        },
                    },
                },
            },
        }
    },
}
"""What Grafana needs of a dashboard to show it, of its JSON model."""


def test_the_dashboard_is_one_that_grafana_shows() -> None:
    system = system_of(
        check("a", warning="> 5", critical="> 10"),
        check("b", "postgres.up"),
        check("c", "postgres.version", critical="!= 15"),
        check("d", "prometheus.ratio", "prom", critical="> 5%", **{"with": {"query": "x"}}),
        check("e", "prometheus.target_up", "prom"),
    )
    made = json.loads(dashboard_text(system, Places()))
    jsonschema.validate(made, DASHBOARD)
    panels = {one["title"]: one for one in made["panels"]}
    assert len({one["id"] for one in made["panels"]}) == len(made["panels"])
    assert panels["d"]["fieldConfig"]["defaults"]["unit"] == "percentunit"
    assert panels["a"]["fieldConfig"]["defaults"]["thresholds"]["steps"] == [
        {"value": None, "color": "green"}, {"value": 5, "color": "orange"}, {"value": 10, "color": "red"},
    ]  # fmt: skip
    assert 'environment="$environment"' in panels["a"]["targets"][0]["expr"]
    places = [(p["gridPos"]["x"] + dx, p["gridPos"]["y"] + dy) for p in made["panels"]
              for dx in range(p["gridPos"]["w"]) for dy in range(p["gridPos"]["h"])]  # fmt: skip
    assert len(places) == len(set(places)), "no panel lies on another"


@pytest.mark.parametrize(
    ("warning", "critical", "expected"),
    [
        ("< 20%", "< 5%", [(None, "red"), (0.05, "orange"), (0.2, "green")]),
        ("outside 10..20", "> 30", [(None, "orange"), (10, "green"), (20, "orange"), (30, "red")]),
        ("within 3..5", "", [(None, "green"), (3, "orange"), (5, "green")]),
        ("", "== 0", [(None, "green")]),
        ("< 50% of 7d", "", [(None, "green")]),
    ],
)
def test_colours_begin_where_thresholds_are(warning: str, critical: str, expected: list[Any]) -> None:
    pairs = ((State.CRITICAL, critical), (State.WARNING, warning))
    assert colours({state: Threshold.parse(text) for state, text in pairs if text}) == expected


def test_a_component_that_is_down_hushes_what_follows_and_never_itself() -> None:
    system = system_of(
        check("api-up", "http.up", "api"),
        check("api-workload", "workload.up", "api"),
        check("db-up", "postgres.up"),
        check("connections", warning="> 5"),
        check("errors", "prometheus.query", "prom", depends_on=["api"], critical="> 1", **{"with": {"query": "x"}}),
    )
    hushed = {one["source_matchers"][0]: one["target_matchers"][0] for one in inhibit_rules(system)[1:]}
    assert hushed == {
        'check="api-up"': 'check=~"api-workload|errors"',
        'check="db-up"': 'check=~"api-up|api-workload|connections|errors"',
    }


def test_two_checks_that_explain_each_other_do_not_hush_each_other() -> None:
    components = {**COMPONENTS, "api": {**COMPONENTS["api"], "depends_on": []}}
    system = system_of(
        check("api-up", "http.up", "api", depends_on=["db"]),
        check("db-up", "postgres.up", depends_on=["api"]),
        components=components,
    )
    hushed = {one["source_matchers"][0]: one["target_matchers"][0] for one in inhibit_rules(system)[1:]}
    assert hushed == {'check="api-up"': 'check=~"db-up"'}


def test_secrets_are_named_by_their_files_and_what_alertmanager_cannot_reach_is_said() -> None:
    system = system_of(
        check("c", warning="> 5"),
        channels={"chat": {"url": "slack://A/B/C", "format": "slack"}, "hook": "${HOOK}"},
        escalation=[{"level": "L1", "notify": "chat"}, {"level": "also", "notify": "hook"}],
    )
    text = alertmanager_text(system, Places(secrets="/run/secrets"), "both")
    assert "api_url_file: /run/secrets/chat" in text
    assert "slack://" not in text
    assert "# Only opsbook can tell hook: Alertmanager has no file for an address of this form" in text
