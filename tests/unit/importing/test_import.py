"""Manuals become a book that loads, procedures that compile, and a report that hides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.importing.manuals import BAKERY, GUIDE

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.cli.import_ import _mistakes
from opsbook.engine.compile import load_procedures
from opsbook.engine.procedure import Procedure
from opsbook.manual.importing.make import Import, make
from opsbook.manual.importing.report import report
from opsbook.manual.importing.report_html import as_html
from opsbook.manual.importing.report_text import as_text


def imported(*texts: str) -> Import:
    names = ("orders.md", "guide.md", "third.md")
    return make(list(zip(names, texts, strict=False)), catalogue(), _mistakes)


def loaded(made: Import, folder: Path) -> tuple[dict[str, Any], dict[str, Procedure]]:
    for name, text in made.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    book = load_book(folder / "book.yaml", catalogue())
    return yaml.safe_load(made.files["book.yaml"]), load_procedures(in_environment(book), catalogue())


@pytest.fixture(scope="module")
def bakery() -> Import:
    return imported(BAKERY)


def told(found: list[Any]) -> str:
    return "\n".join(f"{one.place} {one.text}" for one in found)


def test_the_book_loads_and_every_procedure_compiles(bakery: Import, tmp_path: Path) -> None:
    _, procedures = loaded(bakery, tmp_path)
    assert {"morning-checks", "restart-the-orders", "restore", "retention"} <= set(procedures)


def test_components_are_resolved_to_their_workloads(bakery: Import, tmp_path: Path) -> None:
    book, _ = loaded(bakery, tmp_path)
    components = book["components"]
    assert (components["orders-api"]["kind"], components["orders-api"]["workload"]) == ("http", "orders-api")
    assert components["orders-api"]["url"] == "${ORDERS_API_URL:-https://orders.bakery.example}"
    assert (components["database"]["kind"], components["database"]["workload"]) == ("postgres", "db")
    assert book["environments"]["production"]["runtime"] == {"kind": "kubernetes", "namespace": "bakery"}


def test_figures_become_checks_with_the_right_observation_and_unit(bakery: Import, tmp_path: Path) -> None:
    book, _ = loaded(bakery, tmp_path)
    checks = {(one["observe"], one["of"]): one for one in book["checks"]}
    latency = checks["http.latency_p95", "orders-api"]
    assert (latency["warning"], latency["critical"]) == ("> 250ms", "> 1s")
    assert checks["postgres.connections", "database"]["critical"] == "> 90"
    assert checks["postgres.replication_lag", "database"]["warning"] == "> 5s"


def test_what_no_observation_fits_is_listed_and_not_invented(bakery: Import) -> None:
    assert "Loaves per hour: no observation fits" in told(bakery.notes.decide)
    assert "oaves" not in bakery.files["book.yaml"]


def test_promises_and_people_become_their_sections(bakery: Import, tmp_path: Path) -> None:
    book, _ = loaded(bakery, tmp_path)
    assert book["objectives"] == {"system": {"rto": "3h", "rpo": "30m"}}
    assert book["severities"]["S1"] == {"respond": "10m", "resolve": "2h"}
    assert book["retention"][0] | {"keep": ""} == {
        "of": "database",
        "table": "old_orders",
        "column": "baked_at",
        "keep": "",
    }
    assert "duty@bakery.example" in str(book["contacts"])
    assert book["checklists"]["shift-checklist"]["items"] == ["Flour is ordered", "Dashboards are green"]
    assert "FREQ=WEEKLY;BYDAY=SU;BYHOUR=3" in book["windows"][0]["rrule"]


def test_the_lifted_procedure_is_mended(bakery: Import, tmp_path: Path) -> None:
    _, procedures = loaded(bakery, tmp_path)
    restart = procedures["restart-the-orders"]
    operations = [step.body.get("operation") for step in restart.steps]
    assert operations == ["workload.stop", "postgres.terminate", "workload.start", None]
    assert [parameter.name for parameter in restart.parameters] == ["older_than"]
    assert restart.steps[-1].risk == "destructive"
    assert "never replication" in told(bakery.mended)
    assert "OB310" in told(bakery.mended)


def test_a_dump_over_live_data_becomes_a_restore_beside_it_and_a_switch(bakery: Import, tmp_path: Path) -> None:
    book, procedures = loaded(bakery, tmp_path)
    first, second = procedures["restore"].steps
    assert [one.kind for one in (first, second)] == ["op", "op"]
    assert [one.body["operation"] for one in (first, second)] == ["postgres.restore", "postgres.switch_database"]
    (backup,) = book["backups"]
    assert backup["of"] == "database"
    assert (backup["method"], backup["to"]) == ("dump", "${BACKUP_TO}")
    assert "BACKUP_TO" in bakery.files["addresses.env.example"], "where it is written is asked for"


def test_of_two_manuals_the_stricter_figure_holds_and_the_difference_is_told() -> None:
    made = imported(BAKERY, GUIDE)
    book = yaml.safe_load(made.files["book.yaml"])
    assert book["objectives"]["system"] == {"rto": "1h", "rpo": "30m"}
    latency = next(one for one in book["checks"] if one["observe"] == "http.latency_p95")
    assert latency["warning"] == "> 80ms"
    said = told(made.notes.contradictions)
    assert "1h is taken" in said
    assert "> 80ms is taken" in said
    assert {"procedures/restore.md", "procedures/restore-guide.md"} <= set(made.files)


def test_importing_is_deterministic(bakery: Import) -> None:
    again = imported(BAKERY)
    assert again.files == bakery.files
    assert as_html(report(again)) == as_html(report(bakery))


def test_the_report_counts_every_command_once(bakery: Import) -> None:
    counts = report(bakery)["counts"]
    assert counts["commands"] == 9
    assert sum(counts["became"].values()) == 9
    assert sum(counts["stay_because"].values()) == counts["became"]["shell steps"]
    assert counts["of_these_lifted"] / counts["address_a_component"] >= 0.8


def test_the_report_names_the_missing_operation_and_the_source_lines(bakery: Import) -> None:
    data = report(bakery)
    assert data["missing_operations"] == {}
    text = as_text(data, everything=True)
    assert "orders.md:" in text
    assert "./scripts/warm-up.sh" in text


def test_the_page_escapes_what_a_manual_says() -> None:
    made = imported(BAKERY.replace("./scripts/warm-up.sh", "./x.sh '<script>alert(1)</script>'"))
    page = as_html(report(made))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Only a title\n",
        "Just words.\n",
        "# A\n\n```bash\nif then fi (((\n```\n",
        "# Ж\n\n```bash\nkubectl logs <имя>\n```\n",
        "# T\n\n## {{ x }}\n\n```bash\ndocker ps --format '{{.Names}}'\n```\n",
        "# T\n\n```sql\nSELECT '{{';\n```\n",
        "# 手册\n\n## 重启\n\n1. 停止服务\n2. 启动服务\n3. 检查\n\n```bash\nsystemctl restart app\n```\n",
        '# Redis: "x" #y\n\n- [x] done: [a, b]\n\n```console\n$ redis-cli ping\nPONG\n```\n',
    ],
)
def test_any_text_makes_a_book_that_loads(text: str, tmp_path: Path) -> None:
    loaded(imported(text), tmp_path)
