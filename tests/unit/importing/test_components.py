"""Which parts of a system an import sees, and which it must not make up."""

from __future__ import annotations

from opsbook.catalogue import catalogue
from opsbook.cli.import_ import _mistakes
from opsbook.manual.importing.make import make
from opsbook.manual.importing.report import report
from opsbook.manual.importing.report_html import as_html
from opsbook.manual.lift.inventory import Part


def parts(script: str, before: str = "") -> dict[str, Part]:
    text = f"# System\n\n{before}\n\n## Do it\n\n```bash\n{script}\n```\n"
    return make([("m.md", text)], catalogue(), _mistakes).inventory.parts


def test_a_client_of_another_host_does_not_make_its_container_a_server() -> None:
    found = parts(
        "kubectl exec deploy/orders -- redis-cli -h $CACHE_HOST ping\nkubectl exec deploy/orders -- pg_isready -h pg"
    )
    assert found["orders"].kind == "workload"
    assert {part.kind for part in found.values()} >= {"redis", "postgres"}


def test_a_client_in_its_own_container_tells_what_runs_there() -> None:
    found = parts("kubectl exec store-0 -- psql -U u -c 'SELECT 1'")
    assert (found["database"].kind, found["database"].workload) == ("postgres", "store")


def test_containers_of_a_compose_project_are_their_services() -> None:
    found = parts("docker compose restart billing\ndocker inspect acme-billing-1\ndocker compose ps")
    assert [part.workload for part in found.values() if part.workload] == ["billing"]


def test_two_ports_of_one_machine_are_two_services() -> None:
    found = parts("docker compose restart api\ncurl http://localhost:8000/health\ncurl http://localhost:8100/health")
    assert found["api"].hosts == {"localhost:8000"}


def test_the_side_that_an_address_names_is_meant() -> None:
    found = parts(
        "kubectl rollout status deployment/web-blue\nkubectl rollout status deployment/web-api\n"
        "curl https://blue.shop.example/health\ncurl https://www.shop.example/health"
    )
    assert found["web-blue"].hosts == {"blue.shop.example"}
    assert found["web-api"].hosts == {"www.shop.example"}


def test_workers_of_celery_get_a_queue_that_is_not_the_cache() -> None:
    found = parts("celery -A shop inspect ping\nredis-cli ping")
    worker = next(part for part in found.values() if part.kind == "celery")
    assert found[str(worker.keys["broker"])].role == "queue"
    assert [part.name for part in found.values() if part.kind == "redis" and part.role == "cache"] == ["cache"]


def test_no_password_of_an_address_reaches_the_book() -> None:
    made = make(
        [("m.md", "# S\n\n## Back up\n\n```bash\npsql postgresql://u:hunter2@db/x -c 'SELECT 1'\n```\n")],
        catalogue(),
        _mistakes,
    )
    assert "hunter2" not in made.files["book.yaml"]


def test_no_secret_that_a_manual_spells_out_is_copied() -> None:
    script = "PGPASSWORD=hunter2 pg_dump -h db x > x.sql\npsql -c \"CREATE USER r WITH PASSWORD 'hunter2'\""
    made = make([("m.md", f"# S\n\n## Back up\n\n```bash\n{script}\n```\n")], catalogue(), _mistakes)
    assert "hunter2" not in "".join(made.files.values())
    assert "hunter2" not in as_html(report(made))
