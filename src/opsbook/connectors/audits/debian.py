"""Packages of Debian that are older than what its lists have, by a simulated upgrade, which changes nothing.

`apt list` warns that its words are no interface; the lines `Inst NAME [OLD] (NEW ARCHIVE…)` of `apt-get --simulate` are
what unattended-upgrades and monitoring plugins read. An archive with `-security` in its name is an update for security.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from opsbook.connectors.audits.asking import Answer, run
from opsbook.connectors.audits.finding import Finding, Found, NotAsked

LISTS = Path("/var/lib/apt/lists")
OLD_DAYS = 3
_INSTALL = re.compile(
    r"^Inst (?P<name>\S+)(?: \[(?P<old>[^\]]*)\])? \((?P<new>\S+) (?P<archives>[^)]*)\)", re.MULTILINE
)
_SECURITY = re.compile(r"-security\b|Debian-Security", re.IGNORECASE)


def parsed(answer: Answer, age_days: float | None) -> Found:
    """`age_days` is the age of apt's lists; None where it has none. Raises NotAsked."""
    if answer.code:
        raise NotAsked(f"apt-get could not simulate an upgrade: {answer.last_words}")
    if age_days is None:
        raise NotAsked("apt has no lists of packages, so that everything would look new", "apt-get update")
    findings = tuple(
        Finding(
            one["name"], "security update" if _SECURITY.search(one["archives"]) else "update",
            "high" if _SECURITY.search(one["archives"]) else "low", one["old"] or "", one["new"],
        )
        for one in _INSTALL.finditer(answer.out)
        if one["old"]
    )  # fmt: skip
    left_out = () if age_days <= OLD_DAYS else (f"what came since: apt's lists are {age_days:.0f} days old",)
    return Found(findings, None, left_out)


def age_of_lists(folder: Path = LISTS) -> float | None:
    """Days since apt last read an archive's list."""
    try:
        ages = [
            one.stat().st_mtime
            for one in folder.iterdir()
            if one.is_file() and one.name.endswith(("Release", "Packages"))
        ]
    except OSError:
        return None
    return (time.time() - max(ages)) / 86400 if ages else None


async def of_this_host() -> Found:
    """Raises NotAsked on a host without apt."""
    tool = shutil.which("apt-get")
    if tool is None:
        raise NotAsked("this host has no apt-get: ask its own package manager")
    words = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return parsed(await run([tool, "--simulate", "--quiet", "dist-upgrade"], more=words), age_of_lists())
