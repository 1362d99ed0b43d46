"""Good practice that looks like a fault of the newer rules: nothing graver than a hint."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Severity, lint_document


def sh(text: str) -> str:
    return f"```bash\n{text}\n```\n"


def block(tag: str, text: str) -> str:
    return f"```{tag}\n{text}\n```\n"


QUIET = [
    block("yaml", "services:\n  db:\n    image: postgres:16.2\n    expose:\n      - '5432'"),
    block("yaml", "services:\n  web:\n    image: shop/web:1.2\n    ports:\n      - '443:443'"),
    "## Local development\n\n" + sh("docker run -d -p 5432:5432 postgres:16.2"),
    block("conf", "host    shop    shop    10.0.0.0/8    scram-sha-256\nlocal   all     postgres        peer"),
    sh("sudo ufw allow 443/tcp\nsudo ufw enable"),
    block("env", "DB_PASSWORD=${DB_PASSWORD}\nSECRET_KEY=change-me\nAPI_KEY=your-api-key"),
    block("python", "password = os.environ['DB_PASSWORD']\nconn = connect(password=password)"),
    block("yaml", "env:\n- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef: {name: db, key: password}"),
    "Grafana's first login is admin/admin: change it at once.",
    sh("kubectl get secret ca -n shop -o jsonpath='{.data.ca\\.crt}' | base64 -d > ca.crt"),
    sh("docker compose exec -T db pg_isready -U shop"),
    sh("docker compose exec -T db psql -U shop -d shop_new -v ON_ERROR_STOP=1 < shop.sql"),
    sh("docker exec api sh -c 'cd /app && python manage.py check'"),
    sh("docker compose stop api\ndocker compose exec -T db pg_isready -U shop\ndocker compose start api"),
    sh("docker compose down\ndocker compose up -d\ndocker compose exec -T db pg_isready -U shop"),
    sh("docker exec -u postgres db pg_ctl reload"),
    sh("systemctl stop redis\ncp dump.rdb /var/lib/redis/dump.rdb\nsystemctl start redis"),
    block("cron", "# Every day at 2 AM\n0 2 * * * /srv/backup.sh"),
    block("cron", "# Every 15 minutes\n*/15 * * * * /srv/check.sh"),
    block("cron", "# Weekly on Sunday at 3:00\n0 3 * * 0 /srv/backup.sh"),
    block("cron", "# Daily at 09:00 KST\n0 0 * * * /srv/report.sh"),
    sh("kubectl logs deployment/api -n shop --tail=100 | grep ERROR"),
    sh("celery -A shop worker -l info"),
    block("python", "async with pool.acquire() as conn:\n    await conn.fetch('SELECT 1')"),
    block("json", '{\n  "a": 1, // the port\n  "b": 2\n}'),
    sh('curl -fsS -X POST https://api.shop.io/x -H \'Content-Type: application/json\' -d "{\\"a\\": \\"$A\\"}"'),
    block("nginx", "server {\n    listen 80;\n    location / {\n        proxy_pass http://api:8000;\n    }\n}"),
    block("nginx", "log_format main '$remote_addr - $request '\n                '$status';"),
    block("ini", "[Service]\nExecStart=/usr/bin/env gunicorn shop.wsgi\nRestart=on-failure"),
    sh("find /srv/backups -type f -name '*.dump' -mtime +30 -delete"),
    sh("find /tmp/shop -mtime +1 -delete"),
    sh("kill $(cat app.pid)\nsleep 10\nkill -9 $(cat app.pid)"),
    "## Failover\n\nStop the old primary first.\n\n" + sh("psql -h standby -U postgres -c 'SELECT pg_promote()'"),
    sh("git checkout v1.4.2\ngit clone https://github.com/shop-gmbh/shop.git"),
    "## Contacts\n\n- On-call: +49 30 901820, oncall@shop.io",
    "## Backups\n\nBackups are kept for 30 days.\n\n" + sh("find /backups -name '*.dump' -mtime +30 -delete"),
    "**Last updated**: 2026-02-11\n\ntext\n\ntext\n\n**Next review**: 2026-08-11",
    block(
        "yaml",
        "- alert: Slow\n  expr: rate(x_seconds_sum[5m]) > 2\n  for: 10m\n  annotations:\n"
        "    summary: 'over 2 s for 10 minutes'",
    ),
    "| Severity | Response time |\n|---|---|\n| P1 | 15 minutes |\n| P2 | 1 hour |\n| P3 | 1 day |",
    sh("MAX=8\necho $MAX\nsystemctl restart shop"),
    sh("cd /home/deploy/shop\ngit pull"),
    sh("docker logs shop-db-1\ndocker logs shop-db-2\ndocker logs shop-db-1\ndocker logs shop-db-1"),
    sh("tar -xzf backup.tar.gz -C /srv/restore\naws s3 cp /backups/ s3://shop-backups/ --recursive"),
    block("sql", "SELECT round(avg(total_ms)::numeric, 2) FROM requests;"),
]


@pytest.mark.parametrize("text", QUIET)
def test_it_is_silent(text: str) -> None:
    findings = lint_document(read_document(text, "manual.md"))
    assert [f"{f.rule} {f.message}" for f in findings if f.severity is not Severity.HINT] == []
