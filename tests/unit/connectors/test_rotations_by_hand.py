"""Rotations as commands: what they write of secrets for a moment is gone at their end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.by_hand.script import RENDERERS, Script
from opsbook.connectors.offered import import_room

PENDING = '{"old": {"login": "a", "secret": "old-word"}, "new": {"login": "b", "secret": "new-word"}}'
STAND_INS = f"in_secret() {{ printf '%s\\n' '{PENDING}'; }}; put_into_secret() {{ ls \"$TMPDIR\" | wc -l; }}"
"""In the places of those that ask a cluster: what is to come, and how many files there are meanwhile."""


@pytest.fixture
def system(tmp_path: Path) -> System:
    rotations = [
        {"id": name, "of": "cache", "every": "90d", "to": f"secret:{name}/word"} for name in ("one", "two")
    ]  # fmt: skip
    book: dict[str, Any] = {
        "opsbook": 1,
        "system": "test",
        "environments": {"test": {"policy": "open", "runtime": {"kind": "kubernetes", "namespace": "shop"}}},
        "components": {"cache": {"kind": "redis", "url": "redis://127.0.0.1:1/0"}},
        "rotations": rotations,
    }
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))
    return in_environment(load_book(tmp_path / "book.yaml", catalogue()))


@pytest.mark.parametrize("last", ["true", "false"])
def test_no_act_leaves_its_file_and_none_takes_away_what_stays(system: System, tmp_path: Path, last: str) -> None:
    import_room("opsbook.connectors")
    script, folder = Script(system), tmp_path / "temporary"
    folder.mkdir()
    (tmp_path / "stays").touch()
    acts = [
        line
        for name in ("one", "two")
        for act in ("distribute", "withdraw")
        for line in RENDERERS["credential"]({"effect": {"rotation": name, "component": "cache", "act": act}}, script)
    ]
    text = "\n".join([*script.opening(), STAND_INS, *acts, f"pending={tmp_path}/stays", last])
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, check=False,
                          env={"PATH": os.environ["PATH"], "TMPDIR": str(folder)})  # fmt: skip
    assert (done.returncode == 0) is (last == "true"), done.stderr
    assert done.stdout.split() == ["1"] * 4
    assert not list(folder.iterdir()) and (tmp_path / "stays").exists()
