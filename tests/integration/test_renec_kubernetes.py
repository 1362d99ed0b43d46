"""The example on a real Kubernetes: one instance is brought up, operated by its own book, and taken away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.renec_in_cluster import RenecInCluster, lacking, new_renec_in_cluster
from tests.integration.servers import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(1200),  # the first image is made from packages
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
]
FROM_OUTSIDE = ("api-up", "api-ready", "ui-up", "proxy-up", "certificate", "certificate-chain", "registry-up")
INSIDE = ("database-up", "replica-up", "replicas", "pool-up", "broker-up", "prometheus-up", "workers", "beat")
PODS = ("api-replicas", "ui-replicas", "worker-replicas", "api-environment", "worker-environment", "artifacts-quota")


@pytest.fixture(scope="module")
def renec() -> Iterator[RenecInCluster]:
    with new_renec_in_cluster() as instance:
        yield instance


def test_all_of_it_runs_and_is_brought_up_once(renec: RenecInCluster) -> None:
    again = renec.renec("up", "--quiet")
    assert again.returncode == 0, again.stderr
    told = renec.renec("status")
    assert told.returncode == 0, told.stdout
    lines = {line.split()[0]: line.split()[1:] for line in told.stdout.splitlines()}
    assert lines["api"] == ["running", "3", "of", "3"] and lines["celery-worker"] == ["running", "3", "of", "3"]
    assert lines["api-green"] == ["stopped", "0", "of", "0"]


def test_its_book_sees_through_the_runtime_that_all_of_it_is_well(renec: RenecInCluster) -> None:
    wanted = FROM_OUTSIDE + INSIDE + PODS
    # Prometheus finds the pods some seconds after they are there.
    until(lambda: set(renec.checks(*wanted).values()) == {"ok"}, 90)


def test_procedures_of_the_book_work_there(renec: RenecInCluster) -> None:
    for procedure in ("clear-cache", "scale-application", "rollback-version"):
        words = ("version=1.0.0",) if procedure == "rollback-version" else ()
        view = renec.run(procedure, *words)
        assert view["state"] == "done", f"{procedure}: {view['message']}"


def test_the_database_inside_is_backed_up_from_outside(renec: RenecInCluster) -> None:
    done = renec.opsbook("backup", "nightly", "--yes")
    assert done.returncode == 0, done.stderr
    manifests = list((renec.folder / ".run" / "kubernetes" / "backups").rglob("manifest.json"))
    assert len(manifests) == 1


def test_a_fault_is_thrown_seen_and_mended(renec: RenecInCluster) -> None:
    assert renec.renec("break", "stopped-worker").returncode == 0
    assert renec.checks("worker-replicas") == {"worker-replicas": "critical"}
    assert "switch thrown: stopped-worker" in renec.renec("status").stdout
    mended = renec.renec("mend", "all")
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout == "mended: stopped-worker\n"
    assert renec.checks("worker-replicas") == {"worker-replicas": "ok"}
