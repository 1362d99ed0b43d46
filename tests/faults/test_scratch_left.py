"""A process dies while its scratch server is being made: what makes it is ended, and nothing of it stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from opsbook.connectors.backups import scratch
from opsbook.connectors.backups.scratch import MARKER, PREFIX, _remove, sweep
from tests.integration.servers import gone, until

MAKING = """
import subprocess, sys, time
from pathlib import Path
from opsbook.connectors.backups.scratch import _made
folder = _made(Path(sys.argv[1]))
write = "import itertools, os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
write += "data = sys.argv[2]; os.makedirs(data, exist_ok=True);\\nfor n in itertools.count():"
write += " os.makedirs(data, exist_ok=True); open(f'{data}/{n}', 'w').close(); time.sleep(0.001)"
child = subprocess.Popen([sys.executable, "-c", write, "-D", str(folder / "data")])
while not (folder / "data").exists(): time.sleep(0.01)
print(child.pid, folder, flush=True)
time.sleep(600)
"""


def test_what_a_dead_process_was_making_is_ended_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "STOP_SECONDS", 0.5)
    maker = subprocess.Popen([sys.executable, "-c", MAKING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    pid, name = maker.stdout.readline().split()
    assert sweep(tmp_path) == [], "its process lives"
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    assert not gone(int(pid)), "what fills it outlives who began it"
    assert sweep(tmp_path) == [Path(name)]
    until(lambda: gone(int(pid)), what="nothing fills it any more")
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_a_folder_that_cannot_be_emptied_keeps_its_mark(tmp_path: Path) -> None:
    folder = tmp_path / f"{PREFIX}x"
    (folder / "data").mkdir(parents=True)
    (folder / MARKER).write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        _remove(folder)
    assert (folder / MARKER).exists(), "the next one must know whose it is"
    _remove(folder)
    assert not folder.exists()
