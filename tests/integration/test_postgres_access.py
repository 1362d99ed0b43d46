"""Who may log in to a real PostgreSQL, and with which rights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.connectors.contract import Reading
from opsbook.connectors.registry import open_connections
from opsbook.upkeep.access import families
from tests.integration.servers import Postgres, ask, make_system

pytestmark = pytest.mark.real

ROLES = ("review_root", "review_app", "review_hidden", "review_old")


@pytest.fixture
def reviewed(postgres_pair: tuple[Postgres, Postgres]) -> Iterator[Postgres]:
    """The shared server with roles that a review must tell apart, and without them afterwards."""
    server, _ = postgres_pair
    server.sql(
        "CREATE ROLE review_root SUPERUSER",
        "CREATE ROLE review_app LOGIN PASSWORD 'x' VALID UNTIL '2020-01-01'",
        "CREATE ROLE review_hidden LOGIN IN ROLE review_root",
        "CREATE ROLE review_old LOGIN",
        "CREATE SCHEMA review",
        "CREATE TABLE review.kept (id int)",
        "GRANT SELECT, DELETE ON review.kept TO review_app",
        "GRANT SELECT ON review.kept TO PUBLIC",
    )
    yield server
    server.sql("DROP SCHEMA review CASCADE", *(f"DROP ROLE {role}" for role in reversed(ROLES)))


def of_review(reading: Reading) -> dict[str, object]:
    """The rows of this test's own roles: others use the same server."""
    assert isinstance(reading.detail, list), reading.message
    return {row["role"]: row for row in reading.detail if row["role"] in ROLES}


async def test_a_review_finds_who_should_not_be_there_and_what_is_granted_too_much(
    reviewed: Postgres, tmp_path: Path
) -> None:
    roles, ends, grants = "postgres.unexpected_roles", "postgres.passwords_without_end", "postgres.grants_beyond"
    app = {"allowed": ["review_app", "review_hidden", "monitor"], "privileged": ["review_old"]}
    every = [row[0] for row in reviewed.sql("SELECT rolname::text FROM pg_roles WHERE rolcanlogin")]
    allowed = {"review_app": ["SELECT"], "PUBLIC": ["SELECT"]}
    system = make_system(tmp_path, {"database": {"kind": "postgres", "dsn": reviewed.monitor}})
    async with open_connections(system) as connections:
        found, fine, endless, nothing, more, all_of_it = await ask(
            connections,
            "database",
            (roles, app),
            (roles, {"allowed": every, "privileged": every}),
            ends,
            (ends, {"allowed": every}),
            (grants, {"allowed": allowed, "schemas": ["review"]}),
            (grants, {"schemas": ["review"]}),
        )
    why = {role: row["why"] for role, row in of_review(found).items()}  # type: ignore[index]
    assert why == {"review_hidden": ["has superuser"], "review_old": ["may log in"]}
    assert "review_old may log in" in found.message or "more" in found.message
    assert (fine.value, nothing.value) == (0, 0)
    assert set(of_review(endless)) == {"review_hidden", "review_old"}
    assert more.detail == [{"table": "review.kept", "role": "review_app", "privileges": ["DELETE"]}]
    assert (more.value, more.message) == (1, "too much is granted to review_app")
    assert all_of_it.value == 2


def test_the_evidence_of_the_review_names_powers_and_memberships(reviewed: Postgres, tmp_path: Path) -> None:
    check = {"id": "roles", "observe": "postgres.unexpected_roles", "of": "database"}
    database = {"kind": "postgres", "dsn": reviewed.monitor}
    text = dict(families(make_system(tmp_path, {"database": database}, checks=[check])))["access-review"]
    (statement,) = re.findall(r"```sql [^\n]*\n(.*?)```", text, re.DOTALL)
    rows = {row[0]: row for row in reviewed.sql(statement)}
    assert "review_root" not in rows
    assert (rows["review_hidden"][1], rows["review_hidden"][5]) == (False, "review_root")
    assert rows["review_app"][4].startswith("2020-01-01")
