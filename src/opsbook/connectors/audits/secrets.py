"""Secrets that lie open in files, by detect-secrets: told by their place and kind, never by their value.

It runs as `detect-secrets scan --no-verify`: it would otherwise try what it finds at whoever issued it. Its report is
`results`: file → [{`type`, `line_number`, `hashed_secret`}]; the last is left behind here.
https://github.com/Yelp/detect-secrets
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from opsbook.connectors.audits.asking import Answer, as_json, run
from opsbook.connectors.audits.finding import Finding, Found, NotAsked, Severity

CERTAIN = frozenset({
    "AWS Access Key", "Azure Storage Account access key", "Basic Auth Credentials", "Discord Bot Token", "GitHub Token",
    "GitLab Token", "JSON Web Token", "Mailchimp Access Key", "NPM tokens", "OpenAI Token", "Private Key",
    "PyPI upload token", "SendGrid API Key", "Slack Token", "Square OAuth Secret", "Stripe Access Key",
    "Telegram Bot Token", "Twilio API Key",
})  # fmt: skip
"""Kinds that have a form of their own. The others are told from names and randomness, and are often none."""
MOST_FILES = 50_000
SKIPPED = (".git", "node_modules", "__pycache__", ".venv", ".opsbook")


def parsed(answer: Answer, files: int, unread: Sequence[str]) -> Found:
    """Raises NotAsked where there is no report."""
    said = as_json("detect-secrets", answer)
    results = said.get("results") if isinstance(said, dict) else None
    if not isinstance(results, dict):
        raise NotAsked(f"detect-secrets answered in a form that is not known: {answer.last_words}")
    findings = tuple(
        Finding(f"{name}:{one.get('line_number', '?')}", str(one.get("type", "secret")), _severity(one.get("type")))
        for name, found in results.items()
        for one in found
    )
    return Found(findings, files, tuple(unread))


def _severity(kind: object) -> Severity:
    return "critical" if kind in CERTAIN else "medium"


def in_reach(paths: Sequence[Path]) -> tuple[int, list[str]]:
    """How many files lie there, and what of it cannot be read. Raises NotAsked where a path is not there."""
    count = 0
    unread: list[str] = []

    def closed(error: OSError) -> None:
        unread.append(f"{error.filename}: {error.strerror}")

    for path in paths:
        if not path.exists():
            raise NotAsked(f"{path} is not there")
        if path.is_file():
            count += 1
            continue
        for place, folders, names in os.walk(path, onerror=closed):
            folders[:] = [name for name in folders if name not in SKIPPED]
            count += len(names)
            unread += [
                f"{one}: it cannot be read" for name in names if not os.access(one := f"{place}/{name}", os.R_OK)
            ]
            if count > MOST_FILES:
                raise NotAsked(f"{path} has more than {MOST_FILES:,} files", "name the folders that matter")
    return count, unread


async def of_paths(paths: Sequence[Path], without: Sequence[str] = ()) -> Found:
    """Files and folders. `without` are regular expressions of paths that are left out. Raises NotAsked."""
    if importlib.util.find_spec("detect_secrets") is None:
        raise NotAsked("detect-secrets is not installed", "pip install 'opsbook[audit]'")
    files, unread = await asyncio.to_thread(in_reach, paths)
    skipped = [rf"(^|/){re.escape(name)}(/|$)" for name in SKIPPED]
    options = [word for one in (*skipped, *without) for word in ("--exclude-files", one)]
    argv = [
        sys.executable,
        "-I",
        "-m",
        "detect_secrets",
        "--cores",
        "1",
        "scan",
        "--all-files",
        "--no-verify",
        *options,
    ]
    findings: list[Finding] = []
    for path in paths:
        # From within: of what lies outside of its working folder it says nothing, as if it were clean.
        inside = path if await asyncio.to_thread(path.is_dir) else path.parent
        answer = await run([*argv, "." if inside == path else path.name], inside)
        if answer.code:
            raise NotAsked(f"detect-secrets could not look at {path}: {answer.last_words}")
        found = parsed(answer, files, unread).findings
        findings += [replace(one, subject=str(inside / one.subject)) for one in found]
    return Found(tuple(findings), files, tuple(unread))
