"""Runs the benchmarks, each in a process of its own; names on the command line choose some."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"run.py", "figures.py"}


def main() -> None:
    chosen = set(sys.argv[1:])
    files = [f for f in sorted(HERE.glob("*.py")) if f.name not in NOT_BENCHMARKS and (not chosen or f.stem in chosen)]
    if not files:
        sys.exit(f"no such benchmark; there are {', '.join(f.stem for f in sorted(HERE.glob('*.py')))}")
    failed = [file.stem for file in files if subprocess.run([sys.executable, str(file)]).returncode]
    if failed:
        sys.exit(f"these did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    main()
