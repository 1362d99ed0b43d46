"""A secret of a run reaches its target, and nothing that is kept or shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.cli.plan_view import print_plan
from opsbook.engine.access import Actor
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import open_setting
from opsbook.engine.states import RunState
from opsbook.engine.views import view_of
from opsbook.engine.watcher import Watcher
from opsbook.store.runs import output_of
from tests.integration.web import Server, answer, serving

SECRETS = {"KEY": 'sesame-"quoted"', "TOKEN": "open-token", "PAGER": "pager-key"}
PROCEDURE = """---
title: Tell the gate
risk: destructive
params: {token: {type: secret, default: "${TOKEN}"}, note: {default: "${KEY}"}}
---
1. Tell it.
   ```op
   http.request:
     {of: gate, path: /tell, json: {key: "${KEY}", token: "{{ token }}", from: "file:key.txt", note: "{{ note }}"}}
   ```
2. Say it.
   ```sh risk=safe env=PAGER
   echo "paged with $PAGER"; echo {{ token }}
   ```
"""


@pytest.fixture
def gate() -> Iterator[Server]:
    async def take(server: Server, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = next(line for line in head.splitlines() if line.lower().startswith("content-length"))
        body = (await reader.readexactly(int(length.split()[1]))).decode()
        server.heads.append(body)
        writer.write(answer(body))
        await writer.drain()

    with serving({"/tell": take}) as server:
        yield server


async def test_a_secret_reaches_its_target_and_nothing_else(
    gate: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OPSBOOK_STORE", raising=False)
    (tmp_path / "key.txt").write_text("from-a-file\n")
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "tell.md").write_text(PROCEDURE)
    url = f"http://127.0.0.1:{gate.port}"
    (tmp_path / "book.yaml").write_text(
        "opsbook: 1\nsystem: kiln\nenvironments: {test: {policy: open}}\n"
        f"components: {{gate: {{kind: http, url: '{url}', health: /}}}}\n"
    )
    system = in_environment(load_book(tmp_path / "book.yaml", catalogue()))
    setting = open_setting(system)
    try:
        service = Service(setting, system, Actor("ann", "a test"))
        plan = await service.plan(service.procedure("tell"))
        print_plan(plan, [], [])
        row = service.submit(plan, Wish(confirmed=True))
        said: list[str] = []
        async with asyncio.timeout(60):
            view = await Watcher(setting, lambda _: None, said.append).see_through(row.id)
        assert view.state is RunState.DONE, view.run.message
        told = json.loads(gate.heads[-1])
        # A value that merely looks like a reference arrives as it is.
        assert told == {"key": SECRETS["KEY"], "token": "open-token", "from": "from-a-file", "note": "${KEY}"}
        output = "".join(row.text for row in output_of(setting.store, row.id))
        assert "paged with ***" in output and f"POST {url}/tell: 200" in output
        shown = json.dumps(view_of(setting.store, row.id).as_json()) + "".join(said) + output
    finally:
        setting.close()
    kept = b"".join(path.read_bytes() for path in (tmp_path / ".opsbook").iterdir())
    for value in ("sesame", "open-token", "pager-key", "from-a-file"):
        assert value not in shown + capsys.readouterr().out and value.encode() not in kept, value
    assert "${KEY}" in shown and "file:key.txt" in shown
