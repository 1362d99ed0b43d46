"""Operations of workloads, a proxy, HTTP and files under the kill sweep."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.faults.sites import Case, Site, given
from tests.integration.servers import free_port, until
from tests.integration.supervisord import Supervisord
from tests.integration.test_operations_maintenance import CONFIG, NGINX, Nginx


class WorkloadSite(Site):
    """Under supervisord; its own log counts the processes that it started and stopped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # A socket's path has at most 107 characters.
        self.place = Path(tempfile.mkdtemp(prefix="opsbook-sv-"))
        self.server = Supervisord(self.place)
        self.offset = 0

    def start(self) -> None:
        self.server.write().start()

    def stop(self) -> None:
        self.server.stop()
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        return {"worker": {"kind": "workload", "replicas": 2}}

    @property
    def environment(self) -> dict[str, Any]:
        places = {"releases": str(self.place / "releases"), "current": str(self.place / "current")}
        return {"runtime": {"kind": "supervisor", "config": str(self.server.config), **places}}

    def supervisorctl(self, *words: str) -> str:
        program = Path(sys.executable).with_name("supervisorctl")
        command = [str(program), "-s", f"unix://{self.server.socket}", "-u", "ops", "-p", "s3cret-word", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def bring(self, running: int, version: str = "1.0.0") -> None:
        """So many processes of the worker, of a version; the counters at zero."""
        current = self.place / "current"
        current.unlink()
        current.symlink_to(f"releases/{version}")
        self.supervisorctl("stop", "worker:*")
        if running:
            self.supervisorctl("start", *(f"worker:worker_{n:02}" for n in range(running)))
            until(lambda: self.supervisorctl("status", "worker:*").count(" RUNNING ") == running, what="they run")
        (self.place / "count").write_text("")
        self.offset = self.log.stat().st_size

    @property
    def log(self) -> Path:
        return self.place / "logs" / "supervisord.log"

    def seen(self, words: str) -> int:
        with self.log.open() as log:
            log.seek(self.offset)
            return log.read().count(words)

    def ran(self) -> int:
        return len((self.place / "count").read_text().split())


def running(number: int, version: str = "1.0.0") -> Callable[[WorkloadSite], None]:
    return lambda site: site.bring(number, version)


def started(site: WorkloadSite) -> int:
    return site.seen("spawned: 'worker_")


def stopped(site: WorkloadSite) -> int:
    return site.seen("stopped: worker_")


def _command(site: WorkloadSite) -> dict[str, Any]:
    return {"argv": ["sh", "-c", f"echo x >> {site.place}/count; sleep 0.2"]}


WORKLOADS: dict[str, Case] = {
    "workload.start": Case("worker", given(), running(0), started),
    "workload.stop": Case("worker", given(), running(2), stopped),
    "workload.restart": Case("worker", given(), running(2), started),
    "workload.renew": Case("worker", given(), running(2), started),
    "workload.scale": Case("worker", given(replicas=4), running(2), started),
    "workload.deploy": Case("worker", given(version="1.1.0"), running(2), started),
    "workload.rollback": Case("worker", given(version="1.0.0"), running(2, "1.1.0"), started),
    "workload.exec": Case("worker", _command, running(1), WorkloadSite.ran),
}


class ProxySite(Site):
    """An nginx; its log counts how often it was told to read its configuration again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.place = Path(tempfile.mkdtemp(prefix="opsbook-nginx-"))
        self.place.chmod(0o755)
        self.nginx = Nginx(self.place, free_port())
        self.offset = 0

    def start(self) -> None:
        config = CONFIG.replace("error.log;", "error.log notice;")
        (self.place / "maintenance.conf").write_text("# empty\n")
        include = "include maintenance.conf;"
        (self.place / "nginx.conf").write_text(config.format(folder=self.place, port=self.nginx.port, include=include))
        self.nginx.process = subprocess.Popen([NGINX, "-c", str(self.place / "nginx.conf")], stderr=subprocess.DEVNULL)
        until(self.nginx.answers, what="nginx answers")

    def stop(self) -> None:
        if self.nginx.process is not None:
            self.nginx.process.terminate()
            self.nginx.process.wait(10)
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        return {"proxy": self.nginx.component}

    def put(self, content: str, status: int) -> None:
        (self.place / "maintenance.conf").write_text(content)
        assert self.nginx.process is not None
        self.nginx.process.send_signal(1)
        until(lambda: self.nginx.get()[0] == status, what=f"nginx answers {status}")
        self.offset = (self.place / "error.log").stat().st_size

    def reloaded(self) -> int:
        with (self.place / "error.log").open() as log:
            log.seek(self.offset)
            return log.read().count("signal 1 (SIGHUP) received")


def _open(site: ProxySite) -> None:
    for left in site.place.glob("maintenance.conf*"):
        left.unlink()
    site.put("# empty\n", 200)


def _closed(site: ProxySite) -> None:
    _open(site)
    site.put("return 503;\n", 503)


PROXIES: dict[str, Case] = {
    "maintenance.enter": Case("proxy", given(message="Back soon"), _open, ProxySite.reloaded),
    "maintenance.leave": Case("proxy", given(), _closed, ProxySite.reloaded),
}


class HttpSite(Site):
    """A server that counts what it was asked, and takes its time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seen = seen = Counter[str]()

        class Counting(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                seen[self.command] += 1
                seen[self.path] += 1
                time.sleep(0.1)
                body = json.dumps(dict(seen)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # who asked was killed

        self.server = Quiet(("127.0.0.1", 0), Counting)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        return {"api": {"kind": "http", "url": f"http://127.0.0.1:{self.server.server_address[1]}"}}

    @property
    def keys(self) -> dict[str, Any]:
        return {"checks": [{"id": "api-up", "observe": "http.up", "of": "api"}]}

    def forget(self) -> None:
        self.seen.clear()

    def loaded(self) -> int:
        """How many load tests the requests that came are, each begun one counted whole."""
        return -(-self.seen["/load"] // MOST_REQUESTS)


LOAD = {"path": "/load", "rate": 20, "duration": "1s", "connections": 2, "checks": ["api-up"], "every": "500ms"}
MOST_REQUESTS = 20 + 2
"""Of one load test: its rate for a second, and what each connection has begun by then."""
HTTP: dict[str, Case] = {
    "http.get": Case("api", given(path="/x"), HttpSite.forget, lambda site: site.seen["GET"]),
    "http.request": Case("api", given(path="/x", json={"a": 1}), HttpSite.forget, lambda site: site.seen["POST"]),
    "checks.wait": Case("api", given(), HttpSite.forget, lambda site: site.seen["GET"]),
    "load.test": Case("api", given(**LOAD), HttpSite.forget, HttpSite.loaded),
}


class FilesSite(Site):
    """Two folders. That a file has its new content is all that can be seen of it: writing it again changes nothing."""

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        names = ("exports", "bundles", "logs")
        return {name: {"kind": "files", "path": str(self.folder / name)} for name in names}

    @property
    def keys(self) -> dict[str, Any]:
        rule = {"id": "logs", "of": "logs", "path": f"{self.folder}/logs/*.log.*", "keep": "7d"}
        return {"retention": [{**rule, "archive_to": str(self.folder / "store")}]}

    def age(self) -> None:
        """Old logs, and a new one."""
        for name in ("logs", "store"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        for number in range(OLD):
            path = self.folder / "logs" / f"api.log.{number}"
            path.write_bytes(_log(number))
            os.utime(path, (time.time() - 9 * 86400,) * 2)
        (self.folder / "logs" / "api.log.new").write_text("new\n")

    def archived(self) -> int:
        """1 where every old log lies in the store once, with its SHA-256 and nothing else, and the new one is here."""
        if [one.name for one in (self.folder / "logs").iterdir()] != ["api.log.new"]:
            return 0
        stored = {one.name for one in (self.folder / "store").rglob("*.*") if one.is_file()}
        packed = list((self.folder / "store").rglob("*.zst"))
        contents = Counter(subprocess.check_output(["zstd", "-dcq", str(one)]) for one in packed)
        proofs = {one.name.removesuffix(".zst") + ".sha256" for one in packed}
        assert stored == proofs | {one.name for one in packed}, f"left in the store: {sorted(stored)}"
        return max(contents.values()) if set(contents) == {_log(n) for n in range(OLD)} else 0

    def fill(self) -> None:
        for name in ("exports", "bundles"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        for number in range(40):
            (self.folder / "exports" / f"{number}.json").write_text(f"[{number}]" * 20_000)
        (self.folder / "exports" / "a.txt").write_text("before")

    def written(self) -> int:
        return int((self.folder / "exports" / "a.txt").read_text() == "after" * 10_000)

    def copied(self) -> int:
        """1 where the manifest is there and every copy is what it says."""
        folder = self.folder / "bundles"
        command = ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"]
        proven = subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
        return int(proven and len(list(folder.glob("*.json"))) == 40)


ARCHIVE = {"rule": "logs", "pattern": "*.log.*", "older_than": "7d"}
OLD = 30


def _log(number: int) -> bytes:
    return b"".join(b"%d GET /%d 200\n" % (number, line) for line in range(5_000))


FILES: dict[str, Case] = {
    "files.write": Case("exports", given(name="a.txt", content="after" * 10_000), FilesSite.fill, FilesSite.written),
    "files.copy": Case("exports", given(to="bundles", pattern="*.json"), FilesSite.fill, FilesSite.copied),
    "files.archive": Case("logs", given(**ARCHIVE), FilesSite.age, FilesSite.archived),
}
