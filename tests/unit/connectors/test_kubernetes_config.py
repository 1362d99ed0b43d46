"""Versions of a config map: named after what is in them, taken over in every place of a template."""

from __future__ import annotations

from typing import Any

from opsbook.connectors.runtimes.kubernetes_config import base_of, changed, name_of, named_in, with_map

TEMPLATE: dict[str, Any] = {"spec": {
    "initContainers": [{"name": "wait", "envFrom": [{"configMapRef": {"name": "settings"}}]}],
    "containers": [{
        "name": "api",
        "env": [{"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LEVEL"}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "PASSWORD"}}}],
    }],
    "volumes": [{"name": "a", "configMap": {"name": "other"}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}],
}}  # fmt: skip


def test_a_name_tells_what_is_in_it_and_of_which_map_it_is() -> None:
    first = name_of("settings", {"LEVEL": "info", "SIZE": "2"})
    assert first == name_of("settings", {"SIZE": "2", "LEVEL": "info"}) != name_of("settings", {"LEVEL": "debug"})
    assert (
        first
        == name_of("settings", {"LEVEL": "info", "SIZE": "2"}, {})
        != name_of("settings", {"LEVEL": "info", "SIZE": "2"}, {"logo": "AAAA"})
    )
    assert base_of(first) == base_of("settings") == "settings"


def test_values_are_set_and_taken_out() -> None:
    assert changed({"LEVEL": "info", "SIZE": "2"}, {"LEVEL": "debug", "SIZE": None, "NEW": ""}) == {
        "LEVEL": "debug", "NEW": "",
    }  # fmt: skip


def test_every_place_that_names_the_map_takes_the_version_and_no_other() -> None:
    version = name_of("settings", {"LEVEL": "debug"})
    found = with_map(TEMPLATE, "settings", version)
    assert named_in(TEMPLATE) == ["settings", "other"]
    assert named_in(found) == [version, "other"]
    secret = found["spec"]["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"]
    assert secret["name"] == "settings", "a secret of the same name is another thing"
    assert with_map(found, "settings", "settings") == TEMPLATE
