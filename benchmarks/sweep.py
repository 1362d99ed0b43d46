"""One sweep of 500 HTTP endpoints and one of 100 PostgreSQL facts, against the plugins that run one process a check.

The HTTP endpoints are served by nginx, which stays the same for all. The exporter is asked by one kept connection per
probe slot, as Prometheus does it; its own CPU is what is counted.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from figures import in_turn, table

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.checks.sweep import sweep
from opsbook.clock import SystemClock
from opsbook.connectors.registry import open_connections

ENDPOINTS, FACTS, AT_ONCE = 500, 100, 16
NGINX, EXPORTER, POSTGRES = 18970, 18971, 18972
PLUGINS = Path("/usr/lib/nagios/plugins")
HTTP_BOOK = """
opsbook: 1
system: bench
environments: {here: {policy: open}}
components:
%s
checks:
%s
"""


@contextmanager
def running(command: list[str], port: int, **keys: object) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens, and is stopped by its pid."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **keys)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 15
        while True:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit(f"{command[0]} does not listen on {port}")
                time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def plugins(commands: list[list[str]]) -> None:
    """One process a check, 16 at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(lambda c: subprocess.run(c, stdout=subprocess.DEVNULL).returncode, commands))
    assert not any(codes), f"a plugin failed: {codes}"


def ours(system: System) -> None:
    """One whole sweep with fresh connections."""

    async def once() -> None:
        async with open_connections(system) as connections:
            result = await sweep(system, system.checks, connections, SystemClock())
        assert result.state == "ok", [r.sentence for r in result.results if r.state != "ok"][:3]

    asyncio.run(once())


def exporter(urls: list[str]) -> None:
    """Every target through the exporter, over one kept connection per slot."""

    def some(part: list[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", EXPORTER)
        for url in part:
            connection.request("GET", f"/probe?module=http_2xx&target={url}")
            assert b"probe_success 1" in connection.getresponse().read()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(some, [urls[n::AT_ONCE] for n in range(AT_ONCE)]))


def book(folder: Path, components: list[str], checks: list[str]) -> System:
    """A system of these components and checks."""
    path = folder / "book.yaml"
    path.write_text(HTTP_BOOK % ("\n".join(f"  {c}" for c in components), "\n".join(f"  - {c}" for c in checks)))
    return in_environment(load_book(path, catalogue()))


def bench_http(folder: Path) -> None:
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log /dev/null; worker_processes 1; worker_rlimit_nofile 16384;\n"
        "events { worker_connections 2048; }\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{NGINX}; location / {{ return 200 'ok'; }} }} }}\n"
    )
    urls = [f"http://127.0.0.1:{NGINX}/endpoint/{n}" for n in range(ENDPOINTS)]
    components = [f"e{n}: {{kind: http, url: '{url}', health: ''}}" for n, url in enumerate(urls)]
    checks = [f"{{id: up-{n}, observe: http.up, of: e{n}}}" for n in range(ENDPOINTS)]
    system = book(folder, components, checks)
    check_http = [
        [str(PLUGINS / "check_http"), "-H", "127.0.0.1", "-p", str(NGINX), "-u", f"/endpoint/{n}"]
        for n in range(ENDPOINTS)
    ]
    works = {
        "opsbook": (lambda: ours(system), None),
        "check_http, one process a check": (lambda: plugins(check_http), None),
    }
    with running([shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(config), "-p", str(folder)], NGINX):
        blackbox = shutil.which("prometheus-blackbox-exporter")
        if not blackbox:
            print("(prometheus-blackbox-exporter is not installed: that peer is left out)")
            table(f"{ENDPOINTS} HTTP endpoints", in_turn(works), "opsbook")
            return
        modules = folder / "blackbox.yml"
        modules.write_text("modules: {http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}}\n")
        command = [
            blackbox,
            f"--config.file={modules}",
            f"--web.listen-address=127.0.0.1:{EXPORTER}",
            "--log.level=error",
        ]
        with running(command, EXPORTER) as process:
            works["blackbox_exporter (its CPU alone)"] = (lambda: exporter(urls), process.pid)
            table(f"{ENDPOINTS} HTTP endpoints", in_turn(works), "opsbook")


def bench_postgres(folder: Path) -> None:
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    as_user = {"user": "postgres"} if os.getuid() == 0 else {}
    data = folder / "pg"
    folder.chmod(0o755)
    data.mkdir()
    if as_user:
        shutil.chown(data, "postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    subprocess.run([binaries / "initdb", "-A", "trust", "-U", "postgres", "-D", data], **as_user, **quiet)  # type: ignore[call-overload]
    server = [
        str(binaries / "postgres"),
        "-D",
        str(data),
        "-p",
        str(POSTGRES),
        "-k",
        str(data),
        "-c",
        "listen_addresses=127.0.0.1",
    ]
    dsn = f"postgresql://postgres@127.0.0.1:{POSTGRES}/postgres"
    names = (
        "connections",
        "active",
        "idle_in_transaction",
        "waiting_locks",
        "deadlocks",
        "cache_hit_ratio",
        "database_size",
    )
    checks = []
    for n in range(FACTS):
        name = names[n % len(names)]
        # Another timeout and limit each, so that no two questions are the same and none can be answered by another.
        limit = f"== 12345678{UNITS.get(name, '')}"
        checks.append(f"{{id: c{n}, observe: postgres.{name}, of: db, timeout: {10 + n}s, warning: '{limit}'}}")
    system = book(folder, [f"db: {{kind: postgres, dsn: '{dsn}'}}"], checks)
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
    base = [
        str(PLUGINS / "check_pgsql"),
        "-H",
        "127.0.0.1",
        "-P",
        str(POSTGRES),
        "-l",
        "postgres",
        "-d",
        "postgres",
        "-q",
        query,
    ]
    with running(server, POSTGRES, **as_user):
        works = {
            "opsbook": (lambda: ours(system), None),
            "check_pgsql, one process a check": (lambda: plugins([base] * FACTS), None),
        }
        table(f"{FACTS} PostgreSQL facts", in_turn(works), "opsbook")


UNITS = {"cache_hit_ratio": "%", "database_size": "B"}


def main() -> None:
    if not (PLUGINS / "check_http").exists() or not (PLUGINS / "check_pgsql").exists():
        sys.exit("the peers are missing; install monitoring-plugins-standard and prometheus-blackbox-exporter")
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder:
        bench_http(Path(folder))
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as folder:
        bench_postgres(Path(folder))


if __name__ == "__main__":
    main()
