"""An imported manual of the example runs on the example: checked, planned and run, with its env file's addresses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Renec

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec"), pytest.mark.timeout(240)]
OPSBOOK = Path(sys.executable).with_name("opsbook")

MANUAL = """\
# Register operations

## Components

- **API**: answers queries
- **Workers**: Celery workers
- **Database**: PostgreSQL with a standby
- **Cache**: Redis
- **Monitoring**: Prometheus

## Metrics

| Metric | Warning | Critical |
|---|---|---|
| API response time | > 900ms | > 5s |
| Database connections | > 60 | > 75 |
| Replication lag | > 20s | > 60s |

## Look around

```bash
# The API answers
curl https://api.register.example/health
# The database answers
kubectl exec -n register postgres-0 -- pg_isready
# What runs now
kubectl exec -n register postgres-0 -- psql -U app -c "SELECT state, count(*) FROM pg_stat_activity GROUP BY state;"
# Workers
kubectl exec -n register deployment/celery-worker -- celery -A src.scheduler.daily_probe inspect ping
```

## More hands

```bash
kubectl scale deployment/celery-worker -n register --replicas=$1
kubectl get pods -n register -l app=celery-worker
```

## Tidy up

```bash
# End what hangs
kubectl exec -n register postgres-0 -- psql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND now() - query_start > interval '2 hours';"
# Fresh statistics
kubectl exec -n register postgres-0 -- psql -d register -c "VACUUM ANALYZE centros;"
# Restart the API
kubectl rollout restart deployment/api -n register
```
"""  # noqa: E501


@pytest.fixture(scope="module")
def ops(renec: Renec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The imported book, with an environment for this session's instance."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "manual.md").write_text(MANUAL, encoding="utf-8")
    run = renec.run_dir
    environment = {
        "runtime": {
            "kind": "supervisor",
            "config": renec.env["SUPERVISOR_CONFIG"],
            "releases": str(run / "releases"),
            "current": str(run / "current"),
        },
        "env_file": str(run / "env"),
        "policy": "open",
        "disposable": True,
        "components": {"api": {"ca": "${CA_FILE}"}, "database": {"admin": "${DATABASE_SUPERUSER_URL}"}},
    }
    (folder / "rehearsal.yaml").write_text(json.dumps(environment), encoding="utf-8")
    done = subprocess.run(
        [str(OPSBOOK), "import", "manual.md", "--out", "ops", "--environment", "rehearsal=rehearsal.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "ops"


def opsbook(ops: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(OPSBOOK), *arguments, "--book", str(ops), "--env", "rehearsal"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


def test_the_imported_checks_say_that_the_example_is_well(ops: Path) -> None:
    done = opsbook(ops, "check", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    results = {one["id"]: one["state"] for one in json.loads(done.stdout)["results"]}
    assert {"api-response-time", "database-connections", "replication-lag", "api-up", "database-up"} <= set(results)
    assert not {"critical", "unknown"} & set(results.values())


@pytest.mark.parametrize("words", [("look-around",), ("more-hands", "celery_worker_replicas=2"), ("tidy-up",)])
def test_every_imported_procedure_can_be_planned(ops: Path, words: tuple[str, ...]) -> None:
    done = opsbook(ops, "plan", *words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_imported_procedure_changes_the_example(ops: Path, renec: Renec) -> None:
    def running() -> int:
        return sum("RUNNING" in line for line in renec.supervisorctl("status", "celery-worker:*").splitlines())

    before = running()
    wanted = before + 1
    done = opsbook(ops, "run", "more-hands", f"celery_worker_replicas={wanted}", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert running() == wanted
    back = opsbook(ops, "run", "more-hands", f"celery_worker_replicas={before}", "--yes")
    assert back.returncode == 0, back.stdout + back.stderr
    assert running() == before


def test_an_imported_procedure_looks_and_tidies(ops: Path) -> None:
    for name in ("look-around", "tidy-up"):
        done = opsbook(ops, "run", name, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
