"""A version of what answers no requests that crashes later goes back by itself, and that is an incident."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import until
from tests.integration.serving import OPSBOOK, PATIENCE, Serving, a_web, asked, write_book
from tests.integration.supervisord import Supervisord, new_supervisord

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
PROGRAM = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
version = open("VERSION").read().strip()
while not (version == "1.1.0" and os.path.exists(sys.argv[1])):
    time.sleep(0.1)
sys.exit("no memory left")
"""


@pytest.fixture
def server() -> Iterator[Supervisord]:
    with new_supervisord() as found:
        found.stop()
        (found.folder / "task.py").write_text(PROGRAM)
        command = f"{sys.executable} -S {found.folder}/task.py {found.folder}/crash"
        section = found.section("task", command=command, more=f"directory = {found.folder}/current\n")
        section = section.replace("autostart = false", "autostart = true")
        found.write(programs=section.replace("autorestart = true", "autorestart = false"))
        yield found.start()


def test_a_worker_that_crashes_while_it_is_watched_goes_back_and_an_incident_is_written(
    server: Supervisord, tmp_path: Path
) -> None:
    runtime = {"kind": "supervisor", "config": str(server.config), "releases": str(server.folder / "releases"),
               "current": str(server.folder / "current")}  # fmt: skip
    with a_web() as web:
        book = write_book(
            tmp_path / "book", web, components={"worker": {"kind": "workload", "workload": "task"}},
            environments={"production": {"policy": "open", "runtime": runtime}}, deploys={"watch": "5m"},
            checks=[{"id": "runs", "observe": "workload.missing", "of": "worker", "interval": "1h"}],
        )  # fmt: skip
        store = book / ".opsbook" / "store.db"
        serving = Serving(book).watching()
        argv = [str(OPSBOOK), "deploy", "worker", "1.1.0", "--yes", "--format", "json", "--book", str(book)]
        deploy = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=book,
                                  stdin=subprocess.DEVNULL, env=dict(os.environ))  # fmt: skip
        try:
            watched = "SELECT count(*) FROM steps WHERE step = 'watch' AND state = 'running'"
            until(
                lambda: (store.exists() and asked(store, watched)[0][0]) or deploy.poll() is not None, 120, "it watches"
            )
            (server.folder / "crash").touch()
            said, wrong = deploy.communicate(timeout=300)
            view = json.loads(said) if said else {"state": wrong, "message": ""}
            assert view["state"] == "undone", view
            assert "runs is critical" in view["message"], view["message"]
            assert os.readlink(server.folder / "current").endswith("1.0.0")
            # One incident for a component: where the check is looked at meanwhile, it has opened it already.
            written = "SELECT sentence, incident FROM alerts WHERE fingerprint = 'deploy:worker' AND incident != ''"
            ((sentence, incident),) = until(lambda: asked(store, written), PATIENCE, "an incident")
            assert sentence.startswith("worker 1.1.0 went back by itself: step watch: worker: runs is crit"), sentence
            assert asked(store, f"SELECT component FROM incidents WHERE id = '{incident}'") == [("worker",)]
            assert serving.end() == 0
        finally:
            deploy.kill()
            deploy.wait()
            serving.kill()
