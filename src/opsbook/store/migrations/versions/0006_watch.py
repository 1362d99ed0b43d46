"""The watch: rollups, alerts, incidents, messages, silences, windows, schedules, beats, checklists, tokens, leases."""

import sqlalchemy as sa
from alembic import op

from opsbook.store.migrations.columns import moment, number, text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("check_results") as table:
        table.add_column(text("system", default=""))
        table.drop_index("check_results_by_check")
        table.create_index("check_results_by_check", ["system", "environment", "check_id", "at"])
    with op.batch_alter_table("runs") as table:
        table.add_column(text("asked_as", default=""))
    _checks()
    _incidents()
    _papers()
    _messages()
    _planned()
    _house()


def _checks() -> None:
    op.create_table(
        "rollups",
        text("system"),
        text("environment"),
        text("check_id"),
        sa.Column("span", sa.Integer(), nullable=False),
        moment("start"),
        number("ok", default="0"),
        number("warning", default="0"),
        number("critical", default="0"),
        number("unknown", default="0"),
        moment("least", nullable=True),
        moment("most", nullable=True),
        sa.Column("total", sa.Float(), server_default="0", nullable=False),
        number("counted", default="0"),
        sa.PrimaryKeyConstraint("system", "environment", "check_id", "span", "start"),
    )
    op.create_table(
        "alerts",
        text("id"),
        *(text(name, default="") for name in ("system", "environment", "fingerprint")),
        sa.Column("open_key", sa.Text(), nullable=True),
        *(
            text(name, default="")
            for name in (
                "source",
                "check_id",
                "component",
                "phase",
                "state",
                "severity",
                "title",
                "sentence",
                "shown",
                "cause",
                "procedure",
                "silenced_by",
                "incident",
                "labels",
                "changes",
            )
        ),
        sa.Column("flapping", sa.Boolean(), server_default="0", nullable=False),
        moment("since"),
        moment("seen_at"),
        moment("fired_at", nullable=True),
        moment("well_since", nullable=True),
        moment("resolved_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
    )
    op.create_index("alerts_by_incident", "alerts", ["incident"], unique=False)
    op.create_index("alerts_by_time", "alerts", ["system", "environment", "since"], unique=False)
    op.create_index("alerts_by_end", "alerts", ["system", "environment", "resolved_at"], unique=False)


def _incidents() -> None:
    op.create_table(
        "incidents",
        text("id"),
        *(text(name, default="") for name in ("system", "environment", "group_key")),
        sa.Column("open_key", sa.Text(), nullable=True),
        *(
            text(name, default="")
            for name in (
                "kind",
                "title",
                "severity",
                "state",
                "component",
                "procedure",
                "assignee",
                "roles",
                "path",
                "acknowledged_by",
                "resolved_by",
                "merged_into",
                "opened_by",
                "postmortem",
            )
        ),
        moment("opened_at"),
        moment("acknowledged_at", nullable=True),
        moment("mitigated_at", nullable=True),
        moment("resolved_at", nullable=True),
        moment("well_since", nullable=True),
        moment("updated_at", nullable=True),
        number("reopened", default="0"),
        number("rounds", default="0"),
        moment("round_at", nullable=True),
        moment("look_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
    )
    op.create_index("incidents_by_time", "incidents", ["system", "environment", "opened_at"], unique=False)
    op.create_index("incidents_by_look", "incidents", ["system", "environment", "state", "look_at"], unique=False)
    op.create_index("incidents_by_group", "incidents", ["system", "environment", "group_key"], unique=False)
    op.create_table(
        "incident_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        text("incident"),
        sa.Column("key", sa.Text(), nullable=True),
        moment("at"),
        *(text(name, default="") for name in ("actor", "kind", "text", "detail")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    op.create_index("incident_events_by_incident", "incident_events", ["incident", "at"], unique=False)


def _papers() -> None:
    op.create_table(
        "evidence",
        text("incident"),
        text("name"),
        moment("at"),
        *(text(name, default="") for name in ("text", "sha256", "error")),
        sa.PrimaryKeyConstraint("incident", "name"),
    )
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        *(text(name, default="") for name in ("incident", "text", "owner", "done_by")),
        moment("made_at"),
        moment("due_at", nullable=True),
        moment("done_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("actions_by_incident", "actions", ["incident"], unique=False)


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        text("key"),
        *(
            text(name, default="")
            for name in (
                "system",
                "environment",
                "incident",
                "target",
                "channel",
                "kind",
                "urgency",
                "subject",
                "body",
                "detail",
                "state",
            )
        ),
        moment("made_at"),
        moment("due_at"),
        number("attempts", default="0"),
        text("claimed_by", default=""),
        moment("claimed_until", nullable=True),
        moment("delivered_at", nullable=True),
        *(text(name, default="") for name in ("receipt", "error", "instead_of")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_by_incident", "messages", ["incident"], unique=False)
    op.create_index("messages_by_state", "messages", ["state", "due_at"], unique=False)
    op.create_index("messages_by_delivery", "messages", ["delivered_at"], unique=False)
    op.create_table(
        "silences",
        text("id"),
        *(
            text(name, default="")
            for name in ("system", "environment", "checks", "components", "reason", "author", "origin", "remote")
        ),
        moment("start"),
        moment("until"),
        moment("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("silences_by_end", "silences", ["system", "environment", "until"], unique=False)


def _planned() -> None:
    op.create_table(
        "window_occurrences",
        text("system"),
        text("environment"),
        text("window"),
        moment("start"),
        moment("until"),
        *(text(name, default="") for name in ("state", "run", "checklist", "note", "title", "components", "author")),
        moment("noticed_at", nullable=True),
        moment("opened_at", nullable=True),
        moment("closed_at", nullable=True),
        moment("reminded_at", nullable=True),
        sa.PrimaryKeyConstraint("system", "environment", "window", "start"),
    )
    op.create_table(
        "due",
        text("system"),
        text("environment"),
        text("key"),
        moment("at"),
        *(text(name, default="") for name in ("state", "run", "note")),
        moment("started_at", nullable=True),
        moment("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("system", "environment", "key", "at"),
    )
    op.create_index("due_by_state", "due", ["state"], unique=False)
    op.create_table(
        "beats",
        text("system"),
        text("environment"),
        text("job"),
        sa.Column("number", sa.Integer(), nullable=False),
        moment("at"),
        *(text(name, default="") for name in ("kind", "origin", "log")),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        moment("seconds", nullable=True),
        sa.PrimaryKeyConstraint("system", "environment", "job", "number"),
    )
    op.create_table(
        "checklists",
        text("id"),
        text("key"),
        *(
            text(name, default="")
            for name in ("system", "environment", "name", "title", "items", "subject", "assignee")
        ),
        moment("opened_at"),
        moment("due_at", nullable=True),
        moment("done_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )


def _house() -> None:
    op.create_table(
        "tokens",
        text("id"),
        *(
            text(name, default="")
            for name in ("name", "owner", "hash", "role", "scopes", "systems", "environments", "made_by")
        ),
        moment("made_at"),
        moment("expires_at"),
        moment("revoked_at", nullable=True),
        moment("used_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "leases",
        text("name"),
        text("holder", default=""),
        moment("until"),
        number("fence", default="0"),
        sa.PrimaryKeyConstraint("name"),
    )
