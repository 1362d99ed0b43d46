"""The watch on the example: a fault becomes one incident, reaches people and climbs; planned work keeps it silent.

The book is the example's own, with shorter times in its environment (`HURRIED`): `for` of five minutes, half an hour
until the second level, and five minutes of calm would each be waited for otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import COMMAND, Renec
from tests.integration.renec_book import Book, beside
from tests.integration.servers import free_port, until
from tests.integration.serving import Serving, asked

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(420)]
PATIENCE = 90.0
CHECK, TITLE = "api-latency", "API response time"
HURRIED: dict[str, Any] = {
    "checks": {CHECK: {"for": "3s", "interval": "2s", "with": {"path": "/api/v1/standards", "probes": 3}}},
    "escalation": [
        {"level": "L1 Support", "notify": "support", "repeat": "15m"},
        {"level": "L2 Engineering", "notify": "engineering", "within": "4s"},
    ],
}


@dataclass(frozen=True)
class Watched:
    """An instance, its book, and what has arrived at its post office since."""

    book: Book
    port: int
    begun: int

    def asked(self, query: str) -> list[Any]:
        return asked(self.book.ops / ".opsbook" / "store.db", query)

    def messages(self) -> list[dict[str, Any]]:
        file = self.book.renec.run_dir / "data" / "messages.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()[self.begun :]] if file.exists() else []

    def arrived(self, *to: str) -> bool:
        """Whether one of these was told something about the slow API."""
        return any(one["to"] in to and TITLE in one["subject"] for one in self.messages())

    def told(self) -> dict[str, int]:
        """Who was told something about the slow API, and how often."""
        return dict(Counter(one["to"] for one in self.messages() if TITLE in one["subject"]))

    def incidents(self) -> list[str]:
        """Those of the slow API."""
        return [id for (id,) in self.asked(f"SELECT DISTINCT incident FROM alerts WHERE check_id = '{CHECK}'") if id]

    def state(self, incident: str) -> str:
        return str(self.asked(f"SELECT state FROM incidents WHERE id = '{incident}'")[0][0])

    def must(self, *words: str) -> str:
        done = self.book.opsbook(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def watched(renec: Renec, folder: Path) -> Iterator[Watched]:
    """`opsbook serve` of the example's book in a hurry. Other checks are rare: what else is bad is not its matter."""
    ops = beside(renec, folder)
    book = yaml.safe_load((ops / "book.yaml").read_text())
    quiet = {one["id"]: {"interval": "1h"} for one in book["checks"] if one["id"] not in (CHECK, "api-up")}
    book["environments"]["rehearsal"] |= {**HURRIED, "checks": quiet | HURRIED["checks"]}
    book["incidents"] |= {"resolve_after": "2s"}
    (ops / "book.yaml").write_text(yaml.safe_dump(book, sort_keys=False, allow_unicode=True))
    port, file = free_port(), renec.run_dir / "data" / "messages.jsonl"
    begun = len(file.read_text().splitlines()) if file.exists() else 0
    serving = Serving(ops, "--port", str(port), "--env", "rehearsal").watching()
    try:
        yield Watched(Book(ops, renec), port, begun)
    finally:
        renec.mend("slow-api")
        serving.end()
        serving.kill()
    assert "Traceback" not in serving.said()


def test_a_slow_api_becomes_an_incident_that_climbs_is_taken_mended_and_told(renec: Renec, tmp_path: Path) -> None:
    with watched(renec, tmp_path) as here:
        renec.break_("slow-api", seconds=0.6)
        until(here.incidents, PATIENCE, "an incident")
        (id,) = here.incidents()
        until(lambda: here.arrived("pager"), PATIENCE, "a page at the webhook")
        until(lambda: here.arrived("ana@localhost", "luis@localhost", "sofia@localhost"), PATIENCE, "a mail to L1")
        until(lambda: here.arrived("eng@localhost"), PATIENCE, "a mail to L2")
        until(lambda: here.asked(f"SELECT 1 FROM evidence WHERE incident = '{id}'"), PATIENCE, "evidence")
        here.must("incident", "ack", id)
        assert "opsbook run high-api-latency" in here.must("incident", "show", id)
        with ThreadPoolExecutor(1) as hands:
            run = hands.submit(here.book.done, "high-api-latency", "older_than=1h", "replicas=3")
            begun = "SELECT 1 FROM runs WHERE started_at IS NOT NULL"
            until(lambda: run.done() or here.asked(begun), PATIENCE, "it runs")
            renec.mend("slow-api")
            run.result()
        until(lambda: here.state(id) == "resolved", PATIENCE, "it is resolved")
        here.must("incident", "postmortem", id)
        text = (renec.run_dir / "incidents" / f"{id}.md").read_text()
        for word in (TITLE, "high-api-latency", "acknowledged", "engineering"):
            assert word in text, word
        assert here.incidents() == [id]


def test_what_prometheus_sees_by_the_generated_rules_too_is_one_incident_and_one_page(
    renec: Renec, tmp_path: Path
) -> None:
    if "ALERTMANAGER_URL" not in renec.env:
        pytest.skip("Prometheus and Alertmanager are not installed")
    with watched(renec, tmp_path) as here:
        url = f"http://127.0.0.1:{here.port}"
        command = [sys.executable, str(COMMAND.parent / "watched.py"), "--book", str(here.book.ops), "--url", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        renec.break_("slow-api", seconds=0.6)
        sources = f"SELECT DISTINCT source FROM alerts WHERE check_id = '{CHECK}' AND incident != '' ORDER BY source"
        until(lambda: here.asked(sources) == [("alertmanager",), ("check",)], PATIENCE, "both have told of it")
        until(lambda: here.arrived("eng@localhost") and here.arrived("pager"), PATIENCE, "a mail to L2, the last page")
        assert len(here.incidents()) == 1
        told = here.told()
        assert {"pager", "eng@localhost"} < set(told) and set(told.values()) == {1}, "each level is paged once"


def test_planned_work_keeps_it_silent_and_its_end_pages(renec: Renec, tmp_path: Path) -> None:
    with watched(renec, tmp_path) as here:
        here.must("window", "open", "api-work", "--for", "1h", "--component", "api", "--reason", "a new index")
        renec.break_("slow-api", seconds=0.6)
        silenced = f"SELECT 1 FROM alerts WHERE check_id = '{CHECK}' AND phase = 'firing' AND silenced_by != ''"
        until(lambda: here.asked(silenced), PATIENCE, "it fires, silenced")
        assert here.incidents() == []
        assert not here.arrived("pager")
        here.must("window", "close", "api-work", "--note", "done")
        until(lambda: here.arrived("pager"), PATIENCE, "a page after the window")
        assert len(here.incidents()) == 1
