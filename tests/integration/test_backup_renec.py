"""The backups of the example, by the verbs that a person types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.conftest import Renec
from tests.integration.renec_book import Book

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(600)]


def test_the_example_backs_up_lists_verifies_and_holds(renec: Renec, ops: Path) -> None:
    book = Book(ops, renec)
    taken = book.opsbook("backup", "nightly", "artifacts", "--yes")
    assert taken.returncode == 0, taken.stderr
    assert "read back" in taken.stdout
    listed = json.loads(book.opsbook("backups", "list", "--format", "json").stdout)
    newest = listed["nightly"]["backups"][-1]
    stamp = newest["manifest"]["stamp"]
    assert newest["whole"]
    assert newest["signature"] == "good"
    assert newest["manifest"]["stored"] < newest["manifest"]["plain"]
    assert listed["artifacts"]["backups"]
    assert book.opsbook("backups", "verify", "nightly", stamp).returncode == 0
    assert book.opsbook("backups", "hold", "nightly", stamp, "--reason", "it is looked at").returncode == 0
    text = book.opsbook("backups", COLUMNS="80").stdout
    assert f"{stamp}" in text
    assert "verified" in text
    assert "held: manual" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())
    shown = json.loads(book.opsbook("backups", "show", "nightly", stamp, "--format", "json").stdout)
    assert {table["name"] for table in shown["manifest"]["database"]["tables"]} >= {"public.harvest_runs"}
    assert shown["proofs"][-1]["good"]
    assert shown["holds"][0]["reason"] == "it is looked at"
    password = renec.env["DATABASE_URL"].partition("@")[0].rpartition(":")[2]
    manifest = Path(renec.env["BACKUP_DIR"], "renec-harvester", "nightly", stamp, "manifest.json").read_text()
    assert password not in taken.stdout + taken.stderr + manifest


def test_what_is_no_backup_is_said_with_the_nearest_word(renec: Renec, ops: Path) -> None:
    book = Book(ops, renec)
    unknown = book.opsbook("backup", "nigthly", "--yes")
    assert unknown.returncode == 2
    assert "nightly" in unknown.stderr
    assert book.opsbook("backup").returncode == 2
    assert "Traceback" not in unknown.stderr
    absent = book.opsbook("backups", "show", "nightly", "1999")
    assert absent.returncode == 2
    assert "opsbook backups list" in absent.stderr
