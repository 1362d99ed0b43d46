"""Vulnerable Python packages, by pip-audit: of an interpreter, a requirements file, or a workload from inside.

Its JSON: https://github.com/pypa/pip-audit#examples. A package that the advisory service does not know is *skipped*,
and pip-audit then ends with 0 and "No known vulnerabilities found": skipped ones are never counted as looked at.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opsbook.connectors.audits.asking import Answer, as_json, program, run
from opsbook.connectors.audits.finding import Finding, Found, NotAsked

TOOL = "pip-audit"
INSTALL = "pip install 'opsbook[audit]'"
OURSELVES = "opsbook"
REACH = "let opsbook's host reach the advisory service, or name an index that has advisories"
LISTING = """\
import importlib.metadata as m
for one in m.distributions():
    print("opsbook-package", one.metadata["Name"], one.version)
"""
"""Asks an interpreter for what is installed in it, without pip, which images often lack."""
_LISTED = re.compile(r"^opsbook-package ([A-Za-z0-9][A-Za-z0-9._-]*) (\S+)$", re.MULTILINE)


def listed(said: str) -> list[str]:
    """`name==version` of each package that `LISTING` told."""
    return sorted({f"{name}=={version}" for name, version in _LISTED.findall(said)}, key=str.lower)


def parsed(answer: Answer) -> Found:
    """Raises NotAsked where there is no answer, or none of the packages could be asked for."""
    said = as_json(TOOL, answer)
    if not isinstance(said, dict) or not isinstance(said.get("dependencies"), list):
        raise NotAsked(f"{TOOL} answered in a form that is not known: {answer.last_words}")
    asked = [one for one in said["dependencies"] if "skip_reason" not in one and isinstance(one.get("vulns"), list)]
    skipped = [one for one in said["dependencies"] if one not in asked]
    if skipped and not asked:
        why = skipped[0].get("skip_reason", "it says nothing of it")
        raise NotAsked(f"none of {len(skipped)} packages could be asked for: {why}", REACH)
    if not asked:
        raise NotAsked("no package was found to ask for")
    findings = tuple(_finding(one, each) for one in asked for each in one["vulns"])
    left_out = tuple(f"{one['name']}: {one.get('skip_reason', 'nothing was said of it')}" for one in skipped)
    return Found(findings, len(asked), left_out)


def _finding(package: dict[str, Any], told: dict[str, Any]) -> Finding:
    known = [told.get("id", ""), *(told.get("aliases") or [])]
    cve = next((one for one in known if str(one).startswith("CVE-")), known[0])
    fixed = ", ".join(map(str, told.get("fix_versions") or []))
    return Finding(package["name"], str(cve), "unknown", str(package.get("version", "")), fixed,
                   " ".join(str(told.get("description", "")).split()))  # fmt: skip


async def audited(packages: Iterable[str]) -> Found:
    """Of exact versions. Nothing is installed and nothing resolved."""
    tool, wanted = program(TOOL, INSTALL), [one for one in packages if one.partition("==")[0].lower() != OURSELVES]
    if not wanted:
        raise NotAsked("no package was found to ask for")
    with tempfile.TemporaryDirectory(prefix="opsbook-audit-") as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        return parsed(await _ask(tool, path))


async def of_interpreter(python: str) -> Found:
    """What is installed in it. Raises NotAsked where it cannot be asked."""
    answer = await run([python, "-I", "-c", LISTING])
    if answer.code:
        raise NotAsked(f"{python} cannot list its packages: {answer.last_words}")
    return await audited(listed(answer.out))


async def of_requirements(path: Path) -> Found:
    """A requirements file whose versions are pinned."""
    if not await asyncio.to_thread(path.is_file):
        raise NotAsked(f"{path} is not there")
    return parsed(await _ask(program(TOOL, INSTALL), path))


async def _ask(tool: str, requirements: Path) -> Answer:
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    return await run([tool, "--requirement", str(requirements), *options])
