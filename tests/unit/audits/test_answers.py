"""Answers of tools in their documented forms: what was found is told, what could not be asked is never good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.audits import debian, images, npm_packages, python_packages, secrets
from opsbook.connectors.audits.asking import Answer
from opsbook.connectors.audits.finding import Finding, Found, NotAsked, fact_of

PIP = {
    "dependencies": [
        {
            "name": "jinja2",
            "version": "2.10",
            "vulns": [
                {
                    "id": "PYSEC-2019-217",
                    "fix_versions": ["2.10.1"],
                    "aliases": ["CVE-2019-10906", "GHSA-462w-v97r-4m45"],
                    "description": "str.format_map\nallows a sandbox escape.",
                }
            ],
        },
        {"name": "click", "version": "8.1.7", "vulns": []},
        {"name": "ours", "skip_reason": "Dependency not found on PyPI and could not be audited: ours (1.0)"},
    ],
    "fixes": [],
}
NPM = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "lodash": {
            "name": "lodash",
            "severity": "critical",
            "isDirect": True,
            "via": [
                {
                    "source": 1065,
                    "name": "lodash",
                    "dependency": "lodash",
                    "title": "Prototype Pollution in lodash",
                    "url": "https://github.com/advisories/GHSA-jf85-cpcp-j695",
                    "severity": "critical",
                    "range": "<4.17.12",
                }
            ],
            "effects": ["shop"],
            "range": "<=4.17.20",
            "nodes": ["node_modules/lodash"],
            "fixAvailable": {"name": "lodash", "version": "4.17.21", "isSemVerMajor": False},
        },
        "shop": {"name": "shop", "severity": "critical", "via": ["lodash"], "range": "*", "fixAvailable": True},
    },
    "metadata": {"vulnerabilities": {"critical": 2, "total": 2}, "dependencies": {"prod": 12, "total": 14}},
}
NPM_6 = {
    "advisories": {
        "782": {
            "findings": [{"version": "4.17.4", "paths": ["lodash"]}],
            "id": 782,
            "title": "Prototype Pollution",
            "module_name": "lodash",
            "severity": "moderate",
            "patched_versions": ">=4.17.11",
            "url": "https://npmjs.com/advisories/782",
        }
    },
    "metadata": {"vulnerabilities": {"moderate": 1}, "totalDependencies": 9},
}
TRIVY = {
    "SchemaVersion": 2,
    "ArtifactName": "shop:1",
    "Metadata": {"OS": {"Family": "debian", "Name": "10.13", "EOSL": True}},
    "Results": [
        {
            "Target": "shop:1 (debian 10.13)",
            "Class": "os-pkgs",
            "Type": "debian",
            "Packages": [{"Name": "openssl"}, {"Name": "zlib1g"}],
            "Vulnerabilities": [
                {
                    "VulnerabilityID": "CVE-2023-0286",
                    "PkgName": "openssl",
                    "InstalledVersion": "1.1.1n-0+deb10u3",
                    "FixedVersion": "1.1.1n-0+deb10u4",
                    "Severity": "HIGH",
                    "Title": "X.400 address type confusion",
                }
            ],
        },
        {"Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg", "Packages": [{"Name": "pip"}]},
    ],
}
APT = """\
Reading package lists...
Inst libgcrypt20 [1.10.1-3] (1.10.1-3+deb12u1 Debian:12.15/stable, Debian-Security:12/stable-security [amd64]) []
Inst bash [5.2.15-2+b8] (5.2.15-2+b13 Debian:12.15/stable [amd64])
Inst linux-image-6.1.0-40-amd64 (6.1.153-1 Debian:12.15/stable [amd64])
Conf bash (5.2.15-2+b13 Debian:12.15/stable [amd64])
"""
SECRETS = {
    "version": "1.5.0",
    "results": {
        "src/a.py": [
            {
                "type": "AWS Access Key",
                "filename": "src/a.py",
                "hashed_secret": "049ef97a991813ba80315268b00f2a92eb597ec6",
                "is_verified": False,
                "line_number": 7,
            },
            {"type": "Secret Keyword", "filename": "src/a.py", "hashed_secret": "be4fc4", "line_number": 9},
        ]
    },
}


def said(value: Any, code: int = 0, chatter: str = "") -> Answer:
    return Answer(code, value if isinstance(value, str) else json.dumps(value), chatter)


def test_a_vulnerable_python_package_is_told_with_its_cve_and_the_version_that_mends_it() -> None:
    found = python_packages.parsed(said(PIP, code=1))
    assert found.findings == (
        Finding("jinja2", "CVE-2019-10906", "unknown", "2.10", "2.10.1", "str.format_map allows a sandbox escape."),
    )
    assert (found.asked, len(found.left_out)) == (2, 1)
    assert "1 not asked: ours" in fact_of(found).message


def test_packages_that_were_all_skipped_are_not_asked_though_pip_audit_says_none_is_vulnerable() -> None:
    skipped = {"dependencies": [PIP["dependencies"][2]], "fixes": []}
    with pytest.raises(NotAsked, match="none of 1 packages could be asked for: Dependency not found"):
        python_packages.parsed(said(skipped, 0, "No known vulnerabilities found"))


@pytest.mark.parametrize("out", ["", "{}", '{"dependencies": []}', "[]"])
def test_an_answer_of_pip_audit_without_packages_is_none(out: str) -> None:
    with pytest.raises(NotAsked, match="not asked: "):
        python_packages.parsed(said(out, 1, "ERROR:pip_audit._cli:Tried to connect"))


def test_the_packages_of_a_workload_are_read_from_what_its_interpreter_lists() -> None:
    lines = "noise\nopsbook-package Jinja2 3.1.4\nopsbook-package click 8.1.7\nopsbook-package ; rm 1\n"
    assert python_packages.listed(lines) == ["click==8.1.7", "Jinja2==3.1.4"]


def test_npm_is_told_by_advisory_and_a_package_that_only_depends_on_one_is_not_counted_again() -> None:
    found = npm_packages.parsed(said(NPM, code=1))
    assert found == Found(
        (
            Finding("lodash", "GHSA-jf85-cpcp-j695", "critical", "<4.17.12", "lodash 4.17.21",
                    "Prototype Pollution in lodash"),
        ),
        14,
    )  # fmt: skip
    (older,) = npm_packages.parsed(said(NPM_6, code=1)).findings
    assert (older.severity, older.what, older.version, older.fixed) == (
        "medium", "npm advisory 782", "4.17.4", ">=4.17.11",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"error": {"code": "ENOLOCK", "summary": "This command requires an existing lockfile."}}, "existing lockfile"),
        ({"message": "405 Method Not Allowed - POST https://r.example", "error": {"summary": "", "detail": ""}}, "405"),
        ({"error": {"code": "ENOTFOUND", "summary": "", "detail": ""}}, "ENOTFOUND"),
        ("", "npm ERR! audit endpoint returned an error"),
    ],
)
def test_a_registry_that_does_not_answer_npm_is_not_asked(answer: Any, why: str) -> None:
    with pytest.raises(NotAsked, match=why):
        npm_packages.parsed(said(answer, 1, "npm ERR! audit endpoint returned an error"))


def test_an_image_is_told_by_package_and_a_distribution_without_updates_is_a_finding() -> None:
    found = images.parsed("shop:1", said(TRIVY))
    assert [(one.subject, one.what, one.severity) for one in found.findings] == [
        ("openssl", "CVE-2023-0286", "high"),
        ("debian 10.13", "end of support", "high"),
    ]
    assert found.asked == 3


def test_trivy_without_database_or_knowledge_is_not_asked() -> None:
    with pytest.raises(NotAsked, match="failed to download vulnerability DB"):
        images.parsed("shop:1", said("", 1, "FATAL  init error: failed to download vulnerability DB"))
    with pytest.raises(NotAsked, match="knows nothing of what is in shop:1"):
        images.parsed("shop:1", said({"SchemaVersion": 2, "ArtifactName": "shop:1"}))


def test_debian_tells_security_updates_apart_and_does_not_count_new_packages() -> None:
    found = debian.parsed(said(APT), 0.5)
    assert [(one.subject, one.severity, one.version, one.fixed) for one in found.findings] == [
        ("libgcrypt20", "high", "1.10.1-3", "1.10.1-3+deb12u1"),
        ("bash", "low", "5.2.15-2+b8", "5.2.15-2+b13"),
    ]
    assert found.left_out == ()


def test_lists_of_apt_that_are_old_or_missing_are_said() -> None:
    assert debian.parsed(said(""), 40.0).left_out == ("what came since: apt's lists are 40 days old",)
    with pytest.raises(NotAsked, match="no lists"):
        debian.parsed(said(""), None)
    with pytest.raises(NotAsked, match="dpkg was interrupted"):
        debian.parsed(said("", 100, "E: dpkg was interrupted"), 0.1)


def test_a_secret_is_told_by_place_and_kind_and_nothing_that_stands_for_its_value() -> None:
    fact = fact_of(secrets.parsed(said(SECRETS), 3, ()))
    assert fact.value == 2
    assert "src/a.py:7 (AWS Access Key)" in fact.message
    assert "049ef97a" not in json.dumps(fact.detail)
    assert [row["severity"] for row in fact.detail["findings"]] == ["critical", "medium"]  # type: ignore[index,call-overload]


def test_what_is_not_there_is_not_scanned_as_if_it_were_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    assert secrets.in_reach([tmp_path]) == (1, [])
    with pytest.raises(NotAsked, match="is not there"):
        secrets.in_reach([tmp_path / "gone"])


def test_nothing_found_says_in_how_many_it_looked() -> None:
    assert fact_of(Found((), 12)).message == "none in 12"
