"""What it costs to start a verb, against a bare Python and against another tool that asks for nothing: `kubectl`.

The same book of one component and one check; its store is a file that has a few runs. `python -c pass` is what no
program in Python can be below, and `import sqlalchemy` what none can that reads a database by it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from figures import in_turn, table

ROUNDS = 7
BOOK = """
opsbook: 1
system: bench
environments: {test: {policy: open}}
components: {front: {kind: tcp, address: "127.0.0.1:1"}}
checks: [{id: up, observe: tcp.open, of: front}]
"""
PROCEDURE = """---
title: Nothing
---
1. Do nothing.
   ```sh risk=safe
   true
   ```
"""
VERBS = ("--version", "runs", "status", "incident list", "check --only up", "plan one", "run one --yes --new")


def main() -> None:
    """Print, for each verb, seconds of CPU and of wall time, and the ratio to each peer."""
    opsbook = str(Path(sys.executable).with_name("opsbook"))
    with tempfile.TemporaryDirectory(prefix="opsbook-start-") as folder:
        (Path(folder) / "book.yaml").write_text(BOOK)
        (Path(folder) / "procedures").mkdir()
        (Path(folder) / "procedures" / "one.md").write_text(PROCEDURE)
        environment = {**os.environ, "OPSBOOK_STORE": f"sqlite:///{folder}/store.db"}

        def called(*words: str) -> Callable[[], object]:
            return lambda: subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=False)

        peers = {
            "python -c pass": called(sys.executable, "-c", "pass"),
            "python -c 'import sqlalchemy'": called(sys.executable, "-c", "import sqlalchemy"),
        }
        if kubectl := shutil.which("kubectl"):
            peers["kubectl version --client"] = called(kubectl, "version", "--client")
        ours = {f"opsbook {verb}": called(opsbook, *verb.split()) for verb in VERBS}
        called(opsbook, "run", "one", "--yes")()
        costs = in_turn({name: (work, None) for name, work in {**ours, **peers}.items()}, ROUNDS)
    for verb in ours:
        table(f"start of {verb}", {name: costs[name] for name in (verb, *peers)}, verb)


if __name__ == "__main__":
    main()
