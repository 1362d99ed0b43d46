"""Runs the benchmarks, each in a process of its own; names on the command line choose some. Ends with one table."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from figures import KEPT, told

HERE = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"run.py", "figures.py", "ansible_peer.py", "served.py"}


def main() -> None:
    chosen = set(sys.argv[1:])
    files = [f for f in sorted(HERE.glob("*.py")) if f.name not in NOT_BENCHMARKS]
    if chosen - {f.stem for f in files}:
        sys.exit(f"no such benchmark; there are {', '.join(f.stem for f in files)}")
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder:
        kept = Path(folder) / "figures"
        failed = [
            file.stem
            for file in files
            if file.stem in (chosen or {file.stem})
            and subprocess.run([sys.executable, str(file)], env={**os.environ, KEPT: str(kept)}).returncode
        ]
        print(f"\n{date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}")
        print(f"  {'':42}{'opsbook':>12} {'':16}{'peer':>12}{'ratio':>9}")
        for figure in told(kept):
            print(figure)
    if failed:
        sys.exit(f"these did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
