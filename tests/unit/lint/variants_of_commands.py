"""Commands and blocks of other teams that do not run, or that only older releases took."""

from __future__ import annotations

FAULTY = [
    ("OB131", "```bash\ncat backup.sql | docker compose exec db psql -U shop -d shop\n```"),
    ("OB131", "```bash\ndocker compose exec db psql -U shop -d shop < backup.sql\n```"),
    ("OB131", "```bash\ncat backup.sql | docker exec shop-db psql -U shop -d shop\n```"),
    ("OB131", "```bash\ndocker exec shop-db psql -U shop -d shop < backup.sql\n```"),
    ("OB131", "```bash\ncat b.sql | kubectl exec postgres-0 -n shop -- psql -U shop -d shop\n```"),
    ("OB131", "```bash\nkubectl exec postgres-0 -n shop -- psql -U shop -d shop < backup.sql\n```"),
    ("OB131", "```bash\ndocker exec shop-db psql -U shop -d shop <<EOF\nSELECT 1;\nEOF\n```"),
    ("OB132", "```bash\ndocker exec shop-api cd /app && python manage.py migrate\n```"),
    ("OB142", "```cron\n0 2 * * * docker exec -it shop-db pg_dump -U shop shop > /b/shop.sql\n```"),
    ("OB140", "```cron\n0 25 * * * /srv/backup.sh\n```"),
    ("OB140", "```cron\n60 2 * * * /srv/backup.sh\n```"),
    ("OB140", "```cron\n0 2 * * /srv/backup.sh\n```"),
    ("OB141", "```cron\n# Every day at 2 AM\n0 3 * * * /srv/backup.sh\n```"),
    ("OB141", "```cron\n# Weekly on Sunday\n0 3 * * * /srv/backup.sh\n```"),
    ("OB141", "```cron\n# every 5 minutes\n5 * * * * /srv/check.sh\n```"),
    (
        "OB141",
        "```yaml\n"
        "apiVersion: batch/v1\n"
        "kind: CronJob\n"
        "metadata:\n"
        "  name: backup # daily at 02:00\n"
        "spec:\n"
        "  # every day at 2 AM\n"
        '  schedule: "0 4 * * *"\n'
        "  jobTemplate:\n"
        "    spec:\n"
        "      template:\n"
        "        spec:\n"
        "          restartPolicy: Never\n"
        "          containers:\n"
        "          - {name: b, image: shop/backup:1.2}\n"
        "```",
    ),
    ("OB133", "```bash\ndocker compose down\ndocker compose exec db psql -U shop -d shop -c 'SELECT 1'\n```"),
    (
        "OB133",
        "```bash\ndocker compose down\ndocker exec -i shop-db psql -U shop -d shop < b.sql\ndocker compose up -d\n```",
    ),
    ("OB133", "```bash\ndocker compose stop db\ndocker compose exec db pg_dump -U shop shop > b.sql\n```"),
    ("OB135", "```bash\ndocker exec redis redis-cli BGSAVE\nsleep 10\ncp /var/lib/redis/dump.rdb /backups/\n```"),
    ("OB134", "```bash\ndocker exec db pg_ctl promote\n```"),
    ("OB134", "```bash\ndocker compose exec postgres pg_ctl reload\n```"),
    ("OB132", '```bash\ndocker compose exec api sh -c "export POOL_SIZE=30 && supervisorctl restart all"\n```'),
    ("OB132", "```bash\ndocker exec api export LOG_LEVEL=debug\n```"),
    ("OB132", "```bash\nkubectl exec deploy/api -n shop -- export LOG_LEVEL=debug\n```"),
    ("OB143", "```bash\n# Edit .env\nWORKERS=8\ndocker compose restart api\n```"),
    ("OB143", "```bash\nMAX_CONNECTIONS=200\nsystemctl restart shop\n```"),
    ("OB355", "```bash\nkubectl logs -l app=api -n shop --since=1h | grep ERROR\n```"),
    ("OB356", "```bash\nkubectl scale deployment/api 3 -n shop\n```"),
    ("OB303", "```bash\nkubectl restart deployment api -n shop\n```"),
    ("OB356", "```bash\ndocker restart --all\n```"),
    ("OB303", "```bash\nservice restart nginx\n```"),
    ("OB350", "```bash\ncelery inspect -A shop active\n```"),
    ("OB350", "```bash\ncelery worker -A shop -l info\n```"),
    ("OB356", "```bash\ncelery -A shop purge --queue emails\n```"),
    ("OB356", "```bash\nalembic upgrade\n```"),
    ("OB356", "```bash\npg_dump -F gz shop > b\n```"),
    ("OB224", "```sql\nSELECT round((n_dead_tup::float/n_live_tup)*100, 2) FROM pg_stat_user_tables;\n```"),
    ("OB224", "```sql\nSELECT ROUND(100.0 * a::double precision / b, 2) FROM t;\n```"),
    ("OB225", '```bash\npsql -U shop -d shop -c "SHOW TABLES"\n```'),
    ("OB349", "```bash\nmysql -e 'SHOW SLAVE STATUS\\G'\n```"),
    ("OB349", "```sql\nSHOW SLAVE STATUS;\n```"),
    ("OB349", "```sql\nSHOW MASTER STATUS;\n```"),
    ("OB349", "```sql\nSTOP SLAVE;\nSTART SLAVE;\n```"),
    ("OB349", "```sql\nSHOW VARIABLES LIKE 'query_cache%';\n```"),
    ("OB349", "```sql\nGRANT ALL ON shop.* TO 'app'@'localhost' IDENTIFIED BY '${PW}';\n```"),
    ("OB349", "```sql\nSET PASSWORD FOR 'app'@'%' = PASSWORD('${PW}');\n```"),
    ("OB303", "```bash\nmongo shop --eval 'db.stats()'\n```"),
    ("OB303", "```bash\ndocker exec -it mongo mongo shop\n```"),
    ("OB354", "```bash\nmongosh shop --eval 'db.orders.ensureIndex({a:1})'\n```"),
    ("OB353", "```bash\nredis-cli SLAVEOF NO ONE\n```"),
    ("OB303", "```bash\ncurl -fsSL https://download.docker.com/linux/ubuntu/gpg | sudo apt-key add -\n```"),
    ("OB303", "```bash\nkubectl run api --generator=run-pod/v1 --image=shop/api:1.2 -n shop\n```"),
    ("OB351", "```bash\nkubectl exec -it api-7d9 -n shop bash\n```"),
    ("OB303", "```bash\nkubectl get deploy api -n shop -o yaml --export\n```"),
    ("OB303", "```bash\nkubectl get componentstatuses\n```"),
    ("OB352", "```bash\nkubectl create deploy api --image=shop/api:1.2 --dry-run -o yaml\n```"),
    ("OB303", "```bash\nhelm delete --purge shop\n```"),
    ("OB303", "```bash\ndocker-machine ssh prod\n```"),
    ("OB303", "```bash\ndocker scan shop/api:1.2\n```"),
    ("OB354", "```dockerfile\nFROM node:14-alpine\n```"),
    ("OB303", "```bash\npython2 manage.py migrate\n```"),
    ("OB303", "```bash\npython setup.py install\n```"),
    ("OB303", "```bash\nnpm ci --only=production\n```"),
    ("OB303", "```bash\n$(aws ecr get-login --no-include-email)\n```"),
    ("OB303", "```bash\n./certbot-auto renew\n```"),
    ("OB303", "```bash\nsudo ntpdate pool.ntp.org\n```"),
    ("OB354", "```bash\nls /var/lib/postgresql/9.6/main/pg_xlog\n```"),
    ("OB354", "```bash\ncat > $PGDATA/recovery.conf <<EOF\nrestore_command = 'cp /wal/%f %p'\nEOF\n```"),
    ("OB425", "```python\nimport redis\nr = redis.Redis(\nprint(r.info()\n```"),
    ("OB425", "```python\nimport sys\nprint 'hello'\n```"),
    ("OB425", "```python\ndef f():\nreturn 1\n```"),
    ("OB426", '```json\n{"a": 1,\n "b": 2,\n}\n```'),
    ("OB426", "```bash\ncurl -X POST https://a.shop.io/x -H 'Content-Type: application/json' -d '{\"a\": 1,}'\n```"),
    ("OB426", "```bash\ncurl -X POST https://a.shop.io/x -H 'Content-Type: application/json' -d \"{'a': 1}\"\n```"),
    (
        "OB426",
        "```bash\n"
        "TEXT=down\n"
        "curl -X POST https://a.shop.io/x -H 'Content-Type: application/json' -d '{\"text\": \"$TEXT\"}'\n"
        "```",
    ),
    ("OB427", "```nginx\nserver {\n    listen 80\n    server_name shop.io;\n}\n```"),
    ("OB427", "```nginx\nserver {\n    listen 80;\n    location / {\n        proxy_pass http://api:8000;\n}\n```"),
    (
        "OB428",
        "```ini\n"
        "[Unit]\n"
        "Description=Shop\n"
        "[Service]\n"
        "ExecStart=gunicorn shop.wsgi\n"
        "Restart=allways\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
        "```",
    ),
    (
        "OB428",
        "```ini\n"
        "[Unit]\n"
        "Description=Shop\n"
        "[Service]\n"
        "ExecStart=./venv/bin/gunicorn shop.wsgi\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
        "```",
    ),
    ("OB429", "```bash\nsudo nano /etc/systemd/system/shop.service\nsudo systemctl restart shop\n```"),
    ("OB303", "```bash\nsudo cd /srv/shop\n```"),
    ("OB357", "Ubuntu 22.04 host.\n\n```bash\nopen http://localhost:3000\n```"),
    ("OB136", "```bash\ndocker cp shop-db:/backups/*.sql .\n```"),
    ("OB136", "```bash\nkubectl cp shop/postgres-0:/backups/*.sql .\n```"),
    ("OB356", "```bash\naws s3 cp /backups/ s3://shop-backups/\n```"),
    ("OB356", "```bash\ntar -xzf -C /srv backup.tar.gz\n```"),
    ("OB356", "```bash\ntar -cfz backup.tar.gz /srv/shop\n```"),
    ("OB303", "```bash\npm2 reboot api\n```"),
    ("OB303", "```bash\nsupervisorctl reboot all\n```"),
]
QUIET = [
    "```bash\ndocker exec shop-db pg_dump -U shop shop > /backups/shop.sql\n```\n",
    "```bash\nkubectl rollout restart pod/api -n shop\n```\n",
    "```bash\ndocker logs -n 100 api\n```\n",
    "```bash\nredis-cli CLUSTER NODES\n```\n",
    "```bash\nalembic downgrade -1\n```\n",
    "```bash\npython manage.py migrate --plan\npython manage.py migrate\n```\n",
    "```sql\nSELECT round((n_dead_tup::numeric/nullif(n_live_tup,0))*100, 2) FROM pg_stat_user_tables;\n```\n",
    (
        "```sql\n"
        "SELECT round(100.0 * sum(heap_blks_hit) / nullif(sum(heap_blks_hit) + sum(heap_b"
        "lks_read),0), 2) FROM pg_statio_user_tables;\n"
        "```\n"
    ),
    "```sql\nSELECT blk_read_time FROM pg_stat_database;\n```\n",
    "```bash\ndocker run --link db:db shop/api:1.2\n```\n",
    "```bash\nnpm ci --omit=dev\n```\n",
    "```bash\nnetstat -tulpn | grep 8000\n```\n",
    "```bash\nyum install -y nginx\n```\n",
    "```bash\ntouch /tmp/postgresql.trigger\n```\n",
    "```python\nconn = await asyncpg.connect(DSN)\nrows = await conn.fetch('SELECT 1')\n```\n",
    "```python\nengine = create_engine(\n    URL,\n    ...\n)\n```\n",
    '```json\n{\n  // only a hint\n  "a": 1\n}\n```\n',
    '```json\n{\n  "a": 1,\n  ...\n}\n```\n',
    "```bash\nsudo nano /etc/nginx/sites-enabled/shop\nsudo systemctl reload nginx\n```\n",
    "```bash\nsysctl -w net.core.somaxconn=1024\n```\n",
    "```bash\nulimit -n 65535\nsystemctl restart nginx\n```\n",
    "```bash\ndate -v-7d +%F\n```\n",
    "```bash\ndocker compose ps | grep -c Up\n```\n",
    "```bash\ndocker compose exec api ping -c 3 db\n```\n",
    "```bash\nscp db1:/backups/*.sql .\n```\n",
    "```bash\ngunzip -c a.gz > a\n```\n",
    "```bash\nopenssl x509 -in cert.pem -noout -enddate\n```\n",
    "```bash\ncertbot renew\n```\n",
    "```bash\nnpm audit --production\n```\n",
    "```bash\nnginx -t && nginx -s reload\n```\n",
    '```bash\npsql -U shop -d shop -c "\\copy t TO t.csv CSV"\n```\n',
    "```bash\nmysql -u root -p shop\n```\n",
    "```bash\ndocker stats --no-stream\n```\n",
]
