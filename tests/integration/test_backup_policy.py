"""A clinic's policy, as a book says it: 7 daily, 4 weekly, 12 monthly backups, encrypted, in two regions, RPO 5 min.

A year of nights is taken, copied and pruned every ten days, against folder stores.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from opsbook.connectors.backups.catalogue import backup_named, found
from opsbook.connectors.backups.pruning import delete, prunings
from opsbook.connectors.backups.reading import StoredContents
from opsbook.connectors.backups.recoverable import Source
from opsbook.recovery.objectives import Measured, Standing, judged
from opsbook.recovery.packaged import packaged_procedures
from tests.integration.renec_book import OPSBOOK
from tests.unit.recovery.stored import Shelf, shelf

FIRST_NIGHT = datetime(2025, 1, 1, 1, tzinfo=UTC)
NIGHTS = 365
DAILY, WEEKLY, MONTHLY = 7, 4, 12
ENDS = FIRST_NIGHT + timedelta(days=NIGHTS - 1)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shelf, str]]:
    """The shelf after a year, pruned every tenth night, and the identity that reads it."""
    identity = pyrage.x25519.Identity.generate()
    folder = tmp_path_factory.mktemp("clinic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setenv("CLINIC_KEY", str(identity.to_public()))
        made = shelf(
            folder,
            {
                "id": "nightly", "schedule": "0 2 * * *", "encrypt": "${CLINIC_KEY}",
                "keep": {"daily": DAILY, "weekly": WEEKLY, "monthly": MONTHLY}, "copy_to": str(folder / "second"),
            },
            timezone="Europe/Paris",
            objectives={"files": {"rto": "1h", "rpo": "5m"}},
        )  # fmt: skip
        for night in range(NIGHTS):
            made.take(FIRST_NIGHT + timedelta(days=night), copy=False)
            if night % 10 == 0 or night == NIGHTS - 1:
                made.copy()
                pruned(made, made.taken[-1].data_time)
        yield made, str(identity)


def pruned(made: Shelf, now: datetime) -> None:
    backup = backup_named(made.system, "nightly")
    for one in prunings(made.system, backup, now):
        for going in one.going:
            delete(made.system, backup, one.place, going.stored.manifest.stamp, one.stays, now)


def test_a_year_leaves_its_days_its_weeks_and_its_months_in_both_regions(clinic: tuple[Shelf, str]) -> None:
    made, _ = clinic
    left = made.stamps()
    assert made.stamps(second=True) == left
    nights = [datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for stamp in left]
    assert nights[-DAILY:] == [ENDS - timedelta(days=n) for n in reversed(range(DAILY))]
    weeks = {night.isocalendar()[:2] for night in nights}
    assert {(ENDS - timedelta(weeks=n)).isocalendar()[:2] for n in range(WEEKLY)} <= weeks
    assert {night.month for night in nights} == set(range(1, 13))
    assert len(left) <= DAILY + WEEKLY + MONTHLY


def test_what_is_kept_is_encrypted_and_reads_with_the_clinic_s_key_from_the_second_region(
    clinic: tuple[Shelf, str],
) -> None:
    made, identity = clinic
    for path in (made.folder / "nightly").rglob("archive"):
        assert b"patient" not in path.read_bytes()
    store = made.store(second=True)
    oldest = found(store, "nightly", made.stamps()[0], made.head.public).manifest
    assert oldest.encryption == "age"
    assert b"".join(StoredContents(store, oldest, identity).pieces(oldest.parts[0])).startswith(b"patient 1")


def test_losing_the_first_region_loses_no_generation(clinic: tuple[Shelf, str]) -> None:
    made, _ = clinic
    backup = backup_named(made.system, "nightly")
    left = made.stamps(second=True)
    for stamp in made.stamps():
        for one in list(made.store().list(f"nightly/{stamp}")):
            if one.key.endswith("manifest.json"):
                kept = Path(made.store().address) / one.key
                kept.rename(kept.with_suffix(".away"))
    try:
        assert made.stamps() == []
        second = prunings(made.system, backup, ENDS)[1]
        assert [one.stored.manifest.stamp for one in second.going] == []
        assert made.stamps(second=True) == left
    finally:
        for path in (made.folder / "nightly").rglob("manifest.away"):
            path.rename(path.with_suffix(".json"))


def test_five_minutes_of_loss_are_promised_by_the_log_and_not_by_the_nights() -> None:
    """What a nightly dump alone can keep, and what an archived log keeps while it is not stalled."""
    from opsbook.book.recovery import Objective

    promise, noon = Objective(rto=timedelta(hours=1), rpo=timedelta(minutes=5)), ENDS + timedelta(hours=11)
    drilled = [Measured(noon - timedelta(days=1), True, 1800.0, 200.0)]
    night = Source("nightly/1", ENDS)

    def stands(*sources: Source) -> Standing:
        return judged("files", promise, drilled, sources, noon).promises[1].standing

    assert stands(night) is Standing.MISSED
    assert stands(night, Source("log", noon - timedelta(minutes=4))) is Standing.PROVEN
    assert stands(night, Source("log", noon - timedelta(minutes=6))) is Standing.MISSED


def test_the_book_has_the_procedures_of_the_policy(clinic: tuple[Shelf, str]) -> None:
    made, _ = clinic
    written = packaged_procedures(made.system)
    assert "7 daily, 4 weekly, 12 monthly" in written["prune-nightly"]
    assert {"backup-nightly", "backup-nightly-verify", "drill-files", "restore-files"} <= set(written)


def test_the_verb_shows_first_and_deletes_as_a_run(tmp_path: Path) -> None:
    made = shelf(tmp_path, {"id": "nightly", "keep": {"daily": 2}})
    now = datetime.now(UTC)
    for days in range(5, 0, -1):
        made.take(now - timedelta(days=days))
    before = made.stamps()
    made.hold(made.taken[0])

    def prune(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(OPSBOOK), "backups", "prune", *words, "--book", str(tmp_path / "book.yaml")]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False)

    shown = prune("--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "3 kept, 2 to go" in shown.stdout
    assert "held: audit (the audit of 2025)" in shown.stdout
    assert made.stamps() == before
    done = prune("nightly", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.stamps() == [before[0], *before[-2:]]
    told = json.loads(prune("--format", "json").stdout)["nightly"]
    assert [one["kept"] for one in told["stores"][0]["backups"]] == [True, True, True]
    assert "run" not in told, "there was nothing to do"
