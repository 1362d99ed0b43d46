"""A verb imports what it needs and no more: at three in the morning its start is what one waits for.

Told by names of modules, which are the same on every machine. The verbs are called one after the other in one fresh
process, the lightest first: what a later one must not import, none before it may have imported either.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from opsbook.store.database import open_store

BOOK = """
opsbook: 1
system: small
environments: {test: {policy: open}}
components: {front: {kind: tcp, address: "127.0.0.1:1"}}
checks: [{id: up, observe: tcp.open, of: front}]
"""
PROCEDURE = """---
title: Nothing
---
1. Do nothing.
   ```sh risk=safe
   true
   ```
"""
CALLED = """
import contextlib, json, os, sys
from opsbook.cli.main import cli
told = {}
for words in json.loads(sys.argv[1]):
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        cli.main(words.split(), standalone_mode=False)
    told[words] = list(sys.modules)
print(json.dumps(told))
"""
THE_NET = ("httpx", "psycopg", "redis", "kr8s", "docker", "celery", "obstore", "apprise", "dns")
SERVING = ("fastapi", "uvicorn", "starlette", "sse_starlette", "prometheus_client", "opsbook.api")
DURABLE = ("dbos", "sqlalchemy.orm", "alembic")
PLANNING = ("jinja2", "markdown_it", "tree_sitter", "opsbook.engine.service", "opsbook.engine.compile")
ROOMS = ("cryptography.x509", "psutil", "opsbook.operations.backups", "opsbook.recovery.packaged", "opsbook.rehearsal")

LIGHT = (*THE_NET, *SERVING, *DURABLE, *PLANNING, *ROOMS)
MUST_NOT = {
    "runs": (*LIGHT, "opsbook.engine.execution", "opsbook.watch"),
    "check --only up": (*LIGHT, "opsbook.engine.execution", "opsbook.watch"),
    "incident list": LIGHT,
    "status": LIGHT,
    "plan one": (*THE_NET, *SERVING, *DURABLE, *ROOMS, "opsbook.watch.serving"),
}
"""Verb → what it has no use for."""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder: Path = tmp_path_factory.mktemp("start")
    (folder / "procedures").mkdir()
    (folder / "book.yaml").write_text(BOOK)
    (folder / "procedures" / "one.md").write_text(PROCEDURE)
    store = f"sqlite:///{folder}/store.db"
    open_store(store).dispose()
    called = subprocess.run(
        [sys.executable, "-c", CALLED, json.dumps(list(MUST_NOT))], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "OPSBOOK_STORE": store}, timeout=100, check=False,
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    return json.loads(called.stdout)


@pytest.mark.parametrize("verb", MUST_NOT)
def test_a_verb_imports_nothing_that_it_has_no_use_for(verb: str, imported: dict[str, list[str]]) -> None:
    wrong = [
        module
        for module in imported[verb]
        for heavy in MUST_NOT[verb]
        if module == heavy or module.startswith(heavy + ".")
    ]
    assert wrong == [], f"`python -X importtime -m opsbook {verb}` tells who imports them"


def test_the_verbs_were_called_indeed(imported: dict[str, list[str]]) -> None:
    assert "opsbook.engine.plan" in imported["plan one"] and "opsbook.watch.status" in imported["status"]
    assert "opsbook.observations.network" in imported["runs"], "a check of the book is validated by its observation"
