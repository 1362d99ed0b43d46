"""Good practice and harmless text that looks like a fault: lint says nothing graver than a hint."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Severity, lint_document


def sh(text: str) -> str:
    return f"```bash\n{text}\n```\n"


def sql(text: str) -> str:
    return f"```sql\n{text}\n```\n"


def promql(text: str) -> str:
    return f"```promql\n{text}\n```\n"


QUIET = [
    sh("docker exec -u postgres db psql -c 'SELECT 1'"),
    sh("docker exec -e PGUSER=app db psql -c 'SELECT 1'"),
    sh("kubectl exec -it db-0 -n shop -- psql -U app -d shop"),
    sh("kubectl logs deployment/api -n shop | grep ERROR"),
    sh("kubectl delete pod -n shop --field-selector=status.phase=Failed"),
    sh("kubectl delete job migrate-20240101 -n shop"),
    sh("kubectl get pods -A\nkubectl get nodes\nkubectl get pods -n shop\nkubectl get svc -n shop\nkubectl top nodes"),
    sh("kubectl config set-context --current --namespace=shop\nkubectl rollout restart deployment/api"),
    sh("docker image prune -f --filter until=240h"),
    sh("docker compose down\ndocker compose pull\ndocker compose up -d"),
    sh("docker compose logs -f --tail=100 api"),
    sh("docker logs api --since 10m 2>&1 | grep ERROR"),
    sh("openssl rand -base64 32"),
    sh("openssl rand -hex 64"),
    sh("curl -fsS https://api.shop.com/health"),
    sh("curl -s 'http://prometheus:9090/api/v1/query?query=up'"),
    sh("curl -g 'http://prometheus:9090/api/v1/query?query=rate(x_total[5m])'"),
    sh("curl -6 'http://[::1]:8080/health'"),
    sh("curl -O 'https://files.shop.com/log-[1-5].txt'"),
    sh("curl -X POST https://api.shop.com/a -H 'Content-Type: application/json' -d '{\"a\": 1}'"),
    sh("curl -X POST https://hooks.slack.com/services/a/b -d '{\"text\": \"down\"}'"),
    sh("if ! curl -fsS http://localhost:8080/health; then systemctl restart api; fi"),
    sh("rm -rf /tmp/build-cache"),
    sh('rm -rf "${BUILD_DIR:?}"/*'),
    sh("BUILD_DIR=/srv/build\nrm -rf $BUILD_DIR/*"),
    sh("psql -U app -d shop -f schema.sql"),
    sh("psql -U app -d shop <<'EOF'\nBEGIN;\nUPDATE orders SET state = 'open' WHERE id = 7;\nCOMMIT;\nEOF"),
    sh("psql -U app -d postgres -c 'CREATE DATABASE shop'"),
    sh("pg_dump -U app -Fc shop -f /backups/shop.dump"),
    sh("pg_restore --list shop.dump"),
    sh("createdb -U app shop_restored\npg_restore -U app -d shop_restored shop.dump"),
    sh("redis-cli --scan --pattern 'cache:*' | xargs -r redis-cli UNLINK"),
    sh("redis-cli -n 1 INFO keyspace\nredis-cli DBSIZE\nredis-cli SLOWLOG GET 10\nredis-cli CLIENT LIST"),
    sh("redis-cli FT.SEARCH idx hello\nredis-cli JSON.GET doc"),
    sh("systemctl status api\nsystemctl list-timers --all\njournalctl -u api -n 50 --no-pager"),
    sh("git fetch origin\ngit checkout v1.2.3"),
    sh("git log --oneline HEAD~5..HEAD"),
    sh("terraform plan -var=environment=staging -out=plan.out\nterraform apply plan.out"),
    sh("terraform -chdir=envs/staging apply"),
    sh("helm upgrade --install shop ./chart -n shop -f values.yaml --atomic"),
    sh("helm diff upgrade shop ./chart -n shop"),
    sh("kubectl neat get pod api-0 -n shop"),
    sh("go mod tidy\ngo vet ./..."),
    sh("npm ci\nnpm run build -- --mode production"),
    sh("for pod in $(kubectl get pods -n shop -o name); do kubectl exec -n shop $pod -- uptime; done"),
    sh("export TAG=1.2.3\necho $TAG\ndocker compose up -d"),
    sh("API_URL=https://api.shop.com\ncurl -fsS $API_URL/health"),
    sh("[ -f .env ] || cp .env.example .env\n[[ -z \"$1\" ]] && exit 1"),
    sh("cat <<'EOF' > /etc/cron.d/backup\n0 2 * * * root /usr/local/bin/backup\nEOF"),
    sh("awk '{print $1}' access.log | sort | uniq -c | sort -rn | head"),
    sh("tar -czf app-$(date +%F).tar.gz /srv/app && rm -rf /srv/app/tmp"),
    sh("(crontab -l; echo '0 3 * * * /srv/backup.sh') | crontab -"),
    sh("aws s3 sync ./public s3://shop-assets --delete"),
    sh("celery -A app inspect active\ncelery -A app status"),
    sh("alembic current\nalembic upgrade head\nalembic downgrade -1"),
    "```text\n1. Check the pods\n2. Restart them\n```\n",
    "```console\n$ kubectl get pods -n shop\nNAME   READY   STATUS\napi-0  1/1     Running\n```\n",
    "```python\nimport os\nprint(os.environ['HOME'])\n```\n",
    "```json\n{\"a\": {\"expr\": \"sum(rate(http_requests_total[5m]))\"}}\n```\n",
    sql("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'public';"),
    sql("SELECT indexname, tablename FROM pg_indexes;"),
    sql("WITH big AS (SELECT relname AS tablename FROM pg_stat_user_tables) SELECT tablename FROM big;"),
    sql("SELECT s.relname, c.reltuples, i.label FROM pg_stat_user_tables s JOIN pg_class c ON "
"c.oid = s.relid JOIN info i ON i.id = c.oid;"),
    sql("SELECT a.pid, l.mode, now() - a.query_start AS duration FROM pg_stat_activity a JOIN "
"pg_locks l ON l.pid = a.pid ORDER BY duration;"),
    sql("SELECT query, total_exec_time / calls AS mean_time FROM pg_stat_statements ORDER BY mean_time DESC;"),
    sql("SELECT tablename FROM my_tables;\nSELECT username FROM users;"),
    sql("SELECT pg_terminate_backend(1234);"),
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = 1234;"),
    sql("VACUUM (VERBOSE, ANALYZE) orders;\nANALYZE orders;"),
    sql("ALTER SYSTEM SET work_mem = '16MB';\nSELECT pg_reload_conf();"),
    sql("SHOW shared_buffers;\nSET statement_timeout = '5s';"),
    sql("DELETE FROM sessions WHERE expires_at < now();"),
    sql("CREATE TABLE t (id int);\nCREATE INDEX ON t (id);"),
    "```mysql\nSHOW PROCESSLIST;\nSELECT user, host FROM mysql.user;\n```\n",
    promql('sum by (code) (rate(http_requests_total[5m]))'),
    promql('sum(rate(errors_total[5m])) / sum(rate(requests_total[5m])) > 0.05'),
    promql('rate(http_requests_total{code="500"}[5m]) / ignoring(code) group_left sum without '
'(code) (rate(http_requests_total[5m]))'),
    promql('rate(cache_hits_total[5m]) / (rate(cache_hits_total[5m]) + rate(cache_misses_total[5m]))'),
    promql('histogram_quantile(0.95, sum(rate(latency_seconds_bucket{job="api"}[5m])) by (le))'),
    promql('predict_linear(node_filesystem_avail_bytes[6h], 4 * 3600) < 0'),
    promql('100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) > 85'),
    promql('rate(queue_messages_total[5m]) > 100'),
    "Mail ops@acme.example or call +49 30 901820.\n",
    "- [ ] Rotate the keys\n- [x] Check backups\n",
    "See [the guide](#the-guide-2nd-edition).\n\n## The guide (2nd edition)\n",
    "RTO: 2 hours for the database, 30 minutes for the API.\n",
]  # fmt: skip


@pytest.mark.parametrize("text", QUIET, ids=range(len(QUIET)))
def test_it_is_silent(text: str) -> None:
    found = lint_document(read_document("# Shop\n\n" + text, "quiet.md"))
    assert [f"{f.rule} {f.message}" for f in found if f.severity is not Severity.HINT] == []
