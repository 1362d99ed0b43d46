"""Which of opsbook's own procedures a rehearsal of recovery takes, and in which order."""

from __future__ import annotations

from pathlib import Path

import yaml

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.recovery.packaged import packaged_procedures
from opsbook.rehearsal.recovery import recovery_of
from tests.unit.rehearsal.conftest import BOOK

SERVERS = [{"workload": name, "url": f"${{{name.upper()}_URL}}"} for name in ("one", "two")]


def test_backups_are_verified_before_restores_and_a_failover_is_last(tmp_path: Path) -> None:
    database = {"kind": "postgres", "dsn": "${DATABASE_URL}", "workload": "one", "failover": {"servers": SERVERS}}
    written = {
        **BOOK,
        "components": {**BOOK["components"], "database": database},  # type: ignore[dict-item]
        "backups": [
            {"id": "nightly", "of": "database", "method": "dump", "to": "/backups"},
            {"id": "elsewhere", "of": "database", "method": "dump", "to": "/backups", "environments": ["other"]},
        ],
        "environments": {"test": {"policy": "open", "disposable": True}, "other": {}},
    }
    path = tmp_path / "book.yaml"
    path.write_text(yaml.safe_dump(written))
    system = in_environment(load_book(path, catalogue()), "test")
    assert recovery_of(system, packaged_procedures(system)) == [
        "backup-nightly", "backup-nightly-verify", "restore-database", "restore-database-switch", "drill-database",
        "drill-failover-database",
    ]  # fmt: skip
