"""Vulnerable packages of an image, by `trivy image --format json`.

Its report: https://trivy.dev/latest/docs/configuration/reporting/#json. `Results` is absent where trivy knows nothing
that is in the image; `Metadata.OS.EOSL` says that its distribution gets no updates any more.
"""

from __future__ import annotations

from typing import Any

from opsbook.connectors.audits.asking import Answer, as_json, program, run
from opsbook.connectors.audits.finding import Finding, Found, NotAsked, severity_of

TOOL = "trivy"


def parsed(image: str, answer: Answer) -> Found:
    """Raises NotAsked where it has no database, cannot read the image, or knows nothing in it."""
    if answer.code:
        raise NotAsked(f"trivy could not look at {image}: {answer.last_words}")
    said = as_json(TOOL, answer)
    results = said.get("Results") if isinstance(said, dict) else None
    if not results:
        raise NotAsked(f"trivy knows nothing of what is in {image}")
    findings = [_finding(each) for one in results for each in one.get("Vulnerabilities") or []]
    system = (said.get("Metadata") or {}).get("OS") or {}
    if system.get("EOSL"):
        name = f"{system.get('Family', '')} {system.get('Name', '')}".strip()
        findings.append(Finding(name, "end of support", "high", words="its distribution gets no updates any more"))
    counted = [len(one["Packages"]) for one in results if isinstance(one.get("Packages"), list)]
    return Found(tuple(findings), sum(counted) or None)


def _finding(told: dict[str, Any]) -> Finding:
    return Finding(
        str(told.get("PkgName", "")), str(told.get("VulnerabilityID", "")), severity_of(told.get("Severity")),
        str(told.get("InstalledVersion", "")), str(told.get("FixedVersion", "")), str(told.get("Title", "")),
    )  # fmt: skip


async def of_image(image: str) -> Found:
    """By its name as a registry or the local engine knows it. Raises NotAsked."""
    tool = program(TOOL, "install trivy: https://trivy.dev")
    options = ["--quiet", "--format", "json", "--scanners", "vuln", "--list-all-pkgs", "--timeout", "100s"]
    return parsed(image, await run([tool, "image", *options, "--", image]))
