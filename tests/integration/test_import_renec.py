"""An imported manual of the example runs on the example: checked, planned and run, with its env file's addresses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Renec

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("renec-book"), pytest.mark.timeout(600)]
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

## A new release

```bash
kubectl set image deployment/api api=registry.register.example/api:2.4 -n register
```

## Room on the disk

```bash
kubectl exec -n register postgres-0 -- psql -c "VACUUM FULL;"
```

## Read along

```bash
# The newest lines
tail -f book.yaml | grep system
# Whether the public register answers
curl -I https://www.public-register.example/robots.txt
```

## Copy out

```bash
DAY=$(date +%Y%m%d)
kubectl exec -n register deployment/api -- sh -c "cp /srv/no-such-export.zip /tmp/"
register-uploader "export_${DAY}.zip" "$UPLOAD_BUCKET"
```

## Open a console

```bash
kubectl exec -it -n register deployment/api -- /bin/bash
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
        "env_file": "rehearsal.env",
        "policy": "open",
        "disposable": True,
        "components": {
            "api": {"ca": "${CA_FILE}"},
            "database": {"admin": "${DATABASE_SUPERUSER_URL}"},
            "public-register": {"ca": "${CA_FILE}"},
        },
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
    ops = folder / "ops"
    # As a person does it: what the import lists as open is filled in, once, in one file.
    known = {**renec.env, "PUBLIC_REGISTER_URL": renec.env["REGISTRY_URL"]}
    open_ = re.findall(r"(?m)^#?([A-Z_]+)=", (ops / "addresses.env.example").read_text(encoding="utf-8"))
    assert {"DATABASE_URL", "API_URL", "PUBLIC_REGISTER_URL", "UPLOAD_BUCKET"} <= set(open_)
    wanted = [*open_, "CA_FILE", "DATABASE_SUPERUSER_URL"]
    lines = [f"{name}={known[name]}" for name in wanted if name in known]
    (ops / "rehearsal.env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ops


def opsbook(ops: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(OPSBOOK), *arguments, "--book", str(ops), "--env", "rehearsal"]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, stdin=subprocess.DEVNULL)


def test_the_imported_checks_say_that_the_example_is_well(ops: Path) -> None:
    done = opsbook(ops, "check", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    results = {one["id"]: one["state"] for one in json.loads(done.stdout)["results"]}
    assert {"api-response-time", "database-connections", "replication-lag", "api-up", "database-up"} <= set(results)
    assert not {"critical", "unknown"} & set(results.values())


@pytest.mark.parametrize(
    "words",
    [("look-around",), ("more-hands", "celery_worker_replicas=2"), ("tidy-up",), ("a-new-release", "version=1.0.0"),
     ("room-on-the-disk", "table=centros"), ("read-along",), ("open-a-console",)],
)  # fmt: skip
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


def test_a_rehearsal_says_which_imported_procedures_work_and_what_the_others_need(ops: Path, renec: Renec) -> None:
    def held() -> tuple[str, str]:
        """The processes that run, and the release from which new ones start."""
        found = re.findall(r"(\S+) +RUNNING", renec.supervisorctl("status"))
        return " ".join(sorted(found)), (renec.run_dir / "current").resolve().name

    before = held()
    done = opsbook(ops, "rehearse", "--keep-going", "--format", "json")
    assert done.stdout.startswith("{"), done.stderr
    told = {one["procedure"]: one for one in json.loads(done.stdout)["outcomes"]}
    verdicts = {name: one["verdict"] for name, one in told.items()}
    assert verdicts == {
        "look-around": "works", "more-hands": "works", "tidy-up": "works", "a-new-release": "works",
        "room-on-the-disk": "works", "read-along": "works", "copy-out": "needs", "open-a-console": "by hand",
    }, {name: one["sentence"] for name, one in told.items()}  # fmt: skip
    # Values that nobody gave were found in the system: one more, a release that is there, a small table.
    assert [(one["value"], one["origin"]) for one in told["more-hands"]["samples"]] == [(4, "found")]
    assert told["a-new-release"]["samples"][0]["origin"] == told["room-on-the-disk"]["samples"][0]["origin"] == "found"
    assert "register-uploader" in told["copy-out"]["message"] and "UPLOAD_BUCKET" in told["copy-out"]["message"]
    assert told["more-hands"]["undo"]["undone"] == 1
    assert held() == before
    listed = json.loads(opsbook(ops, "runs", "--format", "json", "--limit", "20").stdout)
    rehearsed = [one for one in listed if one["rehearsal"]]
    assert "rehearsed" in {one["state"] for one in rehearsed}
    assert "cancelled" not in {one["state"] for one in rehearsed}


def test_what_nobody_knows_is_let_go_and_the_next_procedure_is_rehearsed(ops: Path) -> None:
    # The command is ended by a signal: what it had done by then is not known, and a person would have to say.
    unknown = ops / "procedures" / "a-killed-command.md"
    unknown.write_text(
        "---\ntitle: A killed command\n---\n"
        "1. Scale.\n   ```op\n   workload.scale: {of: celery-worker, replicas: 4}\n   ```\n\n"
        "2. End itself.\n   ```sh on=api\n   kill -9 $$\n   ```\n",
        encoding="utf-8",
    )
    try:
        done = opsbook(
            ops, "rehearse", "--keep-going", "--format", "json", "--procedures", "a-killed-command,more-hands"
        )
    finally:
        unknown.unlink()
    killed, after = json.loads(done.stdout)["outcomes"]
    assert (killed["verdict"], killed["number"], killed["undo"]["undone"]) == ("fails", 2, 1), killed
    assert after["verdict"] == "works", after["sentence"]
