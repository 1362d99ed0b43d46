"""What it means that each program is ready, asked in the way its users would."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable

import redis as client

from stack import authority, environment, postgres, supervisor
from stack.instance import Instance
from stack.nginx import serving
from stack.programs import Program, programs
from stack.waiting import until

TIMEOUT_SECONDS = 3
DEADLINE_SECONDS = 180


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether an address answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS, context=context) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def listens(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(TIMEOUT_SECONDS)
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def broker(instance: Instance) -> client.Redis:
    return client.Redis.from_url(environment.redis_url(instance, 0), socket_timeout=TIMEOUT_SECONDS)


def redis_answers(instance: Instance) -> bool:
    try:
        with broker(instance) as connection:
            return bool(connection.ping())
    except client.RedisError:
        return False


def workers_ready(instance: Instance, program: Program) -> bool:
    """Whether enough workers listen for remote control, the last thing that a worker opens."""
    try:
        with broker(instance) as connection:
            clients = connection.client_list(_type="pubsub")
    except client.RedisError:
        return False
    return sum(int(c["psub"]) > 0 for c in clients) >= program.running  # kombu subscribes to its pidbox by pattern


def conditions(instance: Instance, program: Program) -> Callable[[], bool]:
    """The test that a program is ready."""
    secure = environment.addresses(instance)["API_URL"]

    def through_nginx() -> bool:
        trust = ssl.create_default_context(cafile=str(authority.trusted(instance)))
        return answers(f"{secure}/ready", trust) and answers(f"{secure}/ui/health", trust)

    table: dict[str, Callable[[], bool]] = {
        "postgres": lambda: postgres.accepts(postgres.url(instance, "postgres")),
        "postgres-replica": lambda: postgres.accepts(postgres.url(instance, "postgres", "replica")),
        "pgbouncer": lambda: postgres.accepts(postgres.url(instance, "api_user", "pgbouncer")),
        "redis": lambda: redis_answers(instance),
        "registry-site": lambda: answers(f"http://127.0.0.1:{instance.port('registry')}/health"),
        serving(instance): lambda: answers(f"http://127.0.0.1:{instance.port(serving(instance))}/health"),
        "ui": lambda: answers(f"http://127.0.0.1:{instance.port('ui')}/health"),
        "celery-worker": lambda: workers_ready(instance, program),
        "celery-beat": lambda: True,  # it listens nowhere: that it runs has to do
        "post-office": lambda: answers(f"http://127.0.0.1:{instance.port('webhook')}/"),
        "nginx": through_nginx,
        "prometheus": lambda: answers(f"http://127.0.0.1:{instance.port('prometheus')}/-/ready"),
        "acme-authority": lambda: answers(authority.directory(instance), local(instance)),
        "alertmanager": lambda: answers(f"http://127.0.0.1:{instance.port('alertmanager')}/-/ready"),
    }
    answers_too = table.get(program.name, lambda: True)  # who serves nobody is ready when it runs
    return lambda: all_running(instance, program) and answers_too()


def local(instance: Instance) -> ssl.SSLContext:
    """Trusts the local authority alone."""
    return ssl.create_default_context(cafile=str(instance.folder("tls") / "ca.crt"))


def all_running(instance: Instance, program: Program) -> bool:
    """Whether its first processes lived through supervisor's starting second."""
    known = supervisor.states(instance)
    return all(known[name]["statename"] == "RUNNING" for name in program.processes())


def wait(instance: Instance, program: Program) -> None:
    """Return when the program is ready. Raises StackError naming its log."""
    log = f"see {instance.folder('logs') / program.name}*.log"
    until(conditions(instance, program), DEADLINE_SECONDS, f"{program.name} was not ready", log)


def busy_ports(instance: Instance) -> list[tuple[str, int]]:
    """Ports of this instance on which somebody else already listens."""
    ports = {p.name: p.socket for p in programs(instance) if p.socket}
    names = {
        **ports,
        **{
            n: instance.port(n)
            for n in ("http", "https", "registry", "postgres", "replica", "pgbouncer", "redis", "webhook", "smtp")
        },
    }
    return [(name, port) for name, port in names.items() if port and listens(port)]


def describe(url: str) -> dict[str, object]:
    """An address's JSON answer, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))
