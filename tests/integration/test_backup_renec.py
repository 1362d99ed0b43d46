"""The backups of the example, by the verbs that a person types."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.integration.conftest import Renec
from tests.integration.renec_book import Book

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec-book"), pytest.mark.timeout(600)]


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


def test_the_system_is_made_anew_beside_the_first_measured_and_removed(renec: Renec, ops: Path) -> None:
    book = Book(ops, renec)
    assert book.opsbook("backup", "nightly", "artifacts", "--yes").returncode == 0
    done = book.opsbook("drill", "system", "--yes", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["kind"], row["good"], row["objective"], row["kept"]) == ("rebuild", True, "system", True)
    assert {"fresh system", "stopped", "data", "verified", "files", "started", "smoke"} <= set(row["phases"])
    assert 0 < row["restored_seconds"] < row["rto_seconds"]
    assert not Path(renec.env["DRILL_RUN"]).exists(), "the fresh system is removed"
    found = {one["objective"]: one for one in json.loads(book.opsbook("objectives", "--format", "json").stdout)}
    assert found["system"]["standing"] == "proven"
    assert found["system"]["recoverable"]["from"] == "standby of database", "nothing is newer than what streams"


def test_the_daily_export_of_the_example_is_one_zip(renec: Renec, ops: Path) -> None:
    view = Book(ops, renec).done("export-daily")
    assert view["state"] == "done"
    (bundle,) = Path(renec.env["BACKUP_DIR"], "exports").rglob("daily-*.zip")
    with zipfile.ZipFile(bundle) as archive:
        standards = json.loads(archive.read("standards.json"))
        assert len(archive.read("standards.csv").splitlines()) == len(standards) + 1 > 100
