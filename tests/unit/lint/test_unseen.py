"""Faults that manuals nobody had read before showed, and texts like them that are in order."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Severity, lint_document


def sh(text: str) -> str:
    return f"```bash\n{text}\n```\n"


def found(text: str, rule: str) -> list[int]:
    findings = lint_document(read_document(text, "m.md"))
    return [finding.line for finding in findings if finding.rule == rule and finding.severity != Severity.HINT]


@pytest.mark.parametrize(
    ("rule", "text", "lines"),
    [
        ("OB343", sh('journalctl -u shop --since "30 minutes" -n 5'), [2]),
        ("OB343", sh('journalctl -u shop --since "2026-01-01 10:00" --until "5 min ago"'), []),
        ("OB344", sh("docker-compose down\ndocker network rm shop_front shop_back"), [3]),
        ("OB344", sh("docker compose stop web\ndocker network rm shop_front"), []),
        ("OB344", sh("docker compose down\ndocker network rm legacy"), []),
        ("OB345", sh("# Rebuild and start\ndocker compose up -d web"), [3]),
        ("OB345", sh("# Rebuild and start\ndocker compose build web\ndocker compose up -d web"), []),
        ("OB347", sh("echo x | docker secret create token -\ndocker compose up -d"), [2]),
        ("OB347", sh("echo x | docker secret create token -\ndocker service create --secret token shop"), []),
        ("OB127", sh("tar -czf /tmp/a-$(date +%s).tgz a\nscp /tmp/a-$(date +%s).tgz host:"), [3]),
        ("OB127", sh("tar -czf /tmp/a-$(date +%F).tgz a\nscp /tmp/a-$(date +%F).tgz host:"), []),
        (
            "OB324",
            sh("kubectl get cm web -n shop -o yaml > web.yaml\nkubectl replace -f web.yaml -n shop"),
            [3],
        ),
        (
            "OB324",
            sh("kubectl get cm web -n shop -o yaml | kubectl neat > web.yaml\nkubectl apply -f web.yaml -n shop"),
            [],
        ),
        ("OB324", sh("kubectl get cm web -n shop -o yaml > web.yaml\nkubectl apply -f api.yaml -n shop"), []),
        (
            "OB323",
            sh('kubectl patch deploy/web -n shop --type=json -p=\'[{"op": "remove", "path": "/spec/paused"}]\''),
            [],
        ),
        ("OB325", sh("kubectl get pods -n shop\ncurl -fsS http://127.0.0.1:9000/ready"), [3]),
        (
            "OB325",
            sh("kubectl get pods -n shop\nkubectl exec deploy/web -n shop -- curl -fsS http://localhost:9000/"),
            [],
        ),
        ("OB325", sh("curl -fsS http://localhost:9000/ready"), []),
        ("OB128", sh("kubectl port-forward svc/web 8080:80 -n shop &\nsleep 3\ncurl -fsS http://localhost:8080/"), []),
        (
            "OB204",
            "```sql\nALTER SYSTEM SET max_connections = 300;\n-- Restart the server\nSELECT pg_reload_conf();\n```",
            [2],
        ),
        ("OB204", "```sql\nALTER SYSTEM SET max_connections = 300;\n-- Restart the server now\n```", []),
        ("OB630", sh("vault kv put secret/shop db_password=hunter2 host=db"), [2]),
        ("OB630", sh("vault kv put secret/shop db_password=@password.txt host=db"), []),
        ("OB633", sh("kubectl get secret web-tls -n shop -o yaml"), [2]),
        ("OB633", sh("kubectl get secret web-tls -n shop\nkubectl get secrets -n shop -o yaml | grep -c kind"), []),
        ("OB504", sh("du -sh /path/to/data"), [2]),
        ("OB504", sh("nc -zv db.project-id.cloud.example 5432"), [2]),
        ("OB504", sh("aws s3 ls s3://my-dumps/daily/"), [2]),
        ("OB504", sh("aws s3 ls s3://shop-dumps/my-folder/\ngcloud config set project-id-check true"), []),
        ("OB634", sh("docker tag registry.shop.example/web:1.4 registry.shop.example/web:latest"), [2]),
        ("OB527", sh("aws s3 sync /b/$DAY s3://shop/daily/\naws s3 sync s3://shop/daily/ /restore/"), []),
        ("OB528", sh("tar -czf c.tgz -C /srv shop\ntar -xzf c.tgz -C /"), []),
        ("OB528", sh("tar -czf c.tgz /srv/shop\ntar -xzf c.tgz -C /"), []),
        ("OB528", sh("tar -cf all.tar conf\ntar -xf all.tar -C /"), [3]),
        ("OB130", sh("cp app.log app.old\ntruncate -s 0 app.log"), [3]),
        ("OB130", sh("set -e\ncp app.log app.old\ntruncate -s 0 app.log"), []),
        ("OB130", sh("echo '' > status.txt\ntar -czf logs.tgz logs"), []),
        ("OB526", "RTO: 2 hours\n\n## Fire\n\n**Expected recovery time:** 1-3 hours\n", []),
        ("OB526", "RTO: 2 hours\n\n## Fire\n\n**Expected recovery time:** 3 hours\n", [5]),
        ("OB526", "RTO: 2 hours\n\n**Recovery time:** < 3 hours\n", []),
        ("OB532", "## Restore\n" + sh("dropdb shop\ncreatedb shop\npsql -d shop < shop-20260101.sql.gz"), [3]),
        (
            "OB532",
            "## Restore\n"
            + sh(
                "pg_dump -Fc shop > old.dump\ndropdb shop\ncreatedb shop\npsql -d shop < shop-20260101.sql\n"
                "psql -d shop -c 'SELECT count(*) FROM t'"
            ),
            [],
        ),
        ("OB532", "## Local development\n" + sh("dropdb shop\ncreatedb shop\npsql -d shop < shop-20260101.sql"), []),
        ("OB511", "| Drill | Next |\n|-|-|\n| Fire | TBA |\n| Water | TBD |\n", [3]),
        ("OB511", "| Drill | Note |\n|-|-|\n| Fire | the date is TBD by the landlord |\n", []),
        (
            "OB129",
            sh("python3 -c \"import requests\nprint(requests.get('http://web/').status_code)\""),
            [],
        ),
        (
            "OB529",
            "RPO: 2 days\n\n## Backup\n\n| What | Frequency |\n|-|-|\n| Orders | Daily |\n| Pictures | Weekly |\n",
            [1],
        ),
        (
            "OB529",
            "RPO: 2 weeks\n\n## Backup\n\n| What | Frequency |\n|-|-|\n| Orders | Daily |\n| Pictures | Weekly |\n",
            [],
        ),
        ("OB607", sh("docker exec c redis-cli -p 6379 -a x ping\ndocker exec c redis-cli -p 26379 ping"), []),
        ("OB607", sh("docker exec c redis-cli ping\ndocker exec d redis-cli -a x ping"), []),
        (
            "OB413",
            "```yaml\n- alert: Busy\n  expr: sum(rate(container_cpu_usage_seconds_total[5m])) / 4 > 0.8\n"
            "  annotations:\n    summary: '{{ $value | humanizePercentage }}'\n```\n",
            [],
        ),
    ],
)
def test_it_finds_what_is_wrong_and_leaves_the_rest(rule: str, text: str, lines: list[int]) -> None:
    assert found(text, rule) == lines


@pytest.mark.parametrize(
    ("rule", "text", "lines"),
    [
        ("OB335", sh("flyway migrate -target=12"), []),
        ("OB335", sh("flyway migrate -dryRunOutput=plan.sql"), []),
        ("OB335", sh("flyway migrate -dryRun=true"), [2]),
        ("OB337", sh('mysql -h db -u app -p$PASS -e "DELETE FROM carts WHERE age > 9"'), []),
        ("OB337", sh("mysql -h db -u app -p -e 'DELETE FROM carts WHERE age > 9'"), [2]),
        ("OB337", sh("mysql -h db -u app -p -e 'SELECT * FROM shop.carts'"), []),
        ("OB337", sh("mysql -u app -p -e 'SELECT table_name FROM information_schema.tables'"), []),
        ("OB337", sh("mysql -u app -p -D shop -e 'SELECT 1 FROM carts'"), []),
        ("OB337", sh("mysql -u app -p -e 'USE shop; SELECT 1 FROM carts'"), []),
        ("OB337", sh("mysql -u app -p -e 'SHOW DATABASES'"), []),
        ("OB348", sh("sed -i s/A=1/A=2/ .env\ndocker-compose restart web"), [3]),
        ("OB348", sh("cat .env\ndocker compose restart web"), []),
        ("OB348", sh("vim nginx.conf\ndocker compose restart web"), []),
        ("OB642", sh("curl -fsS -d 'user=admin&password=123456' https://shop.example/login"), [2]),
        ("OB642", sh('curl -fsS --json \'{"user": "a", "password": "\'$PASS\'"}\' https://shop.example/login'), []),
        ("OB633", sh("cat /srv/shop/.env"), [2]),
        ("OB633", sh("cat .env.example\ncat /srv/shop/.env | cut -d= -f1"), []),
        ("OB634", sh("docker tag web:2 $REGISTRY/web:latest"), [2]),
        ("OB501", "## Kontakte\n\n- Hotline: [Interne Nummer]\n", [3]),
        ("OB501", "## Contacts\n\n- [ ] Ring: the bell\n- Rota: [the rota](rota.md)\n", []),
        ("OB502", sh("curl -fsS http://your-server:8000/health"), [2]),
        (
            "OB532",
            "## By hand\n\n### Step 1: Keep\n\n"
            + sh("mysqldump shop > /b/before.sql")
            + "\n### Step 2: Load\n\n"
            + sh("gunzip -c shop-20260101.sql.gz | mysql shop\nmysql shop -e 'SELECT count(*) FROM t'"),
            [],
        ),
    ],
)
def test_it_finds_more_and_leaves_the_rest(rule: str, text: str, lines: list[int]) -> None:
    assert found(text, rule) == lines
