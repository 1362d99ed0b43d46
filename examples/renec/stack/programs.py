"""The programs that supervisor holds, as a table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stack import authority, binaries, monitoring
from stack.instance import EXAMPLE, Instance, server_account
from stack.nginx import serving
from stack.postgres import PRIMARY, REPLICA

SERVER: dict[str, Any] = {"as_server": True, "stop_signal": "INT", "stop_seconds": 20}
WHOLE_GROUP = {"killasgroup": "true"}


@dataclass(frozen=True)
class Program:
    """`slots` processes can run, `running` of them do at first. `socket` is a port shared by all of them."""

    name: str
    argv: Sequence[str]
    slots: int = 1
    running: int = 1
    socket: int | None = None
    from_release: bool = False
    as_server: bool = False
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    options: dict[str, str] = field(default_factory=dict)

    def processes(self, count: int | None = None) -> list[str]:
        """Supervisor's names of the first processes: `redis`, or `api:api_00`, `api:api_01`, …"""
        if self.slots == 1:
            return [self.name]
        return [f"{self.name}:{self.name}_{n:02d}" for n in range(self.running if count is None else count)]

    @property
    def section(self) -> str:
        return f"{'fcgi-program' if self.socket else 'program'}:{self.name}"


def programs(instance: Instance) -> list[Program]:
    """Every program of the stack, in the order of starting. Prometheus and Alertmanager only where installed."""
    argv = commands(instance)
    return [
        Program("postgres", argv["postgres"], **SERVER),
        Program("redis", argv["redis"]),
        Program("registry-site", argv["registry-site"], from_release=True),
        Program("postgres-replica", argv["postgres-replica"], **SERVER),
        Program("pgbouncer", argv["pgbouncer"], **SERVER),
        side(instance, "api", argv["api"]),
        side(instance, "api-green", argv["api"]),
        Program("celery-worker", argv["celery-worker"], 6, 3, from_release=True, stop_seconds=30, options=WHOLE_GROUP),
        Program("celery-beat", argv["celery-beat"], from_release=True),
        Program("ui", argv["ui"], 4, 2, instance.port("ui"), from_release=True),
        Program("visitors", argv["visitors"], from_release=True),
        Program("post-office", argv["post-office"], options={"directory": str(EXAMPLE)}),
        Program("nginx", argv["nginx"], stop_signal="QUIT", options={"directory": str(EXAMPLE)}),
        *(Program("acme-authority", argv, options={"directory": str(EXAMPLE)}) for argv in authority_argv(instance)),
        *(Program(name, monitoring_argv(instance, name, path)) for name, path in monitoring.programs().items()),
    ]


def side(instance: Instance, name: str, argv: Sequence[str]) -> Program:
    """One of the API's two sides; after a deploy it may be the green one that serves, also over a restart of all."""
    running = 3 if serving(instance) == name else 0
    return Program(name, argv, 6, running, instance.port(name), from_release=True, stop_seconds=12)


def commands(instance: Instance) -> dict[str, list[str]]:
    """Program → its command line."""
    etc, python = instance.folder("etc"), sys.executable
    launch = [python, "-m", "src.launch", python, "-m"]
    celery = [*launch, "celery", "-q", "-A", "src.scheduler.daily_probe"]
    # one thread and no prefork: the worker still answers remote control while its task runs
    worker = ["worker", "-P", "threads", "-c", "1", "-E", "--without-gossip", "--without-mingle"]
    schedule = str(instance.folder("data") / "celerybeat-schedule")
    registry = [str(instance.port("registry")), str(instance.folder("switches"))]
    post = [str(instance.port("webhook")), str(instance.port("smtp")), str(instance.folder("data") / "messages.jsonl")]
    nginx = [binaries.required("nginx"), "-c", str(etc / "nginx" / "nginx.conf"), "-e", "stderr"]
    return {
        "postgres": database(instance, PRIMARY, "postgres"),
        "postgres-replica": database(instance, REPLICA, "replica"),
        "pgbouncer": [binaries.required("pgbouncer"), str(etc / "pgbouncer" / "pgbouncer.ini")],
        "redis": [binaries.required("redis-server"), str(etc / "redis.conf")],
        "registry-site": [python, "-m", "src.registry_site.server", *registry],
        "api": [*launch, "src.serve", "api"],
        "ui": [*launch, "src.serve", "ui"],
        "visitors": [*launch, "src.visitors"],
        "post-office": [python, "-m", "stack.post_office", *post],
        "celery-worker": [*celery, *worker, "-n", "celery-worker_%(process_num)02d@renec"],
        "celery-beat": [*celery, "beat", "-s", schedule, "--pidfile="],
        "nginx": [python, "-m", "stack.start_nginx", str(instance.folder("pids") / "nginx.pid"), *nginx],
    }


def database(instance: Instance, folder: str, port: str) -> list[str]:
    """The port is an argument, not a setting: the data folders are copies of each other."""
    return [binaries.postgres("postgres"), "-D", str(instance.folder(folder)), "-p", str(instance.port(port))]


def monitoring_argv(instance: Instance, name: str, path: str) -> list[str]:
    folder, listen = instance.folder("etc") / "prometheus", f"127.0.0.1:{instance.port(name)}"
    storage = f"--storage.path={instance.folder('data') / name}"
    if name == "prometheus":
        return [path, f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={listen}",
                storage.replace("storage.path", "storage.tsdb.path"), "--storage.tsdb.retention.time=2d",
                "--web.enable-lifecycle", "--log.level=warn"]  # fmt: skip
    return [path, f"--config.file={folder / 'alertmanager.yml'}", f"--web.listen-address={listen}",
            storage, "--cluster.listen-address=", "--log.level=warn"]  # fmt: skip


def authority_argv(instance: Instance) -> list[list[str]]:
    """Its command line, where it is installed."""
    path = authority.program(instance)
    if path is None:
        return []
    tls = instance.folder("tls")
    wrapper = [sys.executable, "-m", "stack.start_authority", authority.roots(instance)]
    pebble = [path, "-config", str(authority.settings(instance))]
    return [[*wrapper, str(tls / "ca.crt"), str(authority.trusted(instance)), *pebble]]


def section_text(program: Program, instance: Instance) -> str:
    """The program as a section of supervisord.conf."""
    many = program.slots > 1
    label = f"{program.name}_%(process_num)02d" if many else program.name
    options = {
        "command": shlex.join(program.argv),
        "process_name": label,
        "numprocs": str(program.slots),
        "directory": str(instance.current) if program.from_release else "/",
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "3",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "redirect_stderr": "true",
        "stdout_logfile": str(instance.folder("logs") / f"{label}.log"),
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "3",
        **program.options,
    }
    if program.socket:
        options["socket"] = f"tcp://127.0.0.1:{program.socket}"
        options["socket_backlog"] = "512"
    account = server_account()
    if program.as_server and account:
        options["user"] = account
    return f"[{program.section}]\n" + "".join(f"{key} = {value}\n" for key, value in options.items())
