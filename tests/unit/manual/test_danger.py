"""What deletes or overwrites data, ends sessions or workloads, or takes a service down."""

from __future__ import annotations

import pytest

from opsbook.manual.danger import prose_destructive, sql_destructive
from opsbook.manual.document import read_document
from opsbook.manual.extract.statements import read_block


def is_destructive(script: str) -> bool:
    fence = read_document(f"```bash\n{script}\n```\n").fences()[0]
    return any(line.destructive for line in read_block(fence).commands)


@pytest.mark.parametrize(
    "script",
    [
        "kubectl delete pod api-0",
        "kubectl scale deploy/api --replicas=0",
        "kubectl rollout undo deploy/api",
        "kubectl set image deploy/api api=x:2",
        "kubectl drain node1 --ignore-daemonsets",
        "kubectl patch service web -p '{}'",
        "kubectl create secret generic s --dry-run=client -o yaml | kubectl apply -f -",
        "helm upgrade web ./chart",
        "docker compose down",
        "docker stop db",
        "docker system prune -f",
        "docker pull x\ndocker compose up -d",
        "systemctl stop nginx",
        "sudo reboot",
        "kill -9 1",
        "rm -rf /srv/x",
        "find /b -mtime +30 -delete",
        "find /b -name x -exec rm {} \\;",
        "dropdb shop",
        "pg_restore -d shop x.dump",
        "zcat x.sql.gz | psql shop",
        "psql shop < backup.sql",
        'psql -c "DELETE FROM t"',
        'kubectl exec db-0 -- psql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"',
        "redis-cli FLUSHALL",
        "redis-cli --scan | xargs redis-cli DEL",
        "alembic upgrade head",
        "python manage.py migrate",
        "npx prisma migrate deploy",
        "terraform destroy",
        "git reset --hard origin/main",
        "aws s3 rm s3://b/x",
        "./scripts/restore.sh",
        "bash scripts/rollback.sh",
        "ssh db 'systemctl stop postgresql'",
        "etcdctl snapshot restore x.db",
        "patronictl failover main",
        "rabbitmqctl purge_queue q",
        "celery -A app purge -f",
        "aws ec2 terminate-instances --instance-ids i-1",
    ],
)
def test_it_calls_it_destructive(script: str) -> None:
    assert is_destructive(script)


@pytest.mark.parametrize(
    "script",
    [
        "kubectl get pods",
        "kubectl scale deploy/api --replicas=5",
        "kubectl rollout restart deploy/api",
        "kubectl apply -f x.yaml",
        "kubectl delete pod x --dry-run=client",
        "kubectl logs -f x",
        "docker compose ps",
        "docker compose up -d --scale api=3",
        "docker compose logs",
        "systemctl status nginx",
        "systemctl restart nginx",
        "pg_dump shop > x.sql",
        "pg_restore --list x.dump",
        'psql -c "SELECT 1"',
        "psql -c \"SELECT * FROM log WHERE q LIKE '%DELETE FROM%'\"",
        'psql -c "VACUUM ANALYZE"',
        "redis-cli INFO",
        "alembic current",
        "python manage.py migrate --plan",
        "terraform plan",
        "git checkout -b fix",
        "aws s3 cp x s3://b/",
        "./scripts/backup.sh",
        "./scripts/check-restore.sh",
        "curl -s http://x",
        "tar -czf backup.tar.gz /etc",
        "kill -0 1",
        "echo rm -rf /",
        "rm --help",
        "zcat x.gz | grep error",
        "crontab -l",
        "psql <<EOF\nSELECT 1;\nEOF",
    ],
)
def test_it_does_not_call_it_destructive(script: str) -> None:
    assert not is_destructive(script)


@pytest.mark.parametrize(
    ("statement", "destructive"),
    [
        ("DELETE FROM t WHERE x", True),
        ("TRUNCATE t", True),
        ("DROP TABLE t", True),
        ("UPDATE t SET a = 1", True),
        ("ALTER USER x WITH PASSWORD 'y'", True),
        ("VACUUM FULL t", True),
        ("SELECT pg_terminate_backend(1)", True),
        ("ALTER TABLE t DROP COLUMN c", True),
        ("-- DELETE FROM t\nSELECT 1", False),
        ("SELECT 'DROP TABLE t'", False),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", False),
        ("ALTER SYSTEM SET work_mem = '1MB'", False),
        ("REINDEX TABLE t", False),
        ("GRANT SELECT ON t TO x", False),
        ("INSERT INTO t VALUES (1)", False),
    ],
)
def test_it_judges_sql_statement_by_statement(statement: str, destructive: bool) -> None:
    assert bool(sql_destructive(statement)) is destructive


@pytest.mark.parametrize(
    ("step", "destructive"),
    [
        ("Restore the volumes", True),
        ("Datenbank löschen", True),
        ("恢复数据库", True),
        ("Restaurar el respaldo", True),
        ("Test the restore", False),
        ("Check the backup", False),
        ("Roll back if needed", False),
    ],
)
def test_it_judges_a_step_in_words_by_its_verb(step: str, destructive: bool) -> None:
    assert bool(prose_destructive(step)) is destructive


@pytest.mark.parametrize(
    ("script", "destructive"),
    [
        ("shopctl queue purge", True),
        ("shop-worker stop --graceful", True),
        ("shopctl cache --clear", True),
        ("python -m shop.cli migrate", True),
        ("shopctl status --reset-colours", False),
        ("shopctl migrate --dry-run", False),
        ("shopctl orders list", False),
        ("python -m shop.cli report", False),
        ("vault kv put secret/shop url=x", True),
        ("vault operator raft snapshot restore s.snap", True),
        ("vault kv get secret/shop", False),
        ("vault operator raft snapshot save s.snap", False),
    ],
)
def test_it_judges_a_program_it_does_not_know_by_its_verb(script: str, destructive: bool) -> None:
    assert is_destructive(script) is destructive
