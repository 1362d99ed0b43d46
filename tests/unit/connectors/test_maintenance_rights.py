"""The role for a book whose front is closed by a config map: that map, and what is asked of its pods."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.servers import make_system

from opsbook.book.load import InvalidBook
from opsbook.connectors.runtimes.kubernetes_rbac import needed

SWITCH = {"include": "/etc/nginx/closed/maintenance.conf", "config_map": "closed"}
FRONT = {"kind": "proxy", "url": "http://front", "workload": "front", "maintenance": SWITCH}


def test_the_front_is_closed_by_its_config_map_and_no_other(tmp_path: Path) -> None:
    system = make_system(tmp_path, {"front": {**FRONT, "reload": {}}})
    rights = needed(system, ["maintenance.enter", "maintenance.leave"])
    assert [one.names for one in rights if (one.resource, one.verb) == ("configmaps", "patch")] == [("closed",)]
    assert {one.verb for one in rights if one.resource == "pods/exec"} == {"get", "create"}
    assert not [one for one in needed(system, ["workload.restart"]) if one.resource in ("configmaps", "pods/exec")
                and one.verb in ("patch", "create")]  # fmt: skip


def test_a_config_map_needs_commands_that_are_run_in_the_pods(tmp_path: Path) -> None:
    with pytest.raises(InvalidBook, match="reload"):
        make_system(tmp_path, {"front": FRONT})
