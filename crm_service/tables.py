"""One table as the service sees it: read a row, list rows, create a row once.

Everything goes through a ``Reader`` or ``Writer``; rules are left to the database.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4, uuid5

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from crm_service.access import Reader, Writer
from crm_service.database import Row
from crm_service.errors import (
    AlreadyExistsError,
    NotFoundError,
    ReplayedError,
    UpstreamContractError,
)
from crm_service.fields import Record
from crm_service.pagination import PageRequest, PageResponse
from crm_service.printed_response import PrintedResponse
from crm_service.row_text import RowsText
from crm_service.versions import render_etag

RecordT = TypeVar("RecordT", bound=Record)

# Ids derived from idempotency keys live in their own namespace; it must never change.
_ID_NAMESPACE = UUID("5c7a54f2-63cf-5d0b-8a2a-0d2f5e2c9f11")


@dataclass(frozen=True, slots=True)
class Created(Generic[RecordT]):
    """A created row; ``replayed`` if an earlier identical request had created it."""

    record: RecordT
    replayed: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """The one row of another table, if there is one, whose columns stand in the record as well.

    They are spread, so that rows come as the record shows them (PostgREST 11 and newer).

    Attributes:
        relation: Name of the other table.
        columns: Of it, null where there is no row.
    """

    relation: str
    columns: tuple[str, ...]

    def select(self, own: Sequence[str] = ("*",), *, inner: bool = False) -> str:
        """Return what to ask for.

        Args:
            own: Columns of the table itself.
            inner: Leave rows without a joined one out.
        """
        kind = "!inner" if inner else ""
        return f"{','.join(own)},...{self.relation}{kind}({','.join(self.columns)})"


class RowResponse(PrintedResponse):
    """A row as the database printed it, with its ETag."""

    def __init__(self, text: bytes, version: int) -> None:
        super().__init__(text, (b"etag", render_etag(version).encode()))


class Table(Generic[RecordT]):
    """Typed access to one table.

    Args:
        name: Name in the database.
        record: Model of its rows.
        noun: What a person calls one row, for messages.
        key: Primary key column.
        soft_deleted: Rows carry ``deleted_at``; lists leave the deleted ones out.
        joined: Where the record takes something from another table.
    """

    def __init__(
        self,
        name: str,
        record: type[RecordT],
        *,
        noun: str,
        key: str = "id",
        soft_deleted: bool = True,
        joined: Joined | None = None,
    ) -> None:
        self.name = name
        self.noun = noun
        self.key = key
        self._record = record
        self._fields = tuple(record.model_fields)
        self._members = frozenset(self._fields)
        self._joined = joined
        self._by_name = False
        self.soft_deleted = soft_deleted
        self.columns: dict[str, str] = {} if joined is None else {"select": joined.select()}
        self._adapters: dict[str, TypeAdapter[Any]] = {
            column: TypeAdapter(field.rebuild_annotation())
            for column, field in record.model_fields.items()
        }

    async def get(self, access: Reader, row_id: UUID) -> RecordT:
        """Return one row.

        Raises:
            NotFoundError: No such row, or none the caller may see.
        """
        return self.parse(await self.row(access, row_id))

    async def answer(
        self, reader: Reader, row_id: UUID, filters: Sequence[tuple[str, str]] = ()
    ) -> RowResponse:
        """Return one row as the database printed it, as ``page`` does.

        Of which types its values are stands in the migrations.

        Raises:
            NotFoundError: No such row, or none the caller may see.
        """
        query = [(self.key, f"eq.{row_id}"), *filters, *self.columns.items()]
        found = await reader.select_text(self.name, query)
        rows = reader.read_rows(found)
        if not rows:
            raise self._no_such_row()
        row = rows[0]
        if row.keys() == self._members and len(rows) == 1:
            return RowResponse(found.only(), row["version"])
        [item] = self._items(rows[:1])
        return RowResponse(to_json(item), row["version"])

    async def page(
        self,
        reader: Reader,
        filters: Sequence[tuple[str, str]],
        page: PageRequest,
        *,
        deleted: bool = False,
    ) -> PageResponse:
        """Return one page of the rows that match, as ``Page`` describes it.

        The rows are passed on as the database printed them: which columns there are is looked up in
        one of them, and of which types they are stands in the migrations.

        Args:
            reader: Who asks.
            filters: PostgREST filters, all of which must hold.
            page: Which page, in which order.
            deleted: List the deleted rows instead of the others.
        """
        query = [*filters, *page.query(self.key)]
        if not any(name == "select" for name, _ in filters):
            query += self._listed().items()
        if self.soft_deleted:
            query.append(("deleted_at", "not.is.null" if deleted else "is.null"))
        found = await reader.select_text(self.name, query)
        count = found.count
        if count is None:
            return self._rebuilt_page(reader.read_rows(found), page)
        if count == 0:
            return PageResponse(found.text, None)
        has_more = count > page.limit
        text, shown = found.without_last() if has_more else (found.text, found.first())
        [row] = reader.read_rows(RowsText(b"[%b]" % shown))
        if row.keys() != self._members:
            self._by_name = True
            return self._rebuilt_page(reader.read_rows(found), page)
        return PageResponse(text, page.cursor_behind(row, self.key) if has_more else None)

    def _listed(self) -> dict[str, str]:
        """Return what to ask a list for.

        Columns asked for by name cost PostgREST a tenth of the request: where the record has all
        columns of its table, the rows come as they are.
        """
        if not self._by_name:
            return self.columns
        if self._joined is None:
            return {"select": ",".join(self._fields)}
        own = [name for name in self._fields if name not in self._joined.columns]
        return {"select": self._joined.select(own)}

    def _rebuilt_page(self, rows: list[Row], page: PageRequest) -> PageResponse:
        """Print the page anew, for rows with more or less than the record, or another printer's."""
        cursor = None
        if len(rows) > page.limit:
            cursor = page.cursor_behind(rows[page.limit - 1], self.key)
        return PageResponse(to_json(self._items(rows[: page.limit])), cursor)

    def _items(self, rows: list[Row]) -> list[Row]:
        """Return the values of the record, in its order, as the database printed them."""
        try:
            return [{name: row[name] for name in self._fields} for row in rows]
        except KeyError:
            missing = sorted({name for row in rows for name in self._fields if name not in row})
            raise self._strange(", ".join(missing)) from None

    async def create(
        self,
        writer: Writer,
        row_id: UUID | None,
        columns: Mapping[str, Any],
        *,
        perform: Callable[[UUID], Awaitable[Row]] | None = None,
        same_extra: Callable[[RecordT], Awaitable[bool]] | None = None,
    ) -> Created[RecordT]:
        """Create a row once, however often the request is sent.

        Args:
            writer: Who creates.
            row_id: Id the client chose; None derives one from the idempotency key, or makes one.
            columns: Values by column name.
            perform: Creates the row with the given id; None inserts ``columns``.
            same_extra: Further test that a stored row is the one this request would create.

        Raises:
            AlreadyExistsError: The id, or another unique value, is taken by something else.
            KeyReusedError: The idempotency key belongs to another request.
        """
        new_id = row_id or self._derived_id(writer)
        try:
            if perform is None:
                row = await writer.insert(self.name, {**columns, self.key: new_id}, self.columns)
            else:
                row = await perform(new_id)
        except ReplayedError:
            return Created(await self.get(writer, new_id), replayed=True)
        except AlreadyExistsError as error:
            earlier = await self._earlier(writer, new_id, columns, same_extra)
            if earlier is None:
                raise
            if not earlier.replayed:
                raise AlreadyExistsError(
                    f"The id (or Idempotency-Key) belongs to a {self.noun} with other content. "
                    "Use a new one for a new request."
                ) from error
            return earlier
        return Created(self.parse(row), replayed=False)

    def parse(self, row: Row) -> RecordT:
        """Read a row.

        Raises:
            UpstreamContractError: The database's schema is not the one of our migrations.
        """
        try:
            return self._record.model_validate(row)
        except ValidationError as error:
            columns = sorted({str(entry["loc"][0]) for entry in error.errors() if entry["loc"]})
            raise self._strange(", ".join(columns)) from None

    def _strange(self, columns: str) -> UpstreamContractError:
        return UpstreamContractError(
            f"Rows of {self.name} look different than expected ({columns}). "
            "Apply supabase/migrations.",
            retry_after_s=60,
        )

    async def row(self, access: Reader, row_id: UUID) -> Row:
        """Return one row as the database printed it.

        Raises:
            NotFoundError: No such row, or none the caller may see.
        """
        rows = await access.select(self.name, {self.key: f"eq.{row_id}", **self.columns})
        if not rows:
            raise self._no_such_row()
        return rows[0]

    def _no_such_row(self) -> NotFoundError:
        return NotFoundError(f"There is no {self.noun} with this id.")

    def holds(self, row: Row, columns: Mapping[str, Any]) -> bool:
        """Tell whether a stored row has these values, compared as values and not as text."""
        return all(self.same_value(column, row.get(column), columns[column]) for column in columns)

    def same_value(self, column: str, stored: Any, value: Any) -> bool:
        """Tell whether a stored value is this one."""
        try:
            return bool(self._adapters[column].validate_python(stored) == value)
        except (KeyError, ValidationError):
            return False

    def _derived_id(self, writer: Writer) -> UUID:
        key = writer.caller.idempotency_key
        if key is None:
            return uuid4()
        return derived_id(self.name, writer.caller.subject.user_id, key)

    async def _earlier(
        self,
        writer: Writer,
        row_id: UUID,
        columns: Mapping[str, Any],
        same_extra: Callable[[RecordT], Awaitable[bool]] | None,
    ) -> Created[RecordT] | None:
        """Find the row of an earlier request with this id; ``replayed`` if it was the same one."""
        rows = await writer.select(self.name, {self.key: f"eq.{row_id}", **self.columns})
        if not rows:
            return None
        record = self.parse(rows[0])
        same = self.holds(rows[0], columns)
        if not same:
            # The row may have been changed since: the audit knows what it was created with.
            query = {
                "select": "new",
                "table_name": f"eq.{self.name}",
                "row_id": f"eq.{row_id}",
                "op": "eq.insert",
            }
            entries = await writer.select("activity_log", query)
            same = any(
                isinstance(entry.get("new"), dict) and self.holds(entry["new"], columns)
                for entry in entries
            )
        if same and same_extra is not None:
            same = await same_extra(record)
        return Created(record, replayed=same)


async def require_customer(reader: Reader, customer_id: UUID) -> None:
    """Return if there is this customer, deleted or not.

    Raises:
        NotFoundError: There is none.
    """
    query = {"select": "id", "id": f"eq.{customer_id}"}
    if not await reader.select("customers", query):
        raise NotFoundError("There is no customer with this id.")


def derived_id(table: str, user_id: UUID, key: str) -> UUID:
    """Return the id that a keyed request gives to the row it creates."""
    return uuid5(_ID_NAMESPACE, f"{table}\n{user_id}\n{key}")
