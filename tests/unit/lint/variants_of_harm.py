"""Harm and secrets as other teams would write them: other tools, options in another order, other file formats."""

from __future__ import annotations

FAULTY = [
    ("OB634", "```bash\ndocker run -d --name api -p 127.0.0.1:8000:8000 shop-api:latest\n```"),
    (
        "OB634",
        "```bash\n"
        "kubectl run migrate --image=shop-api:latest --rm -i --restart=Never -n shop -- a"
        "lembic upgrade head\n"
        "```",
    ),
    ("OB634", "```yaml\nservices:\n  api:\n    image: shop/api:latest\n    restart: always\n```"),
    ("OB634", "```bash\nkubectl set image deployment/api api=shop-api:latest -n shop\n```"),
    ("OB634", "```bash\nhelm upgrade shop ./chart -n shop --set image.tag=latest\n```"),
    ("OB634", "```bash\ndocker service update --image shop-api:latest shop_api\n```"),
    (
        "OB634",
        "```yaml\n"
        "apiVersion: apps/v1\n"
        "kind: Deployment\n"
        "metadata:\n"
        "  name: api\n"
        "spec:\n"
        "  selector:\n"
        "    matchLabels: {app: api}\n"
        "  template:\n"
        "    metadata:\n"
        "      labels: {app: api}\n"
        "    spec:\n"
        "      containers:\n"
        "      - name: api\n"
        "        image: shop-api:latest\n"
        "```",
    ),
    ("OB634", "```dockerfile\nFROM node:latest\nCOPY . .\n```"),
    (
        "OB632",
        "```python\n"
        "import psycopg2\n"
        "conn = psycopg2.connect(host='db', dbname='shop', user='shop', password='shop_prod_pw')\n"
        "```",
    ),
    ("OB632", "```python\nimport os\npw = os.getenv('POSTGRES_PASSWORD', 'shop_dev_2024')\n```"),
    (
        "OB632",
        "```yaml\n"
        "services:\n"
        "  db:\n"
        "    image: postgres:16.2\n"
        "    environment:\n"
        "      POSTGRES_PASSWORD: Sup3rS3cret\n"
        "```",
    ),
    (
        "OB632",
        "```yaml\n"
        "services:\n"
        "  db:\n"
        "    image: postgres:16.2\n"
        "    environment:\n"
        "      - POSTGRES_PASSWORD=Sup3rS3cret\n"
        "```",
    ),
    ("OB632", "```bash\ndocker run -d -e POSTGRES_PASSWORD=Sup3rS3cret postgres:16.2\n```"),
    ("OB632", "```env\nDB_HOST=db\nDB_PASSWORD=Sup3rS3cret9\n```"),
    ("OB632", "```env\nDATABASE_URL=postgresql://shop:Sup3rS3cret9@db:5432/shop\n```"),
    ("OB632", "```bash\npsql postgresql://shop:Sup3rS3cret9@db:5432/shop -c 'SELECT 1'\n```"),
    ("OB632", "```bash\nmongodump --uri mongodb://admin:S3cretPw@mongo:27017/shop --out /backups/mongo\n```"),
    ("OB632", "```bash\nmongosh -u admin -p S3cretPw shop --eval 'db.stats()'\n```"),
    ("OB632", "```bash\nsshpass -p S3cretPw ssh root@db1 uptime\n```"),
    (
        "OB632",
        "```bash\n"
        "curl -X POST https://api.shop.io/login -H 'Content-Type: application/json' -d '{"
        '"username":"admin","password":"ShopNAC2026"}\'\n'
        "```",
    ),
    ("OB632", "```bash\npsql -U postgres -d shop -c \"ALTER ROLE shop WITH PASSWORD 'Winter2024!'\"\n```"),
    (
        "OB632",
        "```yaml\n"
        "apiVersion: v1\n"
        "kind: Secret\n"
        "metadata:\n"
        "  name: db\n"
        "  namespace: shop\n"
        "stringData:\n"
        "  password: Sup3rS3cret9\n"
        "```",
    ),
    ("OB642", "## Access\n\nGrafana: http://localhost:3000 (admin/admin)"),
    ("OB642", "| Service | URL | Login |\n|---|---|---|\n| Grafana | http://grafana.shop.io | admin / admin |"),
    ("OB633", "```bash\necho $STRIPE_API_KEY\n```"),
    ("OB633", "```bash\ndocker compose exec api printenv DATABASE_URL\n```"),
    ("OB633", "```bash\nkubectl exec deploy/api -n shop -- env | grep -i password\n```"),
    ("OB633", "```bash\ncat .env\n```"),
    ("OB633", "```bash\nkubectl get secret db -n shop -o jsonpath='{.data.password}' | base64 -d\n```"),
    ("OB684", "```bash\ncurl -X POST http://api.shop.io/login -d 'user=ops&password=$PW'\n```"),
    ("OB682", "```bash\ndocker run --privileged -v /:/host alpine:3.19 sh\n```"),
    ("OB682", "```yaml\nservices:\n  agent:\n    image: shop/agent:1.2\n    privileged: true\n```"),
    ("OB681", '```bash\necho "host all all 0.0.0.0/0 trust" >> /etc/postgresql/15/main/pg_hba.conf\n```'),
    ("OB681", "```\nhost    all    all    0.0.0.0/0    trust\n```"),
    (
        "OB681",
        "```yaml\n"
        "services:\n"
        "  db:\n"
        "    image: postgres:16.2\n"
        "    environment:\n"
        "      POSTGRES_HOST_AUTH_METHOD: trust\n"
        "```",
    ),
    ("OB680", '```yaml\nservices:\n  db:\n    image: postgres:16.2\n    ports:\n      - "5432:5432"\n```'),
    ("OB680", "```bash\ndocker run -d -p 6379:6379 redis:7.2\n```"),
    ("OB681", "```bash\nredis-cli CONFIG SET protected-mode no\n```"),
    ("OB682", "```bash\nsudo ufw disable\n```"),
    ("OB682", "```bash\nsudo iptables -F\n```"),
    ("OB682", "```bash\nsudo setenforce 0\n```"),
    ("OB682", "```bash\ngit config --global http.sslVerify false\n```"),
    ("OB640", "```bash\nopenssl rand -base64 32 > /tmp/new_secret.txt\n```"),
    ("OB640", "```bash\nset -e\npg_dump -U shop shop > /tmp/shop.sql\n```"),
    ("OB683", "```sql\nGRANT ALL PRIVILEGES ON *.* TO 'app'@'%';\n```"),
    ("OB683", "```sql\nALTER USER app WITH SUPERUSER;\n```"),
    (
        "OB682",
        "```bash\nkubectl create clusterrolebinding ops --clusterrole=cluster-admin --serviceaccount=shop:default\n```",
    ),
    ("OB682", "```bash\naws s3 cp backup.sql s3://shop-backups/ --acl public-read\n```"),
    ("OB632", "```bash\ngit clone https://ops:ghp_abcdefghijklmnopqrstuvwxyz0123456789@github.com/shop/api.git\n```"),
    ("OB657", "```bash\nmongosh shop --eval 'db.orders.deleteMany({})'\n```"),
    ("OB654", "```bash\nfind /srv/shop/backups -mtime +30 -delete\n```"),
    ("OB654", "```bash\nfind /backups -mtime +7 -exec rm -rf {} \\;\n```"),
    ("OB656", "```bash\nsudo systemctl stop postgresql\nsudo rm -rf /var/lib/postgresql/15/main\n```"),
    ("OB621", "```bash\ndocker volume prune -f\n```"),
    ("OB621", "```bash\ndocker system prune -af --volumes\n```"),
    ("OB621", "```bash\ndocker system prune -a\n```"),
    ("OB621", "```bash\ndocker system prune -af\n```"),
    (
        "OB655",
        "```bash\n"
        'docker run --rm -v shop_certs:/certs -v /backups:/backup alpine:3.19 sh -c "rm -'
        'rf /certs/* && tar xzf /backup/certs.tar.gz -C /certs"\n'
        "```",
    ),
    ("OB660", "```bash\nkubectl delete pod postgres-0 -n shop --grace-period=0 --force\n```"),
    ("OB656", "```bash\ngit clean -fdx\n```"),
    ("OB656", "```bash\naws s3 sync /backups s3://shop-backups --delete\n```"),
    ("OB656", "```bash\nkafka-topics.sh --bootstrap-server kafka:9092 --delete --topic orders\n```"),
    ("OB656", "```bash\ncurl -X DELETE 'http://elasticsearch:9200/orders'\n```"),
    ("OB656", "```bash\nrm /var/lib/redis/dump.rdb\n```"),
    ("OB656", "```bash\npython manage.py flush --no-input\n```"),
    ("OB656", "```bash\nsudo rm -rf /var/log/*\n```"),
    ("OB656", "```bash\naws rds delete-db-instance --db-instance-identifier shop --skip-final-snapshot\n```"),
    ("OB656", "```bash\ndd if=/dev/zero of=/dev/sda bs=1M\n```"),
    ("OB656", "```bash\nmkfs.ext4 /dev/sdb1\n```"),
    ("OB658", "```bash\npkill -9 -f gunicorn\n```"),
    ("OB658", "```bash\nlsof -ti:8000 | xargs kill -9\n```"),
    ("OB138", "```bash\ndocker exec redis redis-cli SAVE\n```"),
    ("OB138", "```bash\nredis-cli MONITOR\n```"),
    ("OB525", "```bash\npg_dump -U shop -Fc -f /b/shop.dump shop\n# Verify backup\nls -lh /b/shop.dump\n```"),
    ("OB525", "```bash\npg_dump -U shop -Fc -f /b/shop.dump shop\n# Verify the backup\ndu -sh /b/shop.dump\n```"),
    ("OB525", "```bash\naws s3 cp /b/shop.dump s3://shop-backups/\n# Verify backup\naws s3 ls s3://shop-backups/\n```"),
    (
        "OB659",
        "## Failover\n"
        "```bash\n"
        "kubectl exec postgres-1 -n shop -- pg_ctl promote -D /var/lib/postgresql/data\n"
        "kubectl rollout restart deployment/api -n shop\n"
        "```",
    ),
    ("OB659", "## Failover\n```sql\nSELECT pg_promote();\n```"),
    ("OB659", "## Failover\n```bash\nredis-cli -h replica REPLICAOF NO ONE\n```"),
    ("OB660", "```bash\npg_ctl stop -m immediate -D /var/lib/postgresql/data\n```"),
    ("OB660", "```bash\npsql -U postgres -c 'ALTER SYSTEM SET fsync = off'\n```"),
]
QUIET = [
    "```bash\ncurl -k https://api.shop.io/health\n```\n",
    (
        "```yaml\n"
        "services:\n"
        "  agent:\n"
        "    image: shop/agent:1.2\n"
        "    volumes:\n"
        "      - /var/run/docker.sock:/var/run/docker.sock\n"
        "```\n"
    ),
    "```bash\nssh -o StrictHostKeyChecking=no root@db1 uptime\n```\n",
    "```bash\nssh root@db1 uptime\n```\n",
    "```bash\nnpx prisma db push --accept-data-loss\n```\n",
    "```bash\ntruncate -s 0 /var/log/shop/app.log\n```\n",
    "```bash\ndocker kill shop-api\n```\n",
    "```bash\ngit pull\ndocker compose up -d --build\n```\n",
    "```bash\nsudo apt update && sudo apt upgrade -y\n```\n",
    "```bash\nuntil curl -sf http://localhost:8000/health; do sleep 1; done\n```\n",
]
