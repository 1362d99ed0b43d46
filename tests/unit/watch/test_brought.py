"""A deploy is told with what it brought; of anything else the parameters are nobody's affair."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opsbook.watch.brought import with_versions


@pytest.mark.parametrize(
    ("procedure", "parameters", "words"),
    [
        ("deploy-api-blue-green", {"version": "3.0.0"}, "deploy-api-blue-green 3.0.0"),
        ("rollback-api", {"version": ""}, "rollback-api"),
        ("deploy-api-config", {"values": '{"KEY": "text"}'}, "deploy-api-config"),
        ("update-system", {"api": "2", "ui": "", "maintenance": True}, "update-system api=2"),
        ("clear-cache", {"version": "1"}, "clear-cache"),
    ],
)
def test_it_names_the_versions_of_deploys_alone(procedure: str, parameters: dict[str, Any], words: str) -> None:
    assert with_versions(procedure, json.dumps(parameters)) == words


def test_a_run_without_parameters_is_told_by_its_name() -> None:
    assert with_versions("deploy-api-rolling", "") == "deploy-api-rolling"
