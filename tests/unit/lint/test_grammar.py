"""How tools read their commands, and what the catalogues know."""

from __future__ import annotations

import pytest

from opsbook.manual.catalogue import postgres
from opsbook.manual.grammar import invocation, redis_command, risk_of
from opsbook.manual.grammar.invocation import Invocation
from opsbook.manual.shell import commands


def _read(text: str) -> Invocation:
    found = invocation(commands(text)[0])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "verb", "args"),
    [
        ("kubectl -n shop get pods -l app=api", "get", ("pods",)),
        ("kubectl rollout restart deployment/api -n shop", "rollout restart", ("deployment/api",)),
        ("kubectl top pods", "top pod", ()),
        ("kubectl create secret generic db --from-literal=a=b", "create secret generic", ("db",)),
        ("docker --context prod logs api --tail 5", "logs", ("api",)),
        ("docker compose -f a.yml -f b.yml up -d --no-deps api", "up", ("api",)),
        ("docker-compose exec -T db pg_dump -U a b", "exec", ("db",)),
        ("aws s3 cp a s3://b/ --recursive", "s3 cp", ("a", "s3://b/")),
        ("celery -A app inspect active", "inspect active", ()),
        ("terraform apply -var=environment=test -auto-approve", "apply", ()),
        ("go mod tidy", "mod tidy", ()),
    ],
)
def test_it_reads_verb_and_arguments(text: str, verb: str, args: tuple[str, ...]) -> None:
    call = _read(text)
    assert (call.verb, call.words, call.unknown, call.unknown_verb) == (verb, args, (), None)


def test_it_reads_bundled_and_glued_flags() -> None:
    call = _read("kubectl exec -itn shop db-0 -- psql")
    assert call.has("-i") and call.has("-t") and call.value("-n") == "shop" and call.words == ("db-0",)
    assert _read("journalctl -n100 -u api").value("-n") == "100"
    assert _read("psql -Atc 'SELECT 1'").value("-c") == "SELECT 1"


def test_it_tells_flags_and_verbs_that_do_not_exist() -> None:
    assert [f.name for f in _read("kubectl top pod a --watch").unknown] == ["--watch"]
    unknown = _read("go mod audit").unknown_verb
    assert unknown is not None and unknown.text == "audit"


@pytest.mark.parametrize(
    "text", ["frobnicate --all", "../tools/kubectl get pods", "'" + "x" * 300 + "' a", "'a\nb/c' d"]
)
def test_a_tool_without_a_grammar_is_not_read(text: str) -> None:
    found = invocation(commands(text)[0])
    assert found is None or found.tool == "kubectl"


def test_risks_come_from_the_grammar() -> None:
    assert risk_of("kubectl", "delete") == "destructive"
    assert risk_of("kubectl", "rollout restart") == "disruptive"
    assert risk_of("kubectl", "get") == "read"
    assert risk_of("kubectl", "frobnicate") == ""


def test_redis_commands_come_from_a_real_server() -> None:
    found = redis_command(("config", "set", "maxmemory", "1gb"))
    assert found is not None and found[0] == "CONFIG SET" and "admin" in found[1]["is"]
    assert redis_command(("nosuch",)) is None


def test_the_catalogue_knows_columns_of_all_versions() -> None:
    columns = postgres.columns("pg_stat_activity")
    assert columns is not None and {"pid", "query_id", "leader_pid"} <= columns and "query_time" not in columns
    checkpoints = postgres.columns("pg_stat_bgwriter")
    assert checkpoints is not None and {"buffers_clean", "checkpoints_timed"} <= checkpoints
    assert postgres.columns("orders") is None


def test_the_catalogue_knows_renames_and_settings() -> None:
    renamed = postgres.renamed_column("pg_stat_statements", "mean_time")
    assert renamed is not None and (renamed.now, renamed.since) == ("mean_exec_time", 13)
    buffers, work = postgres.setting("shared_buffers"), postgres.setting("work_mem")
    assert buffers is not None and buffers.context == "postmaster"
    assert work is not None and work.context == "user"
    assert postgres.nearest_column("pg_stat_user_indexes", "indexname") == "indexrelname"
