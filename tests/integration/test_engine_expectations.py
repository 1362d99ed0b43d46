"""What a step expects is held against its results, and against the facts that it was planned with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.access import Actor
from opsbook.engine.compile import compile_procedure
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import open_setting
from opsbook.engine.states import RunState
from opsbook.engine.views import View
from opsbook.engine.watcher import Watcher
from tests.integration.web import answer, serving

BOOK = """
opsbook: 1
system: kiln
environments: {{test: {{policy: open}}}}
components: {{api: {{kind: http, url: "http://127.0.0.1:{port}", health: /}}}}
"""
STEP = (
    '---\ntitle: Look\n---\n1. Look.\n   ```op save=seen expect="{expect}"\n   http.get: {{of: api, path: /}}\n   ```\n'
)
LATER = "2. Look again.\n   ```sh risk=safe expect=\"stdout == '200 1 True' and facts.http.up\"\n   {script}\n   ```\n"
SCRIPT = (
    "printf '%s %s %s' {{ seen.result.status }} {{ seen.results | length }} {{ 'True' if facts.http.up else 'no' }}"
)


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], object]]:
    monkeypatch.delenv("OPSBOOK_STORE", raising=False)
    with serving({"/": answer("well")}) as server:
        (tmp_path / "book.yaml").write_text(BOOK.format(port=server.port))
        system = in_environment(load_book(tmp_path / "book.yaml", catalogue()))
        setting = open_setting(system)
        service = Service(setting, system, Actor("ann", "a test"))

        async def see(text: str) -> View:
            procedure = compile_procedure(text, "look.md", system, catalogue())
            row = service.submit(await service.plan(procedure), Wish(confirmed=True))
            async with asyncio.timeout(60):
                return await Watcher(setting, lambda _: None, lambda _: None).see_through(row.id)

        yield see
        setting.close()


async def test_an_expectation_reads_results_and_facts_and_so_does_a_later_step(run: Callable[..., object]) -> None:
    expect = "status == 200 and result.status == 200 and results | length == 1 and facts.http.up"
    view = await run(STEP.format(expect=expect) + LATER.format(script=SCRIPT))
    assert isinstance(view, View) and view.state is RunState.DONE, view.run.message
    view = await run(STEP.format(expect="not facts.api.http.up"))
    assert isinstance(view, View) and view.state is RunState.FAILED
    assert "it expects `not facts.api.http.up`, which does not hold" in view.run.message
