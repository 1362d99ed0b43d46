"""What a code block holds, whatever its tag says."""

from __future__ import annotations

import pytest

from opsbook.manual.language import guess_language


@pytest.mark.parametrize(
    ("tag", "text", "language"),
    [
        ("bash", "ls -la\n", "bash"),
        ("", "kubectl get pods\n# then\nkubectl top pods\n", "bash"),
        ("", "./scripts/deploy.sh --now\n", "bash"),
        ("bash", "CREATE USER app WITH PASSWORD 'x';\nGRANT SELECT ON t TO app;\n", "sql"),
        ("bash", "# comment\nALTER SYSTEM SET work_mem = '4MB';\n", "sql"),
        ("", "SELECT count(*)\nFROM pg_stat_activity\nWHERE state = 'idle';\n", "sql"),
        ("postgresql", "VACUUM;\n", "sql"),
        ("bash", "maxmemory 4gb\nmaxmemory-policy allkeys-lru\n", "conf"),
        ("python", "# debug\nscrapy crawl books -s LOG_LEVEL=DEBUG\n", "bash"),
        ("python", "import os\nprint(os.getcwd())\n", "python"),
        ("", '{"a": [1, 2]}\n', "json"),
        ("", "groups:\n  - name: x\n    rules: []\n", "yaml"),
        ("bash", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n", "yaml"),
        ("", "rate(http_requests_total[5m])\n", "promql"),
        ("", 'up{job="api"} == 0\n', "promql"),
        ("", "$ ls\nfile\n", "console"),
        ("", "ops@web1:~$ uptime\n 10:00 up\n", "console"),
        ("", "┌────┐\n│ API│\n└────┘\n", "diagram"),
        ("bash", "DATABASE_URL=postgres://x\nAPI_PORT=8000\n", "env"),
        ("bash", "NOW=$(date)\necho $NOW\n", "bash"),
        ("bash", "# nightly\n0 3 * * * /usr/local/bin/backup.sh\n", "crontab"),
        ("", "FROM python:3.11\nRUN pip install x\n", "dockerfile"),
        ("", "server {\n  listen 80;\n  proxy_pass http://app;\n}\n", "nginx"),
        ("", 'resource "aws_instance" "x" {\n}\n', "hcl"),
        ("", "[unit]\nkey = value\n", "ini"),
        ("", "Subject: outage\nTo: all\n\nWe are down.\n", "text"),
        ("text", "/srv/secrets/list.md\n", "text"),
        ("mermaid", "graph TD\n", "mermaid"),
        ("", "#!/usr/bin/env python3\nprint(1)\n", "python"),
        ("", "", "text"),
    ],
)
def test_it_tells_the_language_of_a_block(tag: str, text: str, language: str) -> None:
    assert guess_language(tag, text) == language
