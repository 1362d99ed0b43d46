"""Faults in other words than the rules' own examples: each is found and put into its class."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Severity, lint_document

FAULTY = [
    ("redis bull", "BullMQ jobs run on Redis.\n```bash\nredis-cli -h cache flushall\n```", "destroys-data"),
    ("delete all pvc", "```bash\nkubectl delete pvc --all -n prod\n```", "destroys-data"),
    (
        "terminate all",
        ("```sql\nselect pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid();\n```"),
        "destroys-data",
    ),
    (
        "cancel long",
        (
            '```bash\npsql -U a -d b -c "select pg_terminate_backend(pid) from pg_stat_activity '
            "where now() - query_start > '10 min'::interval\"\n```"
        ),
        "destroys-data",
    ),
    ("down -v", "```bash\ndocker compose down --volumes\ndocker compose up -d\n```", "destroys-data"),
    ("helm 2", "```bash\nhelm init --upgrade\n```", "deprecated"),
    ("drain old flag", "```bash\nkubectl drain node1 --ignore-daemonsets --delete-local-data\n```", "deprecated"),
    ("extensions", "```yaml\napiVersion: extensions/v1beta1\nkind: Ingress\nmetadata:\n  name: a\n```", "deprecated"),
    (
        "xlog",
        (
            "```sql\nSELECT pg_xlog_location_diff(pg_current_xlog_location(), replay_location) FROM "
            "pg_stat_replication;\n```"
        ),
        "deprecated",
    ),
    ("waiting col", "```sql\nSELECT pid, waiting FROM pg_stat_activity;\n```", "deprecated"),
    ("usename typo", "```sql\nSELECT username, state FROM pg_stat_activity;\n```", "will-not-run"),
    ("dump -it", "```bash\ndocker exec -it db pg_dump -U app app > /backup/app.sql\n```", "will-not-run"),
    ("mysqldump pipe", "```bash\nmysqldump -u root shop | gzip > shop.sql.gz\n```", "unsafe-practice"),
    ("exec heredoc cron", "```cron\n0 2 * * * pg_dump app | gzip > /b/app-$(date +%F).gz\n```", "will-not-run"),
    (
        "promql sum by no le",
        ("```promql\nhistogram_quantile(0.99, sum by (service) (rate(request_duration_seconds_bucket[5m])))\n```"),
        "will-not-run",
    ),
    (
        "yaml expr ratio",
        (
            '```yaml\n- alert: Err\n  expr: rate(http_requests_total{code=~"5.."}[5m]) / '
            "rate(http_requests_total[5m]) > 0.05\n  for: 5m\n```"
        ),
        "will-not-run",
    ),
    (
        "ratio http",
        (
            "```yaml\n- alert: HighErrors\n  expr: "
            'sum(rate(http_requests_total{status=~"5.."}[5m])) > 0.01\n  for: 5m\n```\n- Error '
            "rate: < 1%"
        ),
        "contradiction",
    ),
    ("password argv", "```bash\nPGPASSWORD=hunter2x psql -h db -U app -d app -c 'select 1'\n```", "insecure"),
    ("mysql pass", "```bash\nmysql -uroot -pS3cret! -e 'show processlist'\n```", "insecure"),
    ("curl basic", "```bash\ncurl -u admin:admin123 http://grafana:3000/api/health\n```", "insecure"),
    ("chmod", "```bash\nsudo chmod 777 /var/www\n```", "insecure"),
    ("drop", "## Cleanup\n```sql\nDROP TABLE users;\n```", "destroys-data"),
    ("update nowhere", "```sql\nUPDATE users SET active = false;\n```", "destroys-data"),
    ("rm var", "```bash\nrm -rf ${DATA_DIR}/*\n```", "destroys-data"),
    ("git reset", "```bash\ngit fetch\ngit push -f origin main\n```", "destroys-data"),
    ("compose rollback", "## Rollback\n```bash\ndocker compose pull\ndocker compose up -d\n```", "will-not-run"),
    ("placeholder", "## On-call\n- Primary: [Your Name] +1-XXX-XXX-XXXX", "dangling"),
    ("tbd", "## Contacts\n| Role | Contact |\n|---|---|\n| DBA | TBD |", "dangling"),
    ("mydomain", "Call https://api.mycompany.com/health", "dangling"),
    ("anchor", "[x](#nope)\n\n## Yep", "dangling"),
    ("vacuum full", "```bash\nvacuumdb --full -U app -d app\n```", "unsafe-practice"),
    ("createidx", "## Production tuning\n```sql\nCREATE INDEX idx ON orders(user_id);\n```", "unsafe-practice"),
    ("systemctl typo", "```bash\nsystemctl restar nginx\n```", "will-not-run"),
    ("kubectl rollout typo", "```bash\nkubectl rollout revert deployment/api -n a\n```", "will-not-run"),
    ("docker flag", "```bash\ndocker ps --sort size\n```", "will-not-run"),
    ("compose flag", "```bash\ndocker compose logs --last 50 api\n```", "will-not-run"),
    ("pg_dump flag", "```bash\npg_dump --compress-level 9 -U a b > c\n```", "will-not-run"),
    ("aws glob", "```bash\naws s3 cp s3://b/*.gz .\n```", "will-not-run"),
    ("kill 9", "```bash\nkill -9 $(pgrep postgres)\n```", "unsafe-practice"),
    (
        "hpa yaml broken",
        "```yaml\napiVersion: v1\nkind: Service\nmetadata:\n  name: a\n   labels: b\n```",
        "will-not-run",
    ),
    ("celery purge", "## Queue stuck\n```bash\ncelery -A app purge -f\n```", "destroys-data"),
    ("kubectl delete ns", "```bash\nkubectl delete namespace prod\n```", "destroys-data"),
    ("docker volume rm", "```bash\ndocker compose down\ndocker volume rm app_pgdata\n```", "destroys-data"),
    ("downgrade", "## Rollback\n```bash\nalembic downgrade base\n```", "destroys-data"),
    ("mongo drop", "```bash\nmongosh shop --eval 'db.dropDatabase()'\n```", "destroys-data"),
    ("s3 rm", "```bash\naws s3 rm s3://prod-backups --recursive\n```", "destroys-data"),
    ("rabbit purge", "```bash\nrabbitmqctl purge_queue orders\n```", "destroys-data"),
    ("rabbit reset", "```bash\nrabbitmqctl stop_app && rabbitmqctl reset\n```", "destroys-data"),
    ("systemctl stop pg, dump", "```bash\nsudo rm -rf /var/lib/postgresql/15/main/pg_wal/*\n```", "destroys-data"),
    ("pg_resetwal", "```bash\npg_resetwal -f /var/lib/postgresql/data\n```", "destroys-data"),
    ("two RTO", "**RTO**: 4 hours\n\n...\n\n## Recovery\n\n- Recovery Time Objective (RTO): 2 hours", "contradiction"),
]


@pytest.mark.parametrize(("text", "fault"), [row[1:] for row in FAULTY], ids=[row[0] for row in FAULTY])
def test_it_finds_the_fault_and_its_class(text: str, fault: str) -> None:
    found = [f for f in lint_document(read_document(text, "faulty.md")) if f.severity is not Severity.HINT]
    assert fault in {str(f.fault) for f in found}, [f"{f.rule} {f.fault} {f.message}" for f in found]
