"""Restores of a database against what people use: `psql < dump`, and `pg_restore -j` of a dump in the custom format.

    python benchmarks/restore.py --gigabytes 2 --jobs 2 --rounds 5

The database is that of `backup.py`, on a server of our own. Every peer restores into an empty database of the same
server in turn, round by round; medians are held against each other. What opsbook restores is checked against its
checksums while it streams; `verified` is what comes on top before it is believed: every row summed up, structure,
sequences, B-trees and heaps held against the manifest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backup import BIN, ROOT, Server, fill, piped, server
from figures import Figure, tell


def emptied(one: Server, name: str) -> str:
    """An empty database; its address."""
    one.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    one.sql(f"CREATE DATABASE {name} TEMPLATE template0")
    one.sql("CHECKPOINT")
    return one.url.rpartition("/")[0] + f"/{name}"


def in_child(said: dict[str, object]) -> dict[str, float]:
    """A backup or a restore in a process of its own: seconds of its phases, peak memory in bytes."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(said)], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def child(argument: str) -> None:
    """What `in_child` runs."""
    import resource
    import threading

    from psycopg.conninfo import conninfo_to_dict

    from opsbook.clock import SystemClock
    from opsbook.connectors.backups.catalogue import listing
    from opsbook.connectors.backups.pipeline import Codec
    from opsbook.connectors.backups.postgres_dump import Server as Source
    from opsbook.connectors.backups.postgres_restore import Restoring, Target
    from opsbook.connectors.backups.postgres_subject import postgres_subject
    from opsbook.connectors.backups.postgres_verify import verify
    from opsbook.connectors.backups.reading import StoredContents
    from opsbook.connectors.backups.taking import Order, Taking
    from opsbook.connectors.objectstore.folder import FolderStore
    from opsbook.store.audit_head import HeadFile

    said = json.loads(argument)
    folder, given = Path(said["folder"]), {k: str(v) for k, v in conninfo_to_dict(said["url"]).items()}
    store = FolderStore(folder / "store")
    started = time.perf_counter()
    if said["act"] == "backup":
        codec = Codec(recipients=said["recipient"])
        order = Order("bench", "bench", "nightly", "database", "dump", "b", codec, said["jobs"])
        taking = Taking(order, store, HeadFile(folder / "key", folder / "head"), SystemClock())
        taking.run(lambda: postgres_subject(Source(given, "opsbook:bench", "b"), "dump", checksums=True))
        told = {"seconds": time.perf_counter() - started}
    else:
        manifest = listing(store, "nightly").backups[-1].manifest
        contents, target = StoredContents(store, manifest, said["identity"]), Target(given, "opsbook:bench")
        restoring = Restoring(contents, target, said["jobs"], folder)
        restoring.run()
        told = {phase.name: phase.seconds for phase in restoring.phases}
        told["restored"] = time.perf_counter() - started
        if said["verify"]:
            began = time.perf_counter()
            found = verify(target, manifest.database, jobs=said["jobs"], scratch=True, stop=threading.Event())
            assert found.good, found.problems
            told["verified"] = time.perf_counter() - began
        told["seconds"] = time.perf_counter() - started
    told["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(told))


def compare(one: Server, folder: Path, jobs: int, rounds: int) -> None:
    """The table of all peers."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    plain, coded = folder / "plain", folder / "coded"
    for to, recipient in ((plain, ""), (coded, str(identity.to_public()))):
        to.mkdir()
        in_child({"act": "backup", "url": one.url, "folder": str(to), "jobs": jobs, "recipient": recipient})
    piped(f"{BIN}/pg_dump -d {one.url} | gzip -1 > {folder}/dump.sql.gz")
    piped(f"{BIN}/pg_dump -Fc -Z1 -d {one.url} > {folder}/dump.custom")
    told: dict[str, list[dict[str, float]]] = {}

    def peer(name: str, command: str) -> dict[str, float]:
        url = emptied(one, "restored")
        began = time.perf_counter()
        piped(command.format(url=url))
        if "pg_restore" in command or "psql" in command:
            piped(f"{BIN}/psql -Xq -d {url} -c ANALYZE")
        return {"seconds": time.perf_counter() - began}

    def own(store: Path, secret: str, *, verify: bool) -> dict[str, float]:
        url = emptied(one, "restored")
        said = {"act": "restore", "url": url, "folder": str(store), "jobs": jobs, "identity": secret, "verify": verify}
        return in_child(said)

    psql, custom = "gunzip | psql", f"pg_restore -j {jobs}"
    acts: dict[str, Callable[[], dict[str, float]]] = {
        psql: lambda: peer(
            psql, f"gunzip -c {folder}/dump.sql.gz | {BIN}/psql -Xq -v ON_ERROR_STOP=1 -d {{url}} > /dev/null"
        ),
        custom: lambda: peer(custom, f"{BIN}/pg_restore -j {jobs} -d {{url}} {folder}/dump.custom"),
        "opsbook": lambda: own(plain, "", verify=False),
        "opsbook, verified": lambda: own(plain, "", verify=True),
        "opsbook, encrypted, verified": lambda: own(coded, str(identity), verify=True),
    }
    for _ in range(rounds):
        for name, act in acts.items():
            told.setdefault(name, []).append(act())
    middle = {name: statistics.median(one["seconds"] for one in some) for name, some in told.items()}
    print(f"{'':32}{'seconds':>9}{'÷ psql':>9}{'÷ pg_restore':>14}{'verified s':>12}{'of restore':>11}{'peak MB':>9}")
    for name, some in told.items():
        row = f"{name:32}{middle[name]:9.2f}{middle[name] / middle[psql]:9.2f}{middle[name] / middle[custom]:14.2f}"
        if "verified" in some[0]:
            verified = statistics.median(one["verified"] for one in some)
            restored = statistics.median(one["restored"] for one in some)
            row += f"{verified:12.2f}{verified / restored:11.2f}"
            if name == "opsbook, verified":
                tell(Figure("verification of a restore", verified, "s", "the restore itself", restored, "0.5 or less"))
        else:
            row += f"{'':23}"
        print(row + (f"{max(one['peak'] for one in some) / 1e6:9.0f}" if "peak" in some[0] else ""))
    phases = [name for name in told["opsbook, verified"][0] if name not in ("peak", "seconds", "restored")]
    print("  of it: " + ", ".join(
        f"{name} {statistics.median(one[name] for one in told['opsbook, verified']):.2f} s" for name in phases
    ))  # fmt: skip
    tell(Figure("restore", middle["opsbook"], "s", custom, middle[custom], "1.1 or less"))
    tell(Figure("restore", middle["opsbook"], "s", psql, middle[psql], "0.67 or less"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.child:
        child(said.child)
        return
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with server(folder / "server") as one:
            fill(one, said.gigabytes)
            print(f"database of {int(one.sql('SELECT pg_database_size(current_database())')) / 1e9:.2f} GB, "
                  f"{said.jobs} jobs, median of {said.rounds}")  # fmt: skip
            compare(one, folder, said.jobs, said.rounds)
            shutil.rmtree(folder / "plain")


if __name__ == "__main__":
    main()
