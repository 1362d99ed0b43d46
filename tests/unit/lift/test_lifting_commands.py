"""What single commands of a manual become."""

from __future__ import annotations

from typing import Any

import pytest

from opsbook.catalogue import catalogue
from opsbook.manual.document import Fence, read_document
from opsbook.manual.lift.context import Checks, Context
from opsbook.manual.lift.inventory import Inventory, Part
from opsbook.manual.lift.model import Form, Step, Why
from opsbook.manual.lift.statements import lift_fence


def parts() -> dict[str, Part]:
    return {
        "shop": Part("shop", "http", {"workload": "shop-api", "replicas": 3}, "api", hosts={"shop.example.org"}),
        "jobs": Part("jobs", "celery", {"workload": "jobs", "broker": "broker"}, "worker"),
        "database": Part("database", "postgres", {"workload": "pg"}, "database"),
        "cache": Part("cache", "redis", {"workload": "kv"}, "cache"),
        "broker": Part("broker", "redis", {}, "queue"),
        "prometheus": Part("prometheus", "prometheus", {}, "monitoring", hosts={"prom.example.org"}),
    }


def context(**more: Any) -> Context:
    inventory = Inventory(parts(), "kubernetes", "shop", ("shop",))
    return Context(catalogue(), inventory, Checks(catalogue()), "manual.md", **more)


def lifted(script: str, within: Context | None = None, language: str = "bash") -> list[Step]:
    document = read_document(f"# T\n\n```{language}\n{script}\n```\n", "manual.md")
    (fence,) = [block for block in document.walk() if isinstance(block, Fence)]
    return lift_fence(fence, within or context())


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("kubectl scale deployment/shop-api -n shop --replicas=5", {"workload.scale": {"of": "shop", "replicas": 5}}),
        ("kubectl scale deploy shop-api --replicas 0", {"workload.stop": {"of": "shop"}}),
        ("kubectl rollout restart deployment shop-api", {"workload.restart": {"of": "shop"}}),
        ("kubectl rollout undo deployment/shop-api -n shop", {"workload.rollback": {"of": "shop"}}),
        ("kubectl delete pod -l app=shop-api -n shop", {"workload.restart": {"of": "shop"}}),
        ("docker compose restart shop-api", {"workload.restart": {"of": "shop"}}),
        ("docker-compose up -d jobs", {"workload.start": {"of": "jobs"}}),
        ("docker compose up -d --scale jobs=4", {"workload.scale": {"of": "jobs", "replicas": 4}}),
        ("sudo systemctl restart shop-api.service", {"workload.restart": {"of": "shop"}}),
        ("supervisorctl stop jobs:*", {"workload.stop": {"of": "jobs"}}),
        ('psql -U u -d d -c "VACUUM ANALYZE orders;"', {"postgres.vacuum": {"of": "database", "tables": ["orders"]}}),
        ('kubectl exec pg-0 -- psql -c "ANALYZE"', {"postgres.analyze": {"of": "database"}}),
        ("vacuumdb --analyze-only -d x", {"postgres.analyze": {"of": "database"}}),
        ("redis-cli -h kv FLUSHDB", {"redis.flush": {"of": "cache"}}),
        ("redis-cli BGSAVE", {"redis.save": {"of": "cache"}}),
        (
            "redis-cli --scan --pattern 'page:*' | xargs redis-cli DEL",
            {"redis.unlink": {"of": "cache", "pattern": "page:*"}},
        ),
        (
            "kubectl exec -n shop deploy/kv -- redis-cli CONFIG SET maxmemory 2gb",
            {"redis.setting": {"of": "cache", "name": "maxmemory", "value": "2gb"}},
        ),
        (
            "kubectl exec -n shop deploy/shop-api -- python -m shop.tools reindex",
            {"workload.exec": {"of": "shop", "argv": ["python", "-m", "shop.tools", "reindex"]}},
        ),
    ],
)
def test_it_makes_operations_of_changes(command: str, body: dict[str, Any]) -> None:
    (step,) = lifted(command)
    assert (step.form, step.body) == (Form.OP, body)


@pytest.mark.parametrize(
    ("command", "observe", "of"),
    [
        ("kubectl exec -n shop pg-0 -- pg_isready", "postgres.up", "database"),
        ("curl -f https://shop.example.org/health", "http.up", "shop"),
        ("kubectl logs -n shop deployment/shop-api --tail=100 | grep ERROR", "workload.log_errors", "shop"),
        ("kubectl get pods -l app=shop-api", "workload.missing", "shop"),
        ("kubectl rollout status deployment/shop-api", "workload.missing", "shop"),
        ("kubectl top pods -l app=jobs -n shop", "workload.memory_ratio", "jobs"),
        ("redis-cli ping", "redis.up", "cache"),
        ("redis-cli INFO memory", "redis.memory_ratio", "cache"),
        ("celery -A shop inspect ping", "celery.workers", "jobs"),
        ('psql -c "SELECT * FROM pg_stat_replication;"', "postgres.replication_lag", "database"),
        ("curl -s http://prom.example.org/api/v1/alerts", "prometheus.firing_alerts", "prometheus"),
        ("docker compose logs -f jobs", "workload.log_errors", "jobs"),
        ("systemctl status jobs", "workload.missing", "jobs"),
        ("kubectl get endpoints shop-api -n shop", "workload.missing", "shop"),
        ("kubectl describe certificate shop-tls -n shop", "tls.days_left", "shop"),
    ],
)
def test_it_makes_checks_of_looks(command: str, observe: str, of: str) -> None:
    within = context()
    (step,) = lifted(command, within)
    assert step.form is Form.CHECK
    assert [(within.checks.found[name]["observe"], within.checks.found[name]["of"]) for name in step.body] == [
        (observe, of)
    ]


def test_a_look_before_any_change_does_not_end_the_run_and_one_after_it_does() -> None:
    before, _, after = lifted("redis-cli ping\nredis-cli FLUSHDB\nredis-cli ping")
    assert before.attributes == {"on_failure": "continue"}
    assert after.attributes == {}


def test_it_starts_what_it_stopped_and_scales_what_runs() -> None:
    steps = lifted("kubectl scale deploy/shop-api --replicas=0\nkubectl scale deploy/shop-api --replicas=3")
    assert [next(iter(step.body)) for step in steps] == ["workload.stop", "workload.start"]


def test_it_scopes_a_terminate_by_what_the_statement_says() -> None:
    where = "state = 'active' AND now() - query_start > interval '5 minutes'"
    sql = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where}"
    (step,) = lifted(f'psql -c "{sql};"')
    assert step.body == {"postgres.terminate": {"of": "database", "older_than": "5m", "state": "active"}}
    assert "never replication" in step.mended[0]


def test_it_asks_for_the_scope_of_a_terminate_that_has_none() -> None:
    within = context()
    (step,) = lifted('psql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"', within)
    assert step.body["postgres.terminate"]["older_than"] == "{{ older_than }}"
    assert within.parameters.found["older_than"].type == "duration"


def test_values_that_vary_become_parameters() -> None:
    within = context()
    scale, deploy, query = lifted(
        "kubectl scale deploy/shop-api --replicas=$1\n"
        "kubectl set image deployment/shop-api app=shop:v1.4.0\n"
        "psql -c \"SELECT * FROM orders WHERE id = '<order-id>'\"",
        within,
    )
    assert scale.body == {"workload.scale": {"of": "shop", "replicas": "{{ shop_replicas }}"}}
    assert deploy.body == {"workload.deploy": {"of": "shop", "version": "{{ version }}"}}
    assert query.body == "SELECT * FROM orders WHERE id = {{ order_id }}"
    assert within.parameters.found["shop_replicas"].type == "int"


def test_old_rows_are_purged_in_batches() -> None:
    (step,) = lifted("DELETE FROM visits WHERE seen_at < NOW() - INTERVAL '90 days';", language="sql")
    body = {"of": "database", "table": "visits", "column": "seen_at", "older_than": "90d"}
    assert step.body == {"postgres.purge": body}


def test_another_namespace_is_another_environment() -> None:
    (step,) = lifted("kubectl scale deploy/shop-api -n shop-dr --replicas=1")
    assert step.form is Form.SH
    assert step.why is Why.ELSEWHERE
    assert "shop-dr" in step.note


@pytest.mark.parametrize(
    "command",
    [
        "kubectl exec -it deploy/shop-api -- bash",
        "kubectl exec -it pg-0 -- psql -U u",
        "kubectl port-forward svc/x 1:1",
        "redis-cli",
        "redis-cli MONITOR",
        "redis-cli --scan | xargs redis-cli DEL",
    ],
)
def test_prompts_and_unbounded_destruction_are_left_to_a_person(command: str) -> None:
    (step,) = lifted(command)
    assert step.form is Form.PERSON


def test_expired_keys_alone_go_where_the_comment_means_them() -> None:
    (step,) = lifted('# Remove expired keys\nredis-cli --scan --pattern "*" | xargs redis-cli DEL')
    assert step.body == {"redis.delete_expired": {"of": "cache"}}


def test_the_queue_is_never_flushed() -> None:
    within = context()
    del within.inventory.parts["cache"]
    (step,) = lifted("redis-cli FLUSHALL", within)
    assert step.form is Form.PERSON
    assert "tasks" in step.note


@pytest.mark.parametrize(
    ("command", "risk"),
    [
        ("kubectl get nodes", "read"),
        ("ls -l /backups | tail -3", "read"),
        ("rm -rf /srv/old", ""),
        ("./deploy.sh", ""),
        ("kubectl delete namespace x", ""),
        ("mkdir -p out", "safe"),
        ("docker build -t x .", "safe"),
        ("curl -o f https://x.example.net/f", ""),
        ("sed -i s/a/b/ f", ""),
        ("find . -name x -delete", ""),
        ("git log -3", "read"),
    ],
)
def test_the_risk_of_a_shell_step_is_what_the_command_does(command: str, risk: str) -> None:
    (step,) = lifted(command)
    assert (step.form, step.risk) == (Form.SH, risk)


def test_an_operation_that_is_not_registered_is_named() -> None:
    (step,) = lifted("kubectl drain node-1")
    assert (step.form, step.why, step.needs) == (Form.SH, Why.MISSING, "node.drain")


def test_a_shell_step_carries_what_it_reads() -> None:
    within = context()
    step = lifted('STAMP=$(date +%F)\nNAME=dump-$STAMP\ncd /srv\nmysqldump "$SHOP_URL" > $NAME', within)[0]
    assert str(step.body).split("\n")[0] == "STAMP={{ stamp }}"
    assert "cd /srv" in str(step.body)
    assert step.attributes["env"] == "SHOP_URL"


def test_a_loop_stays_one_step() -> None:
    (step,) = lifted('for t in a b; do\n  psql -c "VACUUM $t"\ndone')
    assert (step.form, step.why) == (Form.SH, Why.SCRIPT)


def test_two_commands_joined_by_and_are_two_steps() -> None:
    steps = lifted("redis-cli BGSAVE && kubectl rollout restart deploy/shop-api && echo done")
    assert [next(iter(step.body)) for step in steps] == ["redis.save", "workload.restart"]


def test_what_is_printed_into_a_file_stays_shell() -> None:
    (step,) = lifted("kubectl logs deploy/shop-api > incident.log")
    assert (step.form, step.why) == (Form.SH, Why.OUTPUT)


def test_columns_of_statistics_views_get_their_real_names() -> None:
    (step,) = lifted("SELECT tablename, indexname FROM pg_stat_user_indexes", language="sql")
    assert step.body == "SELECT relname, indexrelname FROM pg_stat_user_indexes"
    assert step.mended


def test_a_password_is_never_taken() -> None:
    (step,) = lifted("CREATE USER reader WITH PASSWORD 'hunter2';", language="sql")
    assert step.body == {"postgres.role": {"of": "database", "role": "reader"}}
    assert "hunter2" not in str(step.body)


@pytest.mark.parametrize(
    ("command", "has"),
    [
        ("psql -c '\\\\dt'", "c.relkind IN ('r', 'p')"),
        (
            "kubectl exec pg-0 -- psql -d shop -c '\\\\d+ sales.orders'",
            "table_name = 'orders' AND table_schema = 'sales'",
        ),
        ("psql -l", "FROM pg_database"),
        ("psql -c '\\\\dx'", "FROM pg_extension"),
    ],
)
def test_it_makes_queries_of_what_only_psql_knows(command: str, has: str) -> None:
    (step,) = lifted(command.replace("\\\\", "\\"))
    assert (step.form, step.attributes["on"]) == (Form.SQL, "database")
    assert has in step.body and step.mended


def test_a_command_of_psql_without_a_query_stays_what_it_is() -> None:
    (step,) = lifted("psql -c '\\\\timing on'".replace("\\\\", "\\"))
    assert step.form is not Form.SQL
