"""What dumps, their copies and what loads them become: backups of the book, taken, verified and restored."""

from __future__ import annotations

from typing import Any

import pytest

from opsbook.catalogue import catalogue
from opsbook.manual.document import Fence, read_document
from opsbook.manual.lift.backups import OPEN, same_file, store_of
from opsbook.manual.lift.context import Checks, Context
from opsbook.manual.lift.inventory import Inventory, Part
from opsbook.manual.lift.model import Form, Step, Why
from opsbook.manual.lift.statements import lift_fence


def context(*entries: dict[str, Any]) -> Context:
    parts = [
        Part("database", "postgres", {"dsn": "${DATABASE_URL}"}, hosts={"db.example.net"}),
        Part("cache", "redis", {"url": "${REDIS_URL}"}),
    ]
    made = Context(catalogue(), Inventory({part.name: part for part in parts}), Checks(catalogue()), "manual.md")
    made.backups.found += [(entry, "manual.md:1") for entry in entries]
    return made


def lifted(text: str, within: Context) -> list[Step]:
    document = read_document(f"# X\n\n```bash\n{text}\n```\n", "manual.md")
    (fence,) = [block for block in document.walk() if isinstance(block, Fence)]
    return lift_fence(fence, within)


def bodies(steps: list[Step]) -> list[Any]:
    return [step.body for step in steps if step.form is Form.OP]


@pytest.mark.parametrize(
    ("command", "method", "more"),
    [
        ("pg_dump -Fc shop > /backups/shop.dump", "dump", {"to": "/backups"}),
        ("pg_dump -Fc -f /backups/$(date +%F).dump shop", "dump", {"to": "/backups"}),
        ("pg_dump shop | gzip > shop.sql.gz", "dump", {"to": OPEN}),
        ("pg_dump shop | gzip | aws s3 cp - s3://shop/nightly/shop.sql.gz", "dump", {"to": "s3://shop/nightly"}),
        ("pg_dump -Fc shop | age -r $KEY > /b/x.age", "dump", {"to": "/b", "encrypt": "${BACKUP_RECIPIENT}"}),
        ("pg_dump -sOx shop > /tmp/schema.sql", "schema", {"to": OPEN}),
        ("pg_dump -t a -t stock.b shop > /b/x", "tables", {"tables": ["public.a", "stock.b"], "to": "/b"}),
        ("pg_dumpall --globals-only > /b/globals.sql", "globals", {"to": "/b"}),
        ("redis-cli --rdb /b/cache.rdb", "rdb", {"to": "/b"}),
    ],
)  # fmt: skip
def test_a_dump_is_a_backup_of_the_book_written_where_the_manual_writes(
    command: str, method: str, more: dict[str, Any]
) -> None:
    within = context()
    (body,) = bodies(lifted(command, within))
    ((entry, place),) = within.backups.found
    assert body == {"backup.take": {"of": entry["of"], "backup": entry["id"]}}
    assert entry == {"id": entry["id"], "of": entry["of"], "method": method, **more}
    assert place == "manual.md:4"


def test_it_is_the_backup_that_the_manual_tells_of_elsewhere() -> None:
    nightly = {"id": "nightly", "of": "database", "method": "dump", "schedule": "0 3 * * *"}
    within = context(nightly)
    assert bodies(lifted("pg_dump shop > /b/x.sql", within)) == [
        {"backup.take": {"of": "database", "backup": "nightly"}}
    ]
    assert (len(within.backups.found), nightly["to"]) == (1, "/b")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("pg_dump --data-only shop > /b/x.sql", Why.OPEN),
        ("pg_dump -t 'audit_*' shop > /b/x.sql", Why.OPEN),
        ("pg_dump shop | psql other", Why.OUTPUT),
        ("pg_dump shop", Why.OPEN),
        ("pg_basebackup -D /b", Why.MISSING),
        ("pg_restore -a -d shop /b/x.dump", Why.OPEN),
        ("pg_restore -h new-host -d shop /b/x.dump", Why.ELSEWHERE),
        ("psql shop < migrations.sql", Why.PROGRAM),
        ("aws s3 cp notes.txt s3://shop/", Why.MISSING),
    ],
)
def test_what_a_backup_of_the_book_does_not_mean_stays(command: str, why: Why) -> None:
    within = context()
    steps = lifted(command, within)
    assert bodies(steps) == []
    assert [step.why for step in steps] == [why]
    assert within.backups.found == []


def test_packing_and_bringing_it_away_are_part_of_taking_it_and_a_look_reads_it() -> None:
    within = context()
    script = (
        "FILE=/backups/shop-$(date +%F).sql\npg_dump shop > $FILE\ngzip ${FILE}\n"
        "aws s3 cp $FILE.gz s3://${BUCKET}/daily/\nls -lh ${FILE}.gz\nscp $FILE.gz other:"
    )
    steps = lifted(script, within)
    assert [next(iter(body)) for body in bodies(steps)] == ["backup.take", "backup.verify"]
    assert [step.commands for step in steps] == [3, 1, 1]
    ((entry, _),) = within.backups.found
    assert (entry["to"], entry["copy_to"]) == ("/backups", "s3://${BUCKET}/daily")
    assert "not that file" in steps[-1].note
    assert steps[0].fallback is not None
    assert "gzip" in str(steps[0].fallback.body)


@pytest.mark.parametrize(
    "command",
    ["pg_restore -U app -d shop -c /b/20250101.dump", "psql shop < backup.sql", "gunzip -c dump.sql.gz | psql $URL"],
)  # fmt: skip
def test_a_dump_over_live_data_is_restored_beside_it_and_switched(command: str) -> None:
    within = context()
    first, second = bodies(lifted(command, within))
    restore = first["postgres.restore"]
    assert restore["stamp"] == "{{ stamp }}"
    assert second == {"postgres.switch_database": {"of": "database", "to": restore["to"]}}
    assert within.parameters.found["stamp"].default is None, "which one is for a person to say"
    assert within.parameters.found["to"].default == "restored"


def test_the_latest_is_the_newest_unless_one_is_taken_first() -> None:
    within = context()
    lifted("pg_restore -d shop latest.dump", within)
    assert within.parameters.found["stamp"].default == ""
    within = context()
    lifted("pg_dump shop > /b/safety.sql\npg_restore -d shop latest.dump", within)
    assert within.parameters.found["stamp"].default is None


def test_places_that_do_not_last_are_no_stores() -> None:
    assert [store_of(one) for one in ("/tmp/x.sql", "x.sql", "/dev/stdout", "s3://b/$(date)/x", "s3://b/x")] == [
        None, None, None, None, "s3://b",
    ]  # fmt: skip
    assert same_file("./${A}.gz") == same_file("$A")
