"""`python -m src.serve api|ui`: one server process on the listening socket that supervisor hands over as descriptor 0.

All processes of a program share the socket, so each can be stopped and started while the others go on answering. In a
container nobody hands one over: it listens on port 8000 of its own.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import time

import uvicorn

from src import release
from src.logs import log_to_stderr
from src.settings import settings

APPLICATIONS = {"api": "src.api.main:app", "ui": "src.ui.main:app"}
GRACE_SECONDS = 8
PORT = 8000
CRASH_SECONDS = 0.5


def listening() -> socket.socket:
    """The socket that is handed over; one of this process's own where descriptor 0 is none."""
    if stat.S_ISSOCK(os.fstat(0).st_mode):
        return socket.socket(fileno=0)
    return socket.create_server(("", PORT), backlog=512)


def main() -> int:
    """Serve until SIGTERM, then finish what is under way within eight seconds."""
    log_to_stderr()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings().metrics_dir)  # read when prometheus_client is imported
    if release.fault() == "crash" and sys.argv[1] == "api":
        time.sleep(CRASH_SECONDS)
        print(f"release {release.version()} cannot start", file=sys.stderr)
        return 1
    config = uvicorn.Config(
        APPLICATIONS[sys.argv[1]],
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listening()])
    return 0


if __name__ == "__main__":
    sys.exit(main())
