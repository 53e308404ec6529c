"""The operations for asyncio, made from those in ``shapes.pyi`` by ``make stub``."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, overload

from octavo.typed.shapes import (
    Change,
    Edit,
    Field,
    Fields,
    Hit,
    Include,
    New,
    Order,
    Row,
    Select,
    Shown,
    Strategy,
    Unique,
    UpsertData,
    Where,
)

class AsyncActions(Generic[Shown, Field, Where, Unique, New, Row, Edit, Change, Order, Include, Select]):
    """The operations on one model, as :class:`octavo.aio.AsyncModelClient` has them."""

    @property
    async def fields(self) -> Fields:
        """The model's fields, to compare with."""

    async def find_unique(
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

    async def find_unique_or_raise(
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

    async def find_first(
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

    async def find_first_or_raise(
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

    async def find_many(
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

    async def search(
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
    async def count(
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
    async def count(
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

    async def aggregate(
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

    async def group_by(
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

    async def create(
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

    async def create_many(
        self, *, data: Row | Sequence[Row], skip_duplicates: bool = ..., skipDuplicates: bool = ...
    ) -> int:
        """Make a record of each of ``data``; how many were made."""

    async def create_many_and_return(
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

    async def update(
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

    async def update_many(self, *, data: Change, where: Where = ..., limit: int | None = ...) -> int:
        """Change all records that fulfil ``where`` (left out: all), or the first ``limit`` of them; how many
        these were."""

    async def update_many_and_return(
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
    async def upsert(
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
    async def upsert(
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

    async def delete(
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

    async def delete_many(self, *, where: Where = ..., limit: int | None = ...) -> int:
        """Delete all records that fulfil ``where`` (left out: all), or the first ``limit`` of them; how many
        these were."""
