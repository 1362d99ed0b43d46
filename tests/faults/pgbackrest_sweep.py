"""The slow tests of pgBackRest as a part of `make faults`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.faults.recovery_sweep import Swept

TESTS = Path(__file__).with_name("pgbackrest_slow.py")


def pgbackrest_sweep(only: str, tell: Callable[[str], None]) -> Swept:
    """Backups and restores that are killed, points of every kind, an encrypted bucket."""
    if shutil.which("pgbackrest") is None:
        return Swept("left out: pgbackrest is not installed")
    argv = [sys.executable, "-m", "pytest", "-n", "0", "-rf", str(TESTS), *(["-k", only] if only else [])]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    tell(done.stdout)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    counted = next((line.strip("= ") for line in reversed(lines) if " passed" in line or " failed" in line), "")
    wrong = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 5) and not wrong:
        wrong = lines[-1:] or [done.stderr[-500:]]
    return Swept(counted or f"{len(wrong)} failed", wrong)
