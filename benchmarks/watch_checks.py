"""Checks around the clock: processor time of `opsbook serve` against blackbox_exporter with Prometheus.

Both probe the same nginx at the same rhythm over the same time, side by side; nginx is counted for neither. Prometheus
stores every probe with its dozen metrics, opsbook a result and what it decides by it.
"""

from __future__ import annotations

import http.client
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import yaml
from figures import Figure, tell

SIZES = (100, 1_000, 3_000)
INTERVAL = 20
"""Seconds between two probes of an endpoint."""
WARM, MEASURED = 22, 40
NGINX, EXPORTER, PROMETHEUS = 18975, 18976, 18977
OPSBOOK = Path(sys.executable).with_name("opsbook")
BLACKBOX = shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
SERVER = shutil.which("prometheus")


@contextmanager
def started(command: list[str], folder: Path, port: int = 0) -> Iterator[psutil.Process]:
    """A process that is stopped by its pid."""
    with (folder / f"{Path(command[0]).name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        deadline = time.monotonic() + 30
        while port:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit(f"{command[0]} does not listen: {Path(log.name).read_text()[-500:]}")
                time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def nginx(folder: Path) -> list[str]:
    """An endpoint that answers at once."""
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        "events { worker_connections 8192; }\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{NGINX}; location / {{ return 200 'ok'; }} }} }}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def book(folder: Path, count: int) -> Path:
    """A book with so many endpoints, each checked at the rhythm."""
    address = f"http://127.0.0.1:{NGINX}"
    components = {f"e{n}": {"kind": "http", "url": address, "health": f"/{n}"} for n in range(count)}
    checks = [{"id": f"c{n}", "observe": "http.up", "of": f"e{n}"} for n in range(count)]
    known = {
        "opsbook": 1, "system": "bench", "environments": {"here": {"policy": "open"}}, "components": components,
        "checks": checks, "intervals": {"check": f"{INTERVAL}s"},
    }  # fmt: skip
    (folder / "book.yaml").write_text(yaml.safe_dump(known))
    return folder


def peers(stack: ExitStack, folder: Path, count: int) -> list[psutil.Process]:
    """blackbox_exporter, and Prometheus that asks it for every endpoint; empty where they are not installed."""
    if not BLACKBOX or not SERVER:
        return []
    relabel = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": f"127.0.0.1:{EXPORTER}"},
    ]
    scrape = {
        "job_name": "blackbox", "metrics_path": "/probe", "params": {"module": ["http_2xx"]},
        "static_configs": [{"targets": [f"http://127.0.0.1:{NGINX}/{n}" for n in range(count)]}],
        "relabel_configs": relabel,
    }  # fmt: skip
    config = {"global": {"scrape_interval": f"{INTERVAL}s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    module = {"prober": "http", "http": {"preferred_ip_protocol": "ip4"}}
    (folder / "blackbox.yml").write_text(yaml.safe_dump({"modules": {"http_2xx": module}}))
    exporter = [BLACKBOX, "--config.file", "blackbox.yml", "--web.listen-address", f"127.0.0.1:{EXPORTER}"]
    server = [
        SERVER, "--config.file", "prometheus.yml", "--storage.tsdb.path", "tsdb",
        "--web.listen-address", f"127.0.0.1:{PROMETHEUS}",
    ]  # fmt: skip
    return [
        stack.enter_context(started(exporter, folder, EXPORTER)),
        stack.enter_context(started(server, folder, PROMETHEUS)),
    ]


def spent(processes: list[psutil.Process]) -> float:
    """Seconds of processor time until now."""
    return sum(sum(one.cpu_times()[:4]) for one in processes)


def results(folder: Path) -> int:
    """How many are stored; none where there is no store yet."""
    try:
        with sqlite3.connect(f"file:{folder}/.opsbook/store.db?mode=ro", uri=True, timeout=30) as store:
            return int(store.execute("SELECT count(*) FROM check_results").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def begun(folder: Path) -> None:
    """Wait for the first result: a large book takes a while to read."""
    deadline = time.monotonic() + 240
    while not results(folder):
        if time.monotonic() > deadline:
            sys.exit("nothing was checked within four minutes")
        time.sleep(0.5)


def measure(count: int) -> None:
    """Both, side by side."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx works as another user
        stack.enter_context(started(nginx(folder), folder, NGINX))
        serving = stack.enter_context(
            started([str(OPSBOOK), "serve", "--no-http", "--book", str(book(folder, count))], folder)
        )
        others = peers(stack, folder, count)
        begun(folder)
        time.sleep(WARM)
        before, start, others_before, made = spent([serving]), time.monotonic(), spent(others), results(folder)
        time.sleep(MEASURED)
        took = time.monotonic() - start
        ours, theirs, made = spent([serving]) - before, spent(others) - others_before, results(folder) - made
        memory = serving.memory_info().rss / 1e6
    print(f"{count} checks every {INTERVAL} s: {made / took:,.1f} results a second, {memory:,.0f} MB")
    wanted = count / INTERVAL
    tell(Figure(f"{count:,} checks: kept up with", 100 * made / took / wanted, "% of rhythm", aim="about 100"))
    peer = "blackbox + Prometheus" if others else "peer not installed: not measured"
    tell(
        Figure(f"{count:,} checks every {INTERVAL} s: processor", 100 * ours / took, "% of a core", peer,
               100 * theirs / took if others else None)
    )  # fmt: skip
    tell(Figure(f"{count:,} checks: processor for one", 1000 * ours / max(made, 1), "ms"))


def idle() -> None:
    """A book whose checks are not due: what being there costs."""
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        stack.enter_context(started(nginx(folder), folder, NGINX))
        text = (book(folder, 28) / "book.yaml").read_text().replace(f"{INTERVAL}s", "1h")
        (folder / "book.yaml").write_text(text)
        serving = stack.enter_context(started([str(OPSBOOK), "serve", "--no-http", "--book", str(folder)], folder))
        begun(folder)
        time.sleep(10)
        before, start = spent([serving]), time.monotonic()
        time.sleep(MEASURED)
        share = 100 * (spent([serving]) - before) / (time.monotonic() - start)
        tell(Figure("idle: processor", share, "% of a core"))
        tell(Figure("idle: memory", serving.memory_info().rss / 1e6, "MB"))


if __name__ == "__main__":
    idle()
    for size in SIZES:
        measure(size)
