"""The shapes of arguments and the operations that are the same for every model.

Their type parameters are what differs: ``Where`` is a model's filter, ``Unique`` what names one record of it,
``New`` the data of a new record with nested writes and ``Row`` without, ``Edit`` and ``Change`` the same for
a change, ``Order`` an order, ``Field`` the names of its fields, ``Include`` and ``Select`` what is shown, and
``Shown`` the record.  Keys of several words have both spellings, and prisma-client-py's, as the client takes
them.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, Self, TypeAlias, TypedDict, TypeVar, overload

from octavo.layout.record import BareRecord
from octavo.query.arguments import FieldRef
from octavo.values.json import Null

Change = TypeVar("Change")
Edit = TypeVar("Edit")
Field = TypeVar("Field")
Include = TypeVar("Include")
New = TypeVar("New")
Order = TypeVar("Order")
Row = TypeVar("Row")
Select = TypeVar("Select")
Shown = TypeVar("Shown")
Unique = TypeVar("Unique")
Value = TypeVar("Value")
Where = TypeVar("Where")

DateTime: TypeAlias = datetime | Any
"""A ``datetime`` in UTC; a text where none can hold it (``infinity``, BC, years over 9999)."""

Mode: TypeAlias = Literal["default", "insensitive"]
Sort: TypeAlias = Literal["asc", "desc"]
Strategy: TypeAlias = Literal["join", "query"]

OtherField: TypeAlias = FieldRef
"""Another field of the same record, to compare with."""

class SortNulls(TypedDict, total=False):
    """An order that says where NULL goes."""

    sort: Sort
    nulls: Literal["first", "last"]

class SortCount(TypedDict):
    """The order by the number of a relation's records."""

    _count: Sort

# Filters

JsonTest = TypedDict(
    "JsonTest",
    {
        "path": Sequence[str | int],
        "mode": Mode,
        "equals": Any,
        "not": Any,
        "lt": Any,
        "lte": Any,
        "gt": Any,
        "gte": Any,
        "string_contains": str,
        "stringContains": str,
        "string_starts_with": str,
        "stringStartsWith": str,
        "string_ends_with": str,
        "stringEndsWith": str,
        "array_contains": Any,
        "arrayContains": Any,
        "array_starts_with": Any,
        "arrayStartsWith": Any,
        "array_ends_with": Any,
        "arrayEndsWith": Any,
    },
    total=False,
)
JsonFilter: TypeAlias = JsonTest | Null

class ListTest(TypedDict, Generic[Value], total=False):
    """A field that is a list of values."""

    equals: Sequence[Value] | OtherField | None
    has: Value | OtherField
    has_every: Sequence[Value] | OtherField
    hasEvery: Sequence[Value] | OtherField
    has_some: Sequence[Value] | OtherField
    hasSome: Sequence[Value] | OtherField
    is_empty: bool
    isEmpty: bool

class ListFilter(TypedDict, Generic[Where], total=False):
    """The records of a relation."""

    some: Where
    every: Where
    none: Where

# Data

class SetTo(TypedDict, Generic[Value]):
    """A new value, in Prisma's long form."""

    set: Value

class Arithmetic(TypedDict, Generic[Value], total=False):
    """Exactly one of these."""

    set: Value
    increment: Value
    decrement: Value
    multiply: Value
    divide: Value

class SetOrPush(TypedDict, Generic[Value], total=False):
    """Exactly one of these."""

    set: Sequence[Value]
    push: Value | Sequence[Value]

class ConnectOrCreate(TypedDict, Generic[New, Unique]):
    """A record that is linked, and made before if it is not there."""

    where: Unique
    create: New

class CreateMany(TypedDict, Generic[Row], total=False):
    """New records without nested writes."""

    data: Row | Sequence[Row]
    skip_duplicates: bool
    skipDuplicates: bool

class NewOne(TypedDict, Generic[New, Unique], total=False):
    """What a new record does over a relation to one."""

    create: New
    connect: Unique
    connect_or_create: ConnectOrCreate[New, Unique]
    connectOrCreate: ConnectOrCreate[New, Unique]

class NewMany(TypedDict, Generic[New, Row, Unique], total=False):
    """What a new record does over a relation to many."""

    create: New | Sequence[New]
    connect: Unique | Sequence[Unique]
    connect_or_create: ConnectOrCreate[New, Unique] | Sequence[ConnectOrCreate[New, Unique]]
    connectOrCreate: ConnectOrCreate[New, Unique] | Sequence[ConnectOrCreate[New, Unique]]
    create_many: CreateMany[Row]
    createMany: CreateMany[Row]

class UpsertData(TypedDict, Generic[New, Edit]):
    """What an upsert does, in one dict."""

    create: New
    update: Edit

class UpdateLinked(TypedDict, Generic[Edit, Where], total=False):
    """A change of a linked record that must fulfil something."""

    where: Where
    data: Edit

class UpsertLinked(TypedDict, Generic[New, Edit, Where], total=False):
    """A change of a linked record, or a new one."""

    where: Where
    create: New
    update: Edit

class EditOne(NewOne[New, Unique], Generic[New, Edit, Unique, Where], total=False):
    """What a change does over a relation to one, which must be there."""

    update: Edit | UpdateLinked[Edit, Where]
    upsert: UpsertLinked[New, Edit, Where]

class EditOptional(EditOne[New, Edit, Unique, Where], Generic[New, Edit, Unique, Where], total=False):
    """What a change does over a relation to one, which may be missing."""

    disconnect: bool | Where
    delete: bool | Where

class UpdateOne(TypedDict, Generic[Edit, Unique]):
    """A change of one of the linked records."""

    where: Unique
    data: Edit

class UpsertOne(TypedDict, Generic[New, Edit, Unique]):
    """A change of one of the linked records, or a new one."""

    where: Unique
    create: New
    update: Edit

class UpdateAll(TypedDict, Generic[Change, Where]):
    """A change of all linked records that fulfil something."""

    where: Where
    data: Change

class EditMany(NewMany[New, Row, Unique], Generic[New, Row, Edit, Change, Unique, Where], total=False):
    """What a change does over a relation to many."""

    disconnect: Unique | Sequence[Unique]
    set: Unique | Sequence[Unique]
    delete: Unique | Sequence[Unique]
    update: UpdateOne[Edit, Unique] | Sequence[UpdateOne[Edit, Unique]]
    upsert: UpsertOne[New, Edit, Unique] | Sequence[UpsertOne[New, Edit, Unique]]
    delete_many: Where | Sequence[Where]
    deleteMany: Where | Sequence[Where]
    update_many: UpdateAll[Change, Where] | Sequence[UpdateAll[Change, Where]]
    updateMany: UpdateAll[Change, Where] | Sequence[UpdateAll[Change, Where]]

# What is shown

class ShownOne(TypedDict, Generic[Where, Include, Select, Field], total=False):
    """A relation to one, in ``include`` or ``select``."""

    where: Where
    include: Include
    select: Select
    omit: Mapping[Field, bool]

class ShownMany(TypedDict, Generic[Where, Unique, Order, Include, Select, Field], total=False):
    """A relation to many, in ``include`` or ``select``."""

    where: Where
    order_by: Order | Sequence[Order]
    orderBy: Order | Sequence[Order]
    order: Order | Sequence[Order]
    take: int
    skip: int
    cursor: Unique
    distinct: Field | Sequence[Field]
    include: Include
    select: Select
    omit: Mapping[Field, bool]

class CountWhere(TypedDict, Generic[Where]):
    """Which records of a relation are counted."""

    where: Where

class CountSelect(TypedDict, Generic[Value]):
    """Which relations are counted."""

    select: Value

# Operations

class Hit(NamedTuple, Generic[Shown]):
    """A record that a search has found; its rank, the greater the better; the part of its text with most of
    the words, each between ``**``."""

    record: Shown
    rank: float
    snippet: str

class Fields:
    """A model's fields, as attributes."""

    def __getattr__(self, name: str) -> OtherField: ...

class Actions(Generic[Shown, Field, Where, Unique, New, Row, Edit, Change, Order, Include, Select]):
    """The operations on one model, as :class:`octavo.client.ModelClient` has them."""

    @property
    def fields(self) -> Fields:
        """The model's fields, to compare with."""

    def find_unique(
        self,
        *,
        where: Unique,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown | None:
        """The record that ``where`` names by a key or unique; None if there is none."""

    def find_unique_or_raise(
        self,
        *,
        where: Unique,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown:
        """The same; raises RecordNotFound."""

    def find_first(
        self,
        *,
        where: Where = ...,
        order_by: Order | Sequence[Order] | None = ...,
        orderBy: Order | Sequence[Order] | None = ...,
        order: Order | Sequence[Order] | None = ...,
        take: int | None = ...,
        skip: int | None = ...,
        cursor: Unique | None = ...,
        distinct: Field | Sequence[Field] | None = ...,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown | None:
        """The first record that ``find_many`` would give; None if it gives none."""

    def find_first_or_raise(
        self,
        *,
        where: Where = ...,
        order_by: Order | Sequence[Order] | None = ...,
        orderBy: Order | Sequence[Order] | None = ...,
        order: Order | Sequence[Order] | None = ...,
        take: int | None = ...,
        skip: int | None = ...,
        cursor: Unique | None = ...,
        distinct: Field | Sequence[Field] | None = ...,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown:
        """The same; raises RecordNotFound."""

    def find_many(
        self,
        *,
        where: Where = ...,
        order_by: Order | Sequence[Order] | None = ...,
        orderBy: Order | Sequence[Order] | None = ...,
        order: Order | Sequence[Order] | None = ...,
        take: int | None = ...,
        skip: int | None = ...,
        cursor: Unique | None = ...,
        distinct: Field | Sequence[Field] | None = ...,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> list[Shown]:
        """The records that ``where`` describes, by ``order_by``: ``take`` of them behind ``skip``, from
        ``cursor`` on, one for each ``distinct``."""

    def search(
        self,
        query: str,
        *,
        fields: Field | Sequence[Field] | None = ...,
        where: Where = ...,
        take: int = ...,
        skip: int = ...,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> list[Hit[Shown]]:
        """The records that have every word of ``query`` in ``fields`` (by default those that the layout
        names), best first."""

    @overload
    def count(
        self,
        *,
        where: Where = ...,
        order_by: Order | Sequence[Order] | None = ...,
        orderBy: Order | Sequence[Order] | None = ...,
        order: Order | Sequence[Order] | None = ...,
        take: int | None = ...,
        skip: int | None = ...,
        cursor: Unique | None = ...,
    ) -> int: ...
    @overload
    def count(
        self,
        *,
        select: Mapping[Field | Literal["_all"], bool],
        where: Where = ...,
        order_by: Order | Sequence[Order] | None = ...,
        orderBy: Order | Sequence[Order] | None = ...,
        order: Order | Sequence[Order] | None = ...,
        take: int | None = ...,
        skip: int | None = ...,
        cursor: Unique | None = ...,
    ) -> dict[str, int]:
        """How many records ``find_many`` would give; with ``select``, in how many of them each field is not
        NULL."""

    def aggregate(
        self,
        *,
        _count: bool | Mapping[Field | Literal["_all"], bool] | None = ...,
        _sum: Mapping[Field, bool] | None = ...,
        _avg: Mapping[Field, bool] | None = ...,
        _min: Mapping[Field, bool] | None = ...,
        _max: Mapping[Field, bool] | None = ...,
        count: bool | Mapping[Field | Literal["_all"], bool] | None = ...,
        sum: Mapping[Field, bool] | None = ...,
        avg: Mapping[Field, bool] | None = ...,
        min: Mapping[Field, bool] | None = ...,
        max: Mapping[Field, bool] | None = ...,
        where: Where = ...,
        order_by: Order | Sequence[Order] | None = ...,
        orderBy: Order | Sequence[Order] | None = ...,
        order: Order | Sequence[Order] | None = ...,
        take: int | None = ...,
        skip: int | None = ...,
        cursor: Unique | None = ...,
    ) -> dict[str, Any]:
        """What the records that ``find_many`` would give give together, in the shape of what is asked."""

    def group_by(
        self,
        *,
        by: Field | Sequence[Field],
        _count: bool | Mapping[Field | Literal["_all"], bool] | None = ...,
        _sum: Mapping[Field, bool] | None = ...,
        _avg: Mapping[Field, bool] | None = ...,
        _min: Mapping[Field, bool] | None = ...,
        _max: Mapping[Field, bool] | None = ...,
        count: bool | Mapping[Field | Literal["_all"], bool] | None = ...,
        sum: Mapping[Field, bool] | None = ...,
        avg: Mapping[Field, bool] | None = ...,
        min: Mapping[Field, bool] | None = ...,
        max: Mapping[Field, bool] | None = ...,
        where: Where = ...,
        having: Mapping[str, Any] = ...,
        order_by: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = ...,
        orderBy: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = ...,
        order: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = ...,
        take: int | None = ...,
        skip: int | None = ...,
    ) -> list[dict[str, Any]]:
        """The same for each group of records that agree in the fields ``by``."""

    def create(
        self,
        *,
        data: New,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown:
        """Make a record of ``data``, nested writes included."""

    def create_many(
        self, *, data: Row | Sequence[Row], skip_duplicates: bool = ..., skipDuplicates: bool = ...
    ) -> int:
        """Make a record of each of ``data``; how many were made."""

    def create_many_and_return(
        self,
        *,
        data: Row | Sequence[Row],
        skip_duplicates: bool = ...,
        skipDuplicates: bool = ...,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> list[Shown]:
        """The same, and give the records."""

    def update(
        self,
        *,
        where: Unique,
        data: Edit,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown:
        """Change the record that ``where`` names.  Raises RecordNotFound."""

    def update_many(self, *, data: Change, where: Where = ..., limit: int | None = ...) -> int:
        """Change all records that fulfil ``where`` (left out: all), or the first ``limit`` of them; how many
        these were."""

    def update_many_and_return(
        self,
        *,
        data: Change,
        where: Where = ...,
        limit: int | None = ...,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> list[Shown]:
        """The same, and give the records, by key."""

    @overload
    def upsert(
        self,
        *,
        where: Unique,
        create: New,
        update: Edit,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown: ...
    @overload
    def upsert(
        self,
        *,
        where: Unique,
        data: UpsertData[New, Edit],
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown:
        """Change the record that ``where`` names as ``update`` says, or make it as ``create`` says."""

    def delete(
        self,
        *,
        where: Unique,
        include: Include | None = ...,
        select: Select | None = ...,
        omit: Mapping[Field, bool] | None = ...,
        relation_load_strategy: Strategy = ...,
        relationLoadStrategy: Strategy = ...,
    ) -> Shown:
        """Delete the record that ``where`` names, and give it as it was.  Raises RecordNotFound."""

    def delete_many(self, *, where: Where = ..., limit: int | None = ...) -> int:
        """Delete all records that fulfil ``where`` (left out: all), or the first ``limit`` of them; how many
        these were."""

class Scope:
    """What a client and a transaction are besides their models."""

    def savepoint(self) -> AbstractContextManager[Self]:
        """A part of this transaction: leaving by an exception takes back what was done in it, and the
        transaction goes on."""

    def query_raw(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows that a statement of SQL gives, each as a dict; its parameters are ``$1`` …."""

    def query_first(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        """The first of these rows; None if there is none."""

    def execute_raw(self, query: str, *parameters: Any) -> int:
        """The same, and give the number of rows that the statement was about."""

class AsyncScope:
    """The same for asyncio."""

    def savepoint(self) -> AbstractAsyncContextManager[Self]:
        """A part of this transaction: leaving by an exception takes back what was done in it, and the
        transaction goes on."""

    async def query_raw(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows that a statement of SQL gives, each as a dict; its parameters are ``$1`` …."""

    async def query_first(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        """The first of these rows; None if there is none."""

    async def execute_raw(self, query: str, *parameters: Any) -> int:
        """The same, and give the number of rows that the statement was about."""

Tx = TypeVar("Tx")
IsolationLevel: TypeAlias = Literal["ReadUncommitted", "ReadCommitted", "RepeatableRead", "Serializable"]

class Connection(Generic[Tx]):
    """What a client is besides its models; ``Tx`` is what a transaction gives."""

    def tx(
        self,
        *,
        isolation_level: IsolationLevel = ...,
        max_wait: float | timedelta = ...,
        timeout: float | timedelta = ...,
    ) -> AbstractContextManager[Tx]:
        """A transaction: what is done with the client that this gives happens whole or not at all."""

    @property
    def types(self) -> Any:
        """The schema's types at run time, as attributes: ``Chat``, ``ChatCreate``, ``ChatUpdate``."""

    def payload(self, record: BareRecord) -> bytes | None:
        """The content of the file that a record points at; None if there is none."""

    def close(self) -> None:
        """Let go of the data.  May be called twice."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class AsyncConnection(Generic[Tx]):
    """The same for asyncio."""

    def tx(
        self,
        *,
        isolation_level: IsolationLevel = ...,
        max_wait: float | timedelta = ...,
        timeout: float | timedelta = ...,
    ) -> AbstractAsyncContextManager[Tx]:
        """A transaction: what is done with the client that this gives happens whole or not at all."""

    @property
    def types(self) -> Any:
        """The schema's types at run time, as attributes: ``Chat``, ``ChatCreate``, ``ChatUpdate``."""

    async def payload(self, record: BareRecord) -> bytes | None:
        """The content of the file that a record points at; None if there is none."""

    async def close(self) -> None:
        """Wait for the calls that are under way, roll back open transactions, and let go of the data."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
