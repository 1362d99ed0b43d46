"""Blanks, contradictions and drifting names as other teams would write them."""

from __future__ import annotations

FAULTY = [
    ("OB512", "```bash\ngit clone https://github.com/YOUR_ORG/shop.git\n```"),
    ("OB512", "```bash\ngit clone https://github.com/your-username/shop.git\n```"),
    ("OB512", "```bash\ndocker pull yourusername/shop-api:1.2\n```"),
    ("OB512", "```bash\ndocker pull your-registry/shop-api:1.2\n```"),
    ("OB512", "```bash\ndocker push your-registry.com/shop-api:1.2\n```"),
    ("OB512", "```bash\naws s3 cp a.gz s3://YOUR_BUCKET/backups/\n```"),
    ("OB512", "```bash\nssh ubuntu@YOUR_SERVER_IP uptime\n```"),
    ("OB512", "```bash\nssh deploy@your-server uptime\n```"),
    ("OB512", "```bash\nssh user@server 'uptime'\n```"),
    ("OB512", "```python\nimport ldap3\ns = ldap3.Server('YOUR_LDAP_HOST', port=389)\n```"),
    (
        "OB512",
        "```bash\n"
        'curl -X POST https://hooks.slack.com/services/YOUR/WEBHOOK/URL -d \'{"text":"down'
        "\"}' -H 'Content-Type: application/json'\n"
        "```",
    ),
    ("OB512", "```bash\ndocker logs container_name\n```"),
    ("OB512", "```bash\ndocker logs CONTAINER_ID\n```"),
    ("OB512", "```bash\ngit checkout previous-version\ndocker compose up -d --build\n```"),
    ("OB512", "```bash\ndocker pull shop/api:vX.Y.Z\n```"),
    ("OB512", "```bash\naws ec2 describe-instances --instance-ids i-xxxxxxxx\n```"),
    ("OB512", "```bash\naws ec2 reboot-instances --instance-ids i-1234567890abcdef0\n```"),
    ("OB512", "```bash\ndocker pull 123456789012.dkr.ecr.us-east-1.amazonaws.com/shop:1.2\n```"),
    ("OB512", "```bash\naws route53 list-resource-record-sets --hosted-zone-id Z1234567890ABC\n```"),
    ("OB512", "```bash\naws sns publish --topic-arn arn:aws:sns:us-east-1:xxxxxxxxxxxx:alerts --message x\n```"),
    ("OB512", "```bash\naws cloudfront create-invalidation --distribution-id EXXXXXXXXXXXXX --paths '/*'\n```"),
    (
        "OB513",
        "## Contacts\n\n| Role | Email |\n|---|---|\n| On-call | oncall@example.com |\n| DBA | dba@example.com |",
    ),
    ("OB513", "## Contacts\n\n| Role | Email |\n|---|---|\n| On-call | oncall@shop.local |\n| DBA | dba@shop.local |"),
    ("OB513", "## Contacts\n\n- On-call: +1-555-0100\n- DBA: +1-555-0101"),
    ("OB513", "## Contacts\n\n| Role | Phone |\n|---|---|\n| On-call | +1-234-567-8900 |"),
    ("OB513", "## Contacts\n\n- Backend: @username\n- On-call: @oncall-handle"),
    ("OB513", "## Emergency Contacts\n\n| Role | Name | Phone |\n|---|---|---|\n| DBA | | |\n| Lead | | |"),
    ("OB513", "## Emergency Contacts\n\n- DBA: ____________"),
    ("OB514", "## Restore\n\nTODO: describe the restore"),
    ("OB514", "## Restore\n\n_Coming soon._"),
    ("OB514", "## Failover\n\nFIXME write this section."),
    (
        "OB515",
        "```bash\n"
        "mongodump --archive=/b/mongo_$(date +%F).gz --gzip\n"
        "```\n"
        "\n"
        "## Restore\n"
        "\n"
        "```bash\n"
        "python scripts/restore.py --backup-path /b/latest\n"
        "```",
    ),
    ("OB515", "## Restore\n\n```bash\ncp .env.production.backup /srv/shop/.env.production\n```"),
    ("OB516", "```bash\nk6 run load-test.js\n```"),
    ("OB516", "```bash\npsql -U shop -d shop -f fix_permissions.sql\n```"),
    ("OB516", "```bash\ncurl -X POST https://api.shop.io/x -H 'Content-Type: application/json' -d @payload.json\n```"),
    (
        "OB516",
        "```bash\n"
        "aws route53 change-resource-record-sets --hosted-zone-id Z0ABCDEF --change-batch"
        " file://failover.json\n"
        "```",
    ),
    ("OB516", "```bash\nkubectl apply -f rollback.yaml -n shop\n```"),
    ("OB551", "Backups are kept for 30 days.\n\n```bash\nset -e\nfind /backups -name '*.dump' -mtime +7 -delete\n```"),
    (
        "OB551",
        "**Retention**: 30 days\n"
        "\n"
        "```bash\n"
        "# keep the last 30 days\n"
        "find /backups -name 'shop_*.sql.gz' -mtime +14 -delete\n"
        "```",
    ),
    ("OB551", "```bash\n# Delete backups older than 30 days\nfind /backups -name '*.gz' -mtime +7 -delete\n```"),
    (
        "OB551",
        "| Backup | Retention |\n"
        "|---|---|\n"
        "| Daily | 7 days |\n"
        "\n"
        "## Cleanup\n"
        "\n"
        "```bash\n"
        "find /backups/daily -name '*.gz' -mtime +30 -delete\n"
        "```",
    ),
    ("OB552", "**Last Updated**: 2025-11-27\n\n## A\n\ntext\n\n**Last Updated**: 2025-11-21"),
    ("OB552", "**Version**: 2.0\n\n## A\n\ntext\n\n**Document Version**: 1.0"),
    (
        "OB553",
        "```yaml\n"
        "- alert: Down\n"
        '  expr: up{job="api"} == 0\n'
        "  for: 5m\n"
        "  labels: {severity: critical}\n"
        "  annotations:\n"
        '    description: "API has been down for more than 1 minute"\n'
        "```",
    ),
    (
        "OB553",
        "```yaml\n"
        "- alert: HighErrors\n"
        '  expr: sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_reques'
        "ts_total[5m])) > 0.01\n"
        "  for: 5m\n"
        "  annotations:\n"
        '    description: "Error rate is above 5%"\n'
        "```",
    ),
    (
        "OB553",
        "```yaml\n"
        "- alert: HighCPU\n"
        "  expr: cpu_usage_percent > 90\n"
        "  for: 5m\n"
        "  annotations:\n"
        '    summary: "CPU usage above 80%"\n'
        "```",
    ),
    (
        "OB557",
        "## Recovery\n"
        "\n"
        "```bash\n"
        "./scripts/restore.sh --point-in-time='2025-01-01 10:00'\n"
        "```\n"
        "\n"
        "## Backups\n"
        "\n"
        "Daily pg_dump at 02:00.",
    ),
    (
        "OB557",
        "## Point-in-time recovery\n"
        "\n"
        "Restore the database to any point in time:\n"
        "\n"
        "```bash\n"
        "pg_restore -h db -U shop -d shop_new /b/shop.dump\n"
        "```\n"
        "\n"
        "## Backups\n"
        "\n"
        "Daily pg_dump at 02:00.",
    ),
    (
        "OB556",
        "```bash\n"
        "docker compose stop api worker beat\n"
        "docker exec db dropdb -U shop shop\n"
        "docker exec db createdb -U shop shop\n"
        "docker exec -i db pg_restore -U shop -d shop < /b/a.dump\n"
        "docker compose up -d\n"
        "```\n"
        "\n"
        "## From SQL\n"
        "\n"
        "```bash\n"
        "docker compose stop api\n"
        "docker exec db dropdb -U shop shop\n"
        "docker exec db createdb -U shop shop\n"
        "gunzip -c /b/a.sql.gz | docker exec -i db psql -U shop -d shop\n"
        "docker compose up -d\n"
        "```",
    ),
    (
        "OB555",
        "## Restore\n"
        "\n"
        "```bash\n"
        "#!/bin/bash\n"
        "# restore.sh\n"
        'FILE="$1"\n'
        'psql -U shop -d shop_new -v ON_ERROR_STOP=1 < "$FILE"\n'
        "```\n"
        "\n"
        "## Emergency\n"
        "\n"
        "```bash\n"
        "./scripts/restore.sh --latest --verify\n"
        "```",
    ),
    (
        "OB558",
        "The HPA scales on CPU and memory:\n"
        "\n"
        "```yaml\n"
        "apiVersion: autoscaling/v2\n"
        "kind: HorizontalPodAutoscaler\n"
        "metadata:\n"
        "  name: api\n"
        "  namespace: shop\n"
        "spec:\n"
        "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}\n"
        "  minReplicas: 2\n"
        "  maxReplicas: 10\n"
        "  metrics:\n"
        "  - type: Resource\n"
        "    resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}\n"
        "```",
    ),
    ("OB554", "| Severity | Response |\n|---|---|\n| P1 | 1 hour |\n| P2 | 30 minutes |"),
    ("OB559", "```bash\ncd /Users/anna/projects/shop\ndocker compose up -d\n```"),
    ("OB559", "```bash\ncd /home/anna/Development/shop && docker compose up -d\n```"),
    (
        "OB560",
        "```bash\n"
        "docker logs shop-db\n"
        "docker exec shop-db psql -U a -d shop -c 'select 1'\n"
        "docker restart shop-db\n"
        "docker exec shop_db pg_isready\n"
        "```",
    ),
    (
        "OB560",
        "```bash\n"
        "psql -U shop -d shop_production -c 'select 1'\n"
        "pg_dump -U shop -d shop_production > a\n"
        "psql -U shop -d shop_production -c 'select 2'\n"
        "psql -U shop -d shopprod -c 'select 3'\n"
        "```",
    ),
    (
        "OB560",
        "```bash\n"
        "kubectl get pods -n shop-prod\n"
        "kubectl logs deploy/api -n shop-prod\n"
        "kubectl get svc -n shop-prod\n"
        "kubectl get pods -n shop-production\n"
        "```",
    ),
    (
        "OB560",
        "```bash\n"
        "psql -U shop_user -d shop -c 'select 1'\n"
        "pg_dump -U shop_user -d shop > a\n"
        "psql -U shop_user -d shop -c 'select 2'\n"
        "psql -U shopuser -d shop -c 'select 3'\n"
        "```",
    ),
    (
        "OB310",
        "```bash\n"
        "kubectl get pods -n shop\n"
        "kubectl logs deploy/api -n shop\n"
        "kubectl scale deploy/api --replicas=3 -n shop\n"
        "kubectl rollout restart deploy/worker\n"
        "```",
    ),
    (
        "OB310",
        "```bash\n"
        "kubectl get pods -n shop\n"
        "kubectl logs deploy/api -n shop\n"
        "kubectl scale deploy/api --replicas=3 -n shop\n"
        "kubectl run migrate --image=shop/api:1.2 --rm -i --restart=Never -- alembic upgrade head\n"
        "```",
    ),
    (
        "OB310",
        "```bash\n"
        "kubectl get pods -n shop\n"
        "kubectl logs deploy/api -n shop\n"
        "kubectl scale deploy/api --replicas=3 -n shop\n"
        "kubectl create job b --from=cronjob/backup\n"
        "```",
    ),
]
QUIET = [
    "```bash\ndocker pull registry.example.com/shop-api:1.2\n```\n",
    "```bash\naws s3 cp a.gz s3://shop-backups/\n```\n",
    "```bash\nssh deploy@prod-1 uptime\n```\n",
    "```bash\ngit checkout <commit-sha>\ndocker compose up -d --build\n```\n",
    "## Contacts\n\n| Role | Email |\n|---|---|\n| On-call | oncall@company.com |\n",
    "```bash\ncurl -f http://localhost:8000/health\n```\n",
    "```bash\ncurl -f https://api.example.com/health\n```\n",
    "```bash\nkubectl config use-context prod\n```\n",
    "RPO: 5 minutes\n\nWAL archiving is continuous (wal-g).\n\n- Daily full backup at 02:00\n",
]
