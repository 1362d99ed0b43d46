"""The limit of a migration's waiting for locks goes beside the options that its sessions have already."""

from __future__ import annotations

import subprocess

import pytest

from opsbook.connectors.migrations.alembic import waiting
from opsbook.connectors.migrations.inside import BESIDE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "-c lock_timeout=2500"), ({"PGOPTIONS": ""}, "-c lock_timeout=2500"),
        ({"PGOPTIONS": "-c search_path=shop"}, "-c search_path=shop -c lock_timeout=2500"),
    ],
)  # fmt: skip
def test_what_the_workload_has_stays(before: dict[str, str], after: str) -> None:
    argv = ["sh", "-c", BESIDE, "sh", waiting(2.5), "sh", "-c", 'printf "%s|%s" "$PGOPTIONS" "$1"', "sh", "a b"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", **before})
    assert done.stdout == f"{after}|a b"
