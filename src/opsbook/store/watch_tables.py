"""The tables of the watch: alerts, incidents, messages, windows, schedules, and who may come in over the network.

As in `tables`: times are UTC seconds since 1970, JSON is text, and an empty text stands for nothing. `open_key` is set
while a row is open and null afterwards, so that its unique index holds one open row for a thing and any number of old
ones.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Float, Index, Integer, Table, Text

from opsbook.store.tables import metadata


def _text(name: str) -> Column[Any]:
    return Column(name, Text, nullable=False, server_default="")


def _moment(name: str) -> Column[Any]:
    return Column(name, Float, nullable=False)


def _later(name: str) -> Column[Any]:
    """A moment that has not come yet where it is null."""
    return Column(name, Float)


def _number(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default="0")


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default="0")


WHERE = ("system", "environment")

rollups = Table(
    "rollups",
    metadata,
    Column("system", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("check_id", Text, primary_key=True),
    Column("span", Integer, primary_key=True),
    Column("start", Float, primary_key=True),
    *(_number(state) for state in ("ok", "warning", "critical", "unknown")),
    Column("least", Float),
    Column("most", Float),
    Column("total", Float, nullable=False, server_default="0"),
    _number("counted"),
)
"""Results of a check over `span` seconds (300 or 3600): how many said what, and `least`, `most`, `total` of the
`counted` values."""

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    *map(_text, (*WHERE, "fingerprint")),
    Column("open_key", Text, unique=True),
    *map(_text, ("source", "check_id", "component", "phase", "state", "severity", "title", "sentence", "shown")),
    *map(_text, ("cause", "procedure", "silenced_by", "incident", "labels", "changes")),
    _flag("flapping"),
    _moment("since"),
    _moment("seen_at"),
    _later("fired_at"),
    _later("well_since"),
    _later("resolved_at"),
    Index("alerts_by_incident", "incident"),
    Index("alerts_by_time", "system", "environment", "since"),
    Index("alerts_by_end", "system", "environment", "resolved_at"),
)
"""One row for each time that something was bad. `phase` is pending, firing or resolved; `cause` the fingerprint of the
alert that explains it; `shown` its value for people; `labels` JSON: notify, hold, and what a foreign source said;
`changes` a JSON list of the moments in which it changed lately."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    *map(_text, (*WHERE, "group_key")),
    Column("open_key", Text, unique=True),
    *map(_text, ("kind", "title", "severity", "state", "component", "procedure", "assignee", "roles", "path")),
    *map(_text, ("acknowledged_by", "resolved_by", "merged_into", "opened_by", "postmortem")),
    _moment("opened_at"),
    _later("acknowledged_at"),
    _later("mitigated_at"),
    _later("resolved_at"),
    _later("well_since"),
    _later("updated_at"),
    _number("reopened"),
    _number("rounds"),
    _later("round_at"),
    _later("clocks_from"),
    _later("look_at"),
    Index("incidents_by_time", "system", "environment", "opened_at"),
    Index("incidents_by_look", "system", "environment", "state", "look_at"),
    Index("incidents_by_group", "system", "environment", "group_key"),
)
"""`path` is the escalation path as it was when it opened, as JSON; `rounds` counts how often it began anew (reopened,
more severe), `round_at` is when it last did; `clocks_from` since when its promises count where that is not its opening:
a raise begins the path anew, and no promise; `updated_at` the last status update; `look_at` when the watch must look at
it again, null for at once."""

incident_events = Table(
    "incident_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("incident", Text, nullable=False),
    Column("key", Text, unique=True),
    _moment("at"),
    *map(_text, ("actor", "kind", "text", "detail")),
    Index("incident_events_by_incident", "incident", "at"),
    sqlite_autoincrement=True,
)
"""The timeline. `key` keeps what opsbook itself tells from being told twice; it is null for what people say."""

evidence = Table(
    "evidence",
    metadata,
    Column("incident", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _moment("at"),
    *map(_text, ("text", "sha256", "error")),
)
"""What was gathered of the system for an incident."""

actions = Table(
    "actions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *map(_text, ("incident", "text", "owner", "done_by")),
    _moment("made_at"),
    _later("due_at"),
    _later("done_at"),
    Index("actions_by_incident", "incident"),
    sqlite_autoincrement=True,
)
"""What a post-mortem asks to be done."""

messages = Table(
    "messages",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),
    *map(_text, (*WHERE, "incident", "target", "channel", "kind", "urgency", "subject", "body", "detail", "state")),
    _moment("made_at"),
    _moment("due_at"),
    _number("attempts"),
    _text("claimed_by"),
    _later("claimed_until"),
    _later("delivered_at"),
    *map(_text, ("receipt", "error", "instead_of")),
    Index("messages_by_state", "state", "due_at"),
    Index("messages_by_incident", "incident"),
    Index("messages_by_delivery", "delivered_at"),
    sqlite_autoincrement=True,
)
"""The outbox: written in the transaction that decides to tell, sent by whoever claims it. `key` says what is told to
whom, so that it is decided once; `target` is the name in the book (rotation, contact, channel), `channel` what it came
to; `state` is waiting, sending, delivered, failed or dropped. Addresses are never stored: they are the book's secrets.
"""

silences = Table(
    "silences",
    metadata,
    Column("id", Text, primary_key=True),
    *map(_text, (*WHERE, "checks", "components", "reason", "author", "origin", "remote")),
    _moment("start"),
    _moment("until"),
    _later("ended_at"),
    Index("silences_by_end", "system", "environment", "until"),
)
"""`checks` and `components` are JSON lists; `origin` is cli, book:ID, window:ID, run:ID or alertmanager; `remote` the
id of the same silence in Alertmanager."""

occurrences = Table(
    "window_occurrences",
    metadata,
    Column("system", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("window", Text, primary_key=True),
    Column("start", Float, primary_key=True),
    _moment("until"),
    *map(_text, ("state", "run", "checklist", "note", "title", "components", "author")),
    _later("noticed_at"),
    _later("opened_at"),
    _later("closed_at"),
    _later("reminded_at"),
)
"""A window that came: `state` is noticed, open, overrun or closed; `components` a JSON list, empty for all; `author`
who opened it, where no rule of the book did."""

due = Table(
    "due",
    metadata,
    Column("system", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at", Float, primary_key=True),
    *map(_text, ("state", "run", "note")),
    _later("started_at"),
    _later("ended_at"),
    Index("due_by_state", "state"),
)
"""What a schedule asked for: `key` is kind/id (backup/nightly), `at` when it was due; together they name one run."""

beats = Table(
    "beats",
    metadata,
    Column("system", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("job", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    _moment("at"),
    *map(_text, ("kind", "origin", "log")),
    Column("exit_code", Integer),
    Column("seconds", Float),
)
"""What jobs said of themselves: `kind` is start, success, failure or log."""

checklists = Table(
    "checklists",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    *map(_text, (*WHERE, "name", "title", "items", "subject", "assignee")),
    _moment("opened_at"),
    _later("due_at"),
    _later("done_at"),
)
"""An opened checklist: `items` is JSON, a list of text, check, procedure, optional, by, at, note; `subject` the
incident, window or run that it belongs to."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    *map(_text, ("name", "owner", "hash", "role", "scopes", "systems", "environments", "made_by")),
    _moment("made_at"),
    _moment("expires_at"),
    _later("revoked_at"),
    _later("used_at"),
)
"""`hash` is SHA-256 of the token: it is random enough to need no slow hash. `scopes`, `systems` and `environments` are
JSON lists; an empty one is all."""

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    *map(_text, ("holder",)),
    _moment("until"),
    _number("fence"),
)
"""Who of several processes does something that one must do."""
