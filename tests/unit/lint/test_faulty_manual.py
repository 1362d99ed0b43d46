"""A manual with known faults: each is found on its line and classed, and nothing else is said."""

from __future__ import annotations

from pathlib import Path

from opsbook.manual.document import read_document
from opsbook.manual.lint import Finding, Severity, lint_document

TEXT = Path(__file__).parent.joinpath("faulty/shop.md").read_text(encoding="utf-8")
EXPECTED = {
    ("docker-compose ps", "OB304", "deprecated"),
    ("**RPO**: 15 minutes", "OB520", "contradiction"),
    ("pg_dump -U shop shop | gzip", "OB110", "unsafe-practice"),
    ("latest.sql.gz .", "OB523", "dangling"),
    ("gunzip -c latest.sql.gz | psql", "OB530", "unsafe-practice"),
    ("kubectl scale deployment/orders-api --replicas=3", "OB310", "will-not-run"),
    ("SELECT query, mean_time", "OB202", "deprecated"),
    ("SELECT tablename FROM pg_stat_user_tables", "OB201", "will-not-run"),
    ("SELECT pg_terminate_backend", "OB210", "destroys-data"),
    ("redis-cli FLUSHDB", "OB601", "destroys-data"),
    ("[Phone Number]", "OB501", "dangling"),
}


def _found() -> list[Finding]:
    return [f for f in lint_document(read_document(TEXT, "shop.md")) if f.severity is not Severity.HINT]


def test_it_finds_every_fault_on_its_line() -> None:
    lines = TEXT.split("\n")
    found = {(lines[f.line - 1], f.rule, str(f.fault)) for f in _found()}
    for piece, rule, fault in EXPECTED:
        assert any(piece in line and (rule, fault) == (r, c) for line, r, c in found), (
            f"{rule} at {piece}: {sorted(found)}"
        )


def test_it_says_nothing_else() -> None:
    wanted = {rule for _, rule, _ in EXPECTED}
    also_true = {"OB112", "OB111"}  # rm after an upload that nobody checked
    assert {f.rule for f in _found()} - wanted <= also_true


def test_it_points_at_the_words_themselves() -> None:
    lines = TEXT.split("\n")
    marked = {f.rule: lines[f.line - 1][f.column - 1 : f.end_column - 1] for f in _found()}
    assert marked["OB202"] == "mean_time"
    assert marked["OB201"] == "tablename"
    assert marked["OB304"] == "docker-compose"
    assert marked["OB501"] == "[Phone Number]"
