"""Changes of the kind `rows-archive`: old rows written into a store and then deleted, a batch a transaction.

effect: as of `batch` (`component`, `before`, `count`, `parameters`, `batch`, `ceiling`), and `table` (quoted), `name`
(of the table, for keys), `column`, `choose` (a query for `of` and `at`, tableoid and ctid of a batch of rows, which it
locks), and `to`, the store.

A batch becomes `COMPONENT/TABLE/OLDEST-SHA.csv.zst`, CSV with a line of headings as `COPY … FROM` reads it, and beside
it a manifest with its rows and its SHA-256. The rows stay locked meanwhile, so that what is deleted is what was
written. They go after what lies in the store was read back, and found to be the same by checksum and count. Cut off
before that, the next attempt finds the same rows and the same key.

result: `deleted`, `before`, `objects`, `bytes` (as they lie in the store), `left` (rows that somebody else had locked).
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

from opsbook.book.references import Reference
from opsbook.connectors.backups.compression import Broken, opener
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.batch import Batch
from opsbook.connectors.executors.packing import PIECE, pack
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.contract import ObjectMissing, ObjectStore
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.postgres_change import Database, application_name
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused

IN_MEMORY = 16 << 20
SLICE_SECONDS = 1.0
SETTINGS = """
SELECT set_config('statement_timeout', '300s', true), set_config('lock_timeout', '10s', true),
       set_config('idle_in_transaction_session_timeout', '300s', true), set_config('synchronize_seqscans', 'off', true),
       set_config('client_encoding', 'UTF8', true)
"""


@executor("rows-archive")
class RowsArchive:
    """Writes, proves, deletes."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.batch = connections, Batch(connections)

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused at the ceiling, ChangeFailed where server or store say no: that batch is not deleted then."""
        effect, started = change.effect, time.monotonic()
        state = dict(cursor) if cursor else {**await self.batch.begin(key, effect), "objects": 0, "bytes": 0}
        try:
            store = await asyncio.to_thread(self._store, effect["to"])
            try:
                if cursor is None and isinstance(store, FolderStore):
                    await asyncio.to_thread(store.sweep)
                while rows := await self._one(key, effect, state, store):
                    if state["deleted"] > effect["ceiling"]:
                        raise Refused(
                            f"{state['deleted']:,} rows are gone, and more came than were counted", "plan anew"
                        )
                    if rows and time.monotonic() - started > SLICE_SECONDS:
                        return More(state, f"{state['deleted']:,} rows archived and deleted")
            finally:
                await asyncio.to_thread(store.close)
        except (Refused, ChangeFailed):
            raise
        except OpsbookError as error:
            raise ChangeFailed(error.message, error.hint) from error
        await out.write(
            f"{state['deleted']:,} rows older than {state['before']} lie in {store.address} and are deleted here\n"
        )
        told = {name: state[name] for name in ("deleted", "before", "objects", "bytes")}
        return Done({**told, "left": await self.batch.count(key, effect, state["before"])})

    async def end(self, key: str, change: Change) -> bool:
        """Terminate the session that carries the key: its batch is rolled back."""
        return await Database(self.connections, change.effect["component"], write=True).end(application_name(key))

    def _store(self, to: str) -> ObjectStore:
        return open_store(self.connections.system, Reference(to), safe(self.connections.system.model.system))

    async def _one(self, key: str, effect: dict[str, Any], state: dict[str, Json], store: ObjectStore) -> int:
        """One batch; how many rows that were. Notes them in the state."""
        import psycopg

        database = Database(self.connections, effect["component"], write=True)
        try:
            async with database.session(application_name(key)) as connection:
                return await self._moved(connection, effect, state, store)
        except psycopg.Error as error:
            raise ChangeFailed(
                f"{effect['component']}: {database.words(error)}", "this batch is not deleted; what it wrote stays"
            ) from None

    async def _moved(self, connection: Any, effect: dict[str, Any], state: dict[str, Json], store: ObjectStore) -> int:
        async with connection.transaction():
            await connection.execute(SETTINGS)
            given = {**effect["parameters"], "before": state["before"], "from": None, "batch": effect["batch"]}
            found = await (await connection.execute(effect["choose"], given)).fetchall()
            if not found:
                return 0
            chosen = _chosen(effect["table"], found)
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
                digest = await _written(connection, f"COPY (SELECT * {chosen}) TO STDOUT (FORMAT csv, HEADER)", file)
                oldest = f"SELECT min({effect['column']})::text {chosen}"
                ((first,),) = await (await connection.execute(oldest)).fetchall()
                place = f"{safe(effect['component'])}/{safe(effect['name'])}/{_stamp(first)}-{digest[:16]}.csv.zst"
                told = {"table": effect["name"], "rows": len(found), "sha256": digest, "oldest": first}
                size = await asyncio.to_thread(_kept, store, place, file, told)
            gone = await connection.execute(f"DELETE {chosen}")
            if gone.rowcount != len(found):
                raise ChangeFailed(
                    f"{len(found):,} rows were written and {gone.rowcount:,} would be deleted; nothing was deleted",
                    f"does a trigger or a rule of {effect['name']} keep rows?",
                )
        state |= {"deleted": state["deleted"] + len(found), "objects": state["objects"] + 1,
                  "bytes": state["bytes"] + size}  # fmt: skip
        return len(found)


def _chosen(table: str, rows: list[tuple[int, str]]) -> str:
    """`FROM … WHERE` these rows. Row numbers alone mean nothing across the partitions of a table."""
    places = ",".join(f'"{at}"' for _, at in rows)
    pairs = ",".join(f"({of},'{at}'::tid)" for of, at in rows) if len({of for of, _ in rows}) > 1 else ""
    apart = f" AND (tableoid, ctid) IN ({pairs})" if pairs else f" AND tableoid = {rows[0][0]}"
    return f"FROM {table} WHERE ctid = ANY ('{{{places}}}'::tid[]){apart}"


async def _written(connection: Any, statement: str, file: IO[bytes]) -> str:
    """The rows into the file; their SHA-256."""
    summed = hashlib.sha256()
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        async for data in copy:
            summed.update(data)
            file.write(data)
    return summed.hexdigest()


def _kept(store: ObjectStore, key: str, file: IO[bytes], told: dict[str, Json]) -> int:
    """Bytes in the store of what was packed there, proven. Raises ChangeFailed."""
    try:
        size = _proven(store, key, told)
    except (ObjectMissing, Broken):
        pack(store, key, file)
        try:
            size = _proven(store, key, told)
        except (ObjectMissing, Broken) as error:
            store.delete(key)
            said = f"what {store.address} holds of {key} is not what was sent: {error}; nothing was deleted"
            raise ChangeFailed(said, "check the disk or the bucket of the store") from error
    store.put(f"{key.removesuffix('.csv.zst')}.json", json.dumps(told, indent=1).encode())
    return size


def _proven(store: ObjectStore, key: str, told: dict[str, Json]) -> int:
    """Reads it back: the same bytes, and as many records. Raises Broken, ObjectMissing."""
    summed, size = hashlib.sha256(), 0

    def lines() -> Iterator[str]:
        nonlocal size
        # Its records are counted here; its bytes are held against the checksum.
        unpacker, decoder = opener("zstd"), codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        with store.open(key) as stream:
            while piece := stream.read(PIECE):
                size += len(piece)
                for plain in unpacker.take(piece):
                    summed.update(plain)
                    *whole, rest = (rest + decoder.decode(plain)).split("\n")
                    yield from (f"{line}\n" for line in whole)
        unpacker.end()
        if rest:
            yield rest

    csv.field_size_limit(1 << 30)
    try:
        records = sum(1 for _ in csv.reader(lines(), strict=True)) - 1
    except csv.Error as error:
        raise Broken(f"it is no CSV: {error}") from error
    if summed.hexdigest() != told["sha256"]:
        raise Broken("its content has another checksum")
    if records != told["rows"]:
        raise Broken(f"it holds {records:,} rows and not {told['rows']:,}")
    return size


def _stamp(moment: str) -> str:
    """A moment as the server writes it, as a part of a key that orders."""
    return re.sub(r"[^0-9]+", "-", moment).strip("-")[:40] or "0"
