"""The security audit of a book, and what its evidence says."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.recovery.test_restores import DATABASE, system_of

from opsbook.catalogue import catalogue
from opsbook.checks.audited import questions, unasked
from opsbook.connectors.audits.record import Asked, Audit, written
from opsbook.engine.compile import load_procedures
from opsbook.errors import OpsbookError
from opsbook.observations.cluster_policies import unprotected
from opsbook.upkeep.audits import families

ROLES = {"id": "roles", "observe": "postgres.unexpected_roles", "of": "database", "with": {"allowed": ["app"]}}
REFUSED = {
    "id": "refused", "observe": "postgres.value", "of": "database", "groups": ["security"],
    "with": {"sql": "SELECT count(*) FROM refused_logins"}, "warning": "> 5",
}  # fmt: skip
WHEN = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)


def test_a_book_without_a_check_of_security_has_no_audit(tmp_path: Path) -> None:
    assert dict(families(system_of(tmp_path, {"database": DATABASE}))) == {}


def test_the_audit_asks_then_a_person_reads_and_a_critical_finding_fails_it(tmp_path: Path) -> None:
    components = {"database": DATABASE, "host": {"kind": "host"}}
    system = system_of(tmp_path, components, checks=[ROLES])
    found = load_procedures(system, catalogue(), dict(families(system)))["security-audit"]
    assert [step.kind for step in found.steps] == ["op", "sql", "person", "sh"]
    assert found.risk == "read"


def test_it_asks_the_checks_of_the_book_and_what_needs_no_check(tmp_path: Path) -> None:
    components = {"database": DATABASE, "host": {"kind": "host"}, "front": {"kind": "http", "url": "https://x"}}
    system = system_of(tmp_path, components, checks=[ROLES, REFUSED])
    asked = [(one.observe, one.of) for one in questions(system)]
    assert asked[:2] == [("postgres.unexpected_roles", "database"), ("postgres.value", "database")]
    assert ("host.exposed_secrets", "host") in asked
    assert ("tls.weak_protocols", "front") in asked
    assert len(asked) == len(set(asked))
    slow = next(one for one in questions(system) if one.observe == "host.exposed_secrets")
    assert slow.timeout is not None and slow.timeout.total_seconds() >= 120


def test_what_the_book_leaves_open_is_named_as_not_asked(tmp_path: Path) -> None:
    lines = [one.not_asked[0] for one in unasked(system_of(tmp_path, {"database": DATABASE}, checks=[ROLES]))]
    assert "not asked: no check says who may do what" in lines
    assert "not asked: no check says who may log in" not in lines
    assert lines[-1] == "not asked: the book has no component of the kind host"


def audit() -> Audit:
    rows = {"findings": [{"subject": "a.py:7", "what": "Private Key", "severity": "critical"}]}
    return Audit(
        "shop", "production", WHEN,
        (
            Asked("secrets", "host.exposed_secrets", "host", "critical", "1", "1 is critical", rows, ("b: closed",)),
            Asked("roles", "postgres.unexpected_roles", "database", "", "0", ""),
        ),
        (Asked("image", "host.vulnerable_image", "host", "", "", "", None, ("not asked: trivy is not installed",)),),
    )  # fmt: skip


def test_the_evidence_says_what_was_found_and_what_nobody_knows(tmp_path: Path) -> None:
    said = written(tmp_path / "audits", audit())
    data, page = ((tmp_path / "audits" / said[name]).read_bytes() for name in ("json", "markdown"))
    assert hashlib.sha256(data).hexdigest() == said["sha256"]
    assert hashlib.sha256(page).hexdigest() == said["markdown_sha256"]
    text = page.decode()
    assert "2 asked: 1 critical, 0 warning, 1 answered in part; 1 could not be asked" in text
    assert "### critical: secrets" in text and "- a.py:7 Private Key critical" in text
    not_asked = text[text.index("## Not asked") : text.index("## Asked")]
    assert "trivy is not installed" in not_asked and "b: closed" in not_asked
    assert said["sha256"] in text
    assert json.loads(data)["without"][0]["not_asked"] == ["not asked: trivy is not installed"]


def test_evidence_is_never_written_over(tmp_path: Path) -> None:
    written(tmp_path, audit())
    before = sorted(one.read_bytes() for one in tmp_path.iterdir())
    with pytest.raises(OpsbookError, match="cannot be written"):
        written(tmp_path, audit())
    assert sorted(one.read_bytes() for one in tmp_path.iterdir()) == before


def test_a_workload_that_no_policy_for_incoming_connections_selects_is_told() -> None:
    def pod(name: str, phase: str = "Running") -> dict[str, object]:
        owner = [{"kind": "ReplicaSet", "name": name}]
        return {
            "metadata": {"name": f"{name}-1", "labels": {"app": name}, "ownerReferences": owner},
            "status": {"phase": phase},
        }

    only_api = {"spec": {"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress"]}}
    outgoing = {"spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    found = unprotected([pod("api"), pod("worker"), pod("done", "Succeeded")], [only_api, outgoing])
    assert found == {"ReplicaSet worker": ["worker-1"]}
    assert unprotected([pod("worker")], [{"spec": {"podSelector": {}}}]) == {}
