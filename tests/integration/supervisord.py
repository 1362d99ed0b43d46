"""A real supervisord with small programs, stopped by its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from opsbook.book.system import System
from tests.integration.servers import free_port, gone, make_system, own_folder, until

BEAT = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
version = open("VERSION").read().strip() if os.path.exists("VERSION") else "none"
print(time.strftime("%Y-%m-%d %H:%M:%S"), "INFO started", version, os.getpid(), flush=True)
while True:
    time.sleep(0.2)
"""
ANSWER = """\
import signal, socket
# It is told to end between two requests: what it has accepted it answers.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
listening = socket.socket(fileno=0)
listening.settimeout(0.05)
while signal.SIGTERM not in signal.sigpending():
    try:
        one, _ = listening.accept()
    except TimeoutError:
        continue
    one.recv(4096)
    one.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    one.close()
"""


class Supervisord:
    """One supervisord with a program of several slots, one that shares a socket, and some that misbehave."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config, self.socket = folder, folder / "supervisord.conf", folder / "s.sock"
        self.port, self.http_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, head: str = "", programs: str = "") -> Supervisord:
        (self.folder / "logs").mkdir(exist_ok=True)
        (self.folder / "beat.py").write_text(BEAT)
        (self.folder / "answer.py").write_text(ANSWER)
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            release = self.folder / "releases" / version
            release.mkdir(parents=True, exist_ok=True)
            (release / "VERSION").write_text(version)
        if not (self.folder / "current").is_symlink():
            (self.folder / "current").symlink_to("releases/1.0.0")
        (self.folder / "more.conf").write_text(self.section("extra", "beat.py"))
        self.config.write_text(
            "[unix_http_server]\nfile = %(here)s/s.sock\nusername = ops\npassword = s3cret-word\n" + head +
            "[supervisord]\nlogfile = %(here)s/logs/supervisord.log\npidfile = %(here)s/pid\n"
            'childlogdir = %(here)s/logs\nenvironment = SHARED="a b,c",OWN_SECRET="hunter2"\n'
            + ("user = root\n" if os.geteuid() == 0 else "") +
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = "
            "supervisor.rpcinterface:make_main_rpcinterface\n[include]\nfiles = more.conf\n"
            + self.section("worker", "beat.py", slots=4, more=f'directory = {self.folder}/current\n'
                           'environment = QUEUE="harvest",EMPTY=""\n')
            + self.section("single", "beat.py", more=f"directory = {self.folder}/current\n")
            + self.section("web", "answer.py", slots=2, kind="fcgi-program",
                           more=f"socket = tcp://127.0.0.1:{self.port}\n")
            + self.section("crasher", command="/bin/false")
            + self.section("absent", command="/does/not/exist")
            + programs
        )  # fmt: skip
        return self

    def section(
        self, name: str, script: str = "", slots: int = 1, more: str = "", kind: str = "program", command: str = ""
    ) -> str:
        label = f"{name}_%(process_num)02d" if slots > 1 else name
        command = command or f"{sys.executable} -S {self.folder}/{script}"
        return (
            f"[{kind}:{name}]\ncommand = {command}\nprocess_name = {label}\nnumprocs = {slots}\nautostart = false\n"
            f"autorestart = true\nstartsecs = 0\nstartretries = 1\nstopwaitsecs = 5\n"
            f"stdout_logfile = {self.folder}/logs/{label}.log\nstderr_logfile = {self.folder}/logs/{label}.err\n{more}"
        ).replace("startsecs = 0", "startsecs = 1" if "/" in command and not script else "startsecs = 0")

    def start(self) -> Supervisord:
        program = Path(sys.executable).with_name("supervisord")
        # One that was stopped while it started leaves its socket, and the next would seem to listen already.
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [str(program), "-n", "-c", str(self.config)], stdout=subprocess.DEVNULL, cwd=self.folder
        )
        until(lambda: self.socket.exists(), what="supervisord listens")
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def kill(self, pids: list[int]) -> None:
        """End supervisord at once, and what it leaves behind."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(5)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: all(gone(pid) for pid in pids), what="the orphans have ended")

    def system(self, components: dict[str, dict[str, Any]] | None = None, **runtime: str) -> System:
        named = runtime or {"config": str(self.config)}
        settings = {"kind": "supervisor", "releases": str(self.folder / "releases"),
                    "current": str(self.folder / "current"), **named}  # fmt: skip
        return make_system(
            self.folder,
            components or {"worker": {"kind": "workload", "replicas": 2}},
            environments={"test": {"policy": "open", "runtime": settings}},
        )


@contextmanager
def new_supervisord(**keywords: str) -> Iterator[Supervisord]:
    """A supervisord for one test."""
    with own_folder("sv") as folder:
        server = Supervisord(folder).write(**keywords)
        try:
            yield server.start()
        finally:
            server.stop()
