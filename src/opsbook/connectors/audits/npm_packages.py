"""Vulnerable packages of a Node project, by `npm audit --json`, which changes nothing.

The report of npm 7 and later has `vulnerabilities` by package; that of npm 6 `advisories`.
https://docs.npmjs.com/cli/commands/npm-audit. Where the registry cannot be asked it prints an object with `error` or
`message`, some versions without a word on stderr.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opsbook.connectors.audits.asking import Answer, as_json, program, run
from opsbook.connectors.audits.finding import Finding, Found, NotAsked, severity_of

TOOL = "npm"
LOCKS = ("package-lock.json", "npm-shrinkwrap.json")


def parsed(answer: Answer) -> Found:
    """Raises NotAsked where the registry did not answer."""
    said = as_json("npm audit", answer)
    if not isinstance(said, dict):
        raise NotAsked(f"npm audit answered in a form that is not known: {answer.last_words}")
    if isinstance(said.get("vulnerabilities"), dict):
        return Found(tuple(_current(said["vulnerabilities"])), _asked(said))
    if isinstance(said.get("advisories"), dict):
        return Found(tuple(_older(said["advisories"])), _asked(said))
    raise NotAsked(f"npm audit could not ask the registry: {_trouble(said) or answer.last_words}",
                   "let opsbook's host reach a registry that serves security advisories")  # fmt: skip


def _trouble(said: dict[str, Any]) -> str:
    error = said.get("error")
    told = (error.get("summary") or error.get("code") or "") if isinstance(error, dict) else error or ""
    return str(told or said.get("message") or "").split("\n")[0][:300]


def _asked(said: dict[str, Any]) -> int | None:
    counted = (said.get("metadata") or {}).get("dependencies")
    found = counted.get("total") if isinstance(counted, dict) else (said.get("metadata") or {}).get("totalDependencies")
    return int(found) if isinstance(found, int) else None


def _current(found: dict[str, Any]) -> Iterator[Finding]:
    """One for each advisory. A package that is only named because of another one has no advisory of its own."""
    for name, one in found.items():
        fix = one.get("fixAvailable")
        fixed = f"{fix.get('name')} {fix.get('version')}" if isinstance(fix, dict) else "npm audit fix" if fix else ""
        for via in one.get("via") or []:
            if isinstance(via, dict):
                what = _advisory(str(via.get("url", "")), via.get("source"))
                severity = severity_of(via.get("severity") or one.get("severity"))
                versions = str(via.get("range") or one.get("range", ""))
                yield Finding(str(via.get("name") or name), what, severity, versions, fixed, str(via.get("title", "")))


def _older(found: dict[str, Any]) -> Iterator[Finding]:
    for number, one in found.items():
        versions = sorted({str(each.get("version", "")) for each in one.get("findings") or []})
        what = _advisory(str(one.get("url", "")), number)
        severity, fixed = severity_of(one.get("severity")), str(one.get("patched_versions", ""))
        name, title = str(one.get("module_name", "")), str(one.get("title", ""))
        yield Finding(name, what, severity, ", ".join(versions), fixed, title)


def _advisory(url: str, number: object) -> str:
    """`GHSA-…` of its address, else its number in the registry."""
    last = url.rstrip("/").rpartition("/")[2]
    return last if last.startswith("GHSA-") else f"npm advisory {number}"


async def of_project(folder: Path) -> Found:
    """A folder with a lock file. Raises NotAsked."""
    tool = program(TOOL, "install Node with npm, or run opsbook where they are")
    if not any((folder / name).is_file() for name in LOCKS):
        raise NotAsked(f"{folder} has no {LOCKS[0]}, so that nobody knows its versions")
    with_bounds = {
        "npm_config_fetch_retries": "1",
        "npm_config_fetch_timeout": "15000",
        "npm_config_update_notifier": "false",
    }
    return parsed(await run([tool, "audit", "--json"], folder, with_bounds))
