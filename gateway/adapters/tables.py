"""The shared store in Azure Table Storage: the only module that knows azure-data-tables.

One table per UTC day holds the rows, so that what is old is dropped as a whole; one more holds the cells of
strict caps. A table is created when a write does not find it. Time-outs are the caller's: every operation may
be cancelled. azure-data-tables is imported on the first one, in a thread: it takes as long as all the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from gateway.adapters.identity import EntraTokens, SdkCredential
from gateway.adapters.table_errors import code, is_lost, is_missing, translated
from gateway.adapters.table_rows import SELECT, pack, unpack
from gateway.storage.clock import ClockOffset
from gateway.storage.store import Cell, StoredRow, StoreError, StoreFailure

if TYPE_CHECKING:
    from azure.data.tables.aio import TableClient, TableServiceClient

#: Tables are named PREFIX + YYYYMMDD, and PREFIX + "caps".
PREFIX = "gatewaylimits"
_CELL = "cap"
#: Rows of one read. A thousand instances write eight thousand.
_ROWS_LIMIT = 20_000

#: The SDK does not try again: whoever waits here waits 60 ms, and the next operation is a second away.
_CLIENT_OPTIONS: dict[str, Any] = {"retry_total": 0, "redirect_max": 0}


class TableStore:
    """A store (see gateway.limits.store) in one storage account."""

    shared = True

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        endpoint: str | None = None,
        connection_string: str | None = None,
        tokens: EntraTokens | None = None,
    ) -> None:
        """Either an `endpoint`, with the environment's identity (by `tokens`), or a connection string.

        `clock` gives seconds since 1970.
        """
        self._clock = clock
        self._endpoint = endpoint
        self._connection_string = connection_string
        own = EntraTokens(clock)
        self._own_tokens = own if tokens is None else None
        self._credential = SdkCredential(tokens or own)
        self._skew = ClockOffset()
        self._connection: _Connection | None = None

    @property
    def offset(self) -> float:
        """See Store."""
        return self._skew.offset

    async def write(self, row: StoredRow, day: int) -> None:
        """See Store."""
        entity = {"PartitionKey": row.partition, "RowKey": row.key, **pack(row.text or "")}
        name = _day_table(day)

        async def put(table: TableClient) -> None:
            await table.upsert_entity(entity, mode="replace", raw_response_hook=self._hook())

        with self._operation():
            if await self._created(name, put):
                await self._drop_older(day)

    async def read(self, partition: str, first: str, day: int) -> list[StoredRow]:
        """See Store."""
        query = f"PartitionKey eq '{partition}' and RowKey ge '{first}'"
        with self._operation():
            table = await self._table(_day_table(day))
            entities = table.query_entities(query, select=SELECT, raw_response_hook=self._hook())
            found: list[StoredRow] = []
            try:
                async for entity in entities:
                    found.append(StoredRow(partition, entity["RowKey"], unpack(entity)))
                    if len(found) == _ROWS_LIMIT:
                        break
                return found  # noqa: TRY300
            except Exception as error:
                if is_missing(error):
                    return []
                raise

    async def load(self, name: str) -> Cell | None:
        """See Store."""
        with self._operation():
            table = await self._table(PREFIX + "caps")
            try:
                entity = await table.get_entity(name, _CELL, raw_response_hook=self._hook())
            except Exception as error:
                if is_missing(error):
                    return None
                raise
            return Cell(unpack(entity), str(entity.metadata["etag"]))

    async def swap(self, name: str, text: str, version: str | None) -> str | None:
        """See Store."""
        entity = {"PartitionKey": name, "RowKey": _CELL, **pack(text)}
        result: Mapping[str, Any] = {}

        async def create(table: TableClient) -> None:
            nonlocal result
            result = await table.create_entity(entity, raw_response_hook=self._hook())

        with self._operation():
            try:
                if version is None:
                    await self._created(PREFIX + "caps", create)
                else:
                    table = await self._table(PREFIX + "caps")
                    result = await _replace(table, entity, version, self._hook())
            except Exception as error:
                if is_lost(error):
                    return None
                raise
        return str(result["etag"])

    async def close(self) -> None:
        """See Store. A later operation connects anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        if self._own_tokens is not None:
            await self._own_tokens.close()

    async def _created(self, name: str, operation: Callable[[TableClient], Any]) -> bool:
        """Do `operation`, after creating its table if that is missing; True if it was, and we created it."""
        table = await self._table(name)
        try:
            await operation(table)
        except Exception as error:
            if not is_missing(error):
                raise
        else:
            return False
        ours = True
        try:
            await table.create_table()
        except Exception as error:
            if code(error) != "TableAlreadyExists":
                raise
            ours = False
        await operation(table)
        return ours

    async def _drop_older(self, day: int) -> None:
        """Drop the tables of days before yesterday. Tidiness only: who may not, or fails, leaves them."""
        connection = await self._connect()
        bounds = f"TableName ge '{PREFIX}0' and TableName lt '{_day_table(day - 1)}'"
        with suppress(Exception):
            old = [table.name async for table in connection.service.query_tables(bounds)]
            for name in old:
                await connection.service.delete_table(name)

    async def _table(self, name: str) -> TableClient:
        connection = await self._connect()
        return connection.table(name)

    async def _connect(self) -> _Connection:
        """The connection of the running event loop; connections cannot move from one loop to another."""
        loop = asyncio.get_running_loop()
        connection = self._connection
        if connection is None or connection.loop is not loop:
            await asyncio.to_thread(load)
            if self._connection is connection:
                self._connection = _Connection(loop, self._service())
                if connection is not None and connection.loop.is_running():
                    asyncio.run_coroutine_threadsafe(connection.close(), connection.loop)
            connection = self._connection
        if connection is None:  # closed while it was being opened
            raise StoreError(StoreFailure.DOWN)
        return connection

    def _service(self) -> TableServiceClient:
        from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415
        from azure.data.tables.aio import TableServiceClient  # noqa: PLC0415

        # Looking for proxies and .netrc, as nowhere in the gateway, would cost as much as all else of a call.
        transport = AioHttpTransport(use_env_settings=False)
        try:
            if self._endpoint is not None:
                return TableServiceClient(
                    self._endpoint, credential=self._credential, transport=transport, **_CLIENT_OPTIONS
                )
            return TableServiceClient.from_connection_string(
                self._connection_string or "", transport=transport, **_CLIENT_OPTIONS
            )
        except ValueError as error:
            raise StoreError(StoreFailure.MISCONFIGURED) from error

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """Whatever the SDK raises becomes a StoreError; a token that was refused is forgotten."""
        with translated():
            try:
                yield
            except Exception as error:
                if getattr(error, "status_code", None) == 401:
                    self._credential.discard()
                raise

    def _hook(self) -> Callable[[Any], None]:
        """What learns from the reply of an operation that starts now."""
        sent = self._clock()

        def observe(response: Any) -> None:
            self._skew.observe(response.http_response.headers.get("Date"), sent, self._clock())

        return observe


class _Connection:
    """The SDK's clients, on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, service: TableServiceClient) -> None:
        self.loop = loop
        self.service = service
        self._tables: dict[str, TableClient] = {}

    def table(self, name: str) -> TableClient:
        if name not in self._tables:
            if len(self._tables) > 8:  # a worker that lives for weeks sees a table each day
                self._tables.clear()
            self._tables[name] = self.service.get_table_client(name)
        return self._tables[name]

    async def close(self) -> None:
        await self.service.close()


def load() -> None:
    """Import what the first operation needs: for hosts that have the time before the first request."""
    import azure.core.pipeline.transport  # noqa: PLC0415
    import azure.data.tables.aio  # noqa: PLC0415  see the module's docstring

    _ = azure.core.pipeline.transport.AioHttpTransport  # a lazy attribute: this imports aiohttp's glue


async def _replace(
    table: TableClient, entity: Mapping[str, Any], version: str, hook: Callable[[Any], None]
) -> Mapping[str, Any]:
    from azure.core import MatchConditions  # noqa: PLC0415

    return await table.update_entity(
        entity,
        mode="replace",
        etag=version,
        match_condition=MatchConditions.IfNotModified,
        raw_response_hook=hook,
    )


def _day_table(day: int) -> str:
    return PREFIX + (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y%m%d")
