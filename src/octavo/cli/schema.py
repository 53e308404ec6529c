"""``octavo schema``: the schema itself, its SQL, drift of a live database, the JSON Schemas of the files; and
``octavo generate``, its typed client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from octavo.cli import console
from octavo.cli.parameters import Option
from octavo.cli.runner import Answer, Job, command
from octavo.text import some

if TYPE_CHECKING:
    from octavo.postgres.drift import Drift
    from octavo.schema.datamodel import Datamodel, Model, ScalarField


@command("schema")
def show(
    job: Job,
    dmmf: Annotated[bool, Option("--dmmf", help="Print the Datamodel in Prisma's own shape.")] = False,
) -> Answer | None:
    """Print the models and fields; the frozen schema's files are held against their fingerprints.

    Ends with 1 if the frozen schema is not the one that this version was made with.
    """
    from octavo.schema.texts import FILE, FINGERPRINT, VERSION, fingerprint, frozen_text, is_intact

    datamodel = job.datamodel
    if dmmf:
        from octavo.schema.dmmf import dmmf as in_prismas_shape

        console.answer(in_prismas_shape(datamodel))
        return None
    text = job.schema_text
    is_frozen, intact = text is None, is_intact()
    value: dict[str, Any] = {
        "version": VERSION if is_frozen else None,
        "fingerprint": fingerprint(frozen_text() if text is None else text),
        **({"expectedFingerprint": FINGERPRINT, "intact": intact} if is_frozen else {}),
        "models": [_as_json(datamodel, model) for model in datamodel.models],
        "enums": {enum.name: enum.labels for enum in datamodel.enums},
    }

    def show_all() -> None:
        click.echo(f"schema {console.plain(VERSION if is_frozen else str(job.schema))}")
        shipped = " (as it was shipped)" if is_frozen and intact else ""
        click.echo(f"fingerprint {value['fingerprint']}{shipped}")
        for line in _described(datamodel):
            click.echo(line)

    good, said = intact or not is_frozen, f"the frozen schema was changed since it was shipped: {FILE}"
    return Answer(value, show_all, good=good, always=lambda: console.problems("error", [said] * (not good)))


@command("database_url", "schema", "allow_drift")
def check(
    job: Job,
    each: Annotated[bool, Option("--each", help="A line for each note, not for each kind.")] = False,
) -> Answer:
    """Hold a live database against the schema.

    Ends with 0 if an export can be trusted, with 1 if something differs that could lose or change data.
    """
    from octavo.postgres.connection import connect, transaction
    from octavo.postgres.drift import check as drift_of
    from octavo.postgres.drift import collapsed
    from octavo.schema.secrets import named_secrets, told

    datamodel, url = job.datamodel, job.url
    with (
        closing(connect(url)) as connection,
        transaction(connection, url.schema, isolation="REPEATABLE READ", read_only=True),
    ):
        drift = drift_of(connection, datamodel, url.schema).allowing(job.allowed)

    named = named_secrets(datamodel)

    def show_findings() -> None:
        console.problems("drift", map(str, drift.findings))

    def show_all() -> None:
        for line in (*drift.waived, *(map(str, drift.notes) if each else collapsed(drift.notes))):
            click.echo(f"note: {console.plain(line)}")
        if named:
            click.echo(f"note: {console.plain(told(datamodel))}")
        if not drift.refuses:
            click.echo(f"{console.plain(url.display)} is as the schema says")
        show_findings()

    value = {**_drift_as_json(drift, url.display), "secretsByName": named}
    return Answer(value, show_all, good=not drift.refuses, brief=show_findings)


@command("schema", "layout_file")
def json_schema(
    job: Job,
    out: Annotated[Path, Option("--out", help="The folder to write to.")],
) -> Answer:
    """Write a JSON Schema (draft 2020-12) for every kind of file in the data folder."""
    from octavo.layout.jsonschema import write_schemas

    written = [str(path) for path in write_schemas(job.datamodel, job.layout, out)]
    return Answer({"files": written}, lambda: click.echo("\n".join(map(console.plain, written))))


@command("data_dir", "schema")
def ddl(
    job: Job,
    in_schema: Annotated[
        str, Option("--in-schema", help="The PostgreSQL schema, if the Prisma schema names none.")
    ] = "public",
) -> Answer:
    """Print the SQL that makes the schema's tables, as Prisma Migrate writes it for an empty database."""
    from octavo.schema.ddl import ddl as statements

    script = statements(job.datamodel, in_schema).script()
    return Answer({"sql": script}, lambda: click.echo(script, nl=False))


@command("data_dir", "schema")
def generate(
    job: Job,
    out: Annotated[Path, Option("--out", help="The package's folder; its last part is the package's name.")],
) -> Answer:
    """Write the typed client of the store's schema.

    It is a Python package, by which type checkers and editors know every model, field, filter and input.
    Its connect() opens the data, and refuses a store of another schema.
    """
    from octavo.generate.package import write_package
    from octavo.schema.texts import frozen_text

    source = job.datamodel.source
    texts = [frozen_text()] if source is None else [text for _, text in source.files]
    written = write_package(job.datamodel, "\n".join(texts), out)
    files = [str(path) for path in written]
    name = out.absolute().name

    def show() -> None:
        models = some(len(job.datamodel.models), "model")
        click.echo(f"{console.plain(str(out))}: the typed client of {models}")
        click.echo(f"  from {name} import connect")

    return Answer({"package": name, "files": files}, show)


def _described(datamodel: Datamodel) -> Iterator[str]:
    for enum in datamodel.enums:
        yield f"\nenum {enum.name}: {', '.join(enum.labels)}"
    for model in datamodel.models:
        yield f"\n{'view' if model.is_view else 'model'} {model.name} ({model.table})"
        width = max(len(f.name) for f in model.fields)
        for scalar in model.scalars:
            marks = "  ".join(_marks(datamodel, model, scalar))
            yield f"  {scalar.name:<{width}}  {_type(scalar):<18}  {marks}".rstrip()
        for relation in model.relations:
            arity = {"list": "[]", "optional": "?"}.get(relation.arity, "")
            link = f"  by {', '.join(relation.fields)}" if relation.fields else ""
            yield f"  {relation.name:<{width}}  → {relation.model}{arity}{link}"


def _type(scalar: ScalarField) -> str:
    return scalar.type + {"list": "[]", "optional": "?"}.get(scalar.arity, "")


def _marks(datamodel: Datamodel, model: Model, scalar: ScalarField) -> Iterator[str]:
    from octavo.schema.ddl import default_sql, is_serial

    if scalar.name in (model.key.field_names if model.has_key else ()):
        yield "key"
    if any(unique.field_names == (scalar.name,) for unique in model.uniques):
        yield "unique"
    if is_serial(scalar):
        yield "counts by itself"
    elif (default := default_sql(datamodel, scalar)) is not None:
        yield f"default {default}"
    if scalar.updated_at:
        yield "set on every write"
    if scalar.secret is not None:
        yield "secret, by its name" if scalar.secret.named else f"secret ({scalar.secret.scheme})"


def _as_json(datamodel: Datamodel, model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "table": model.table,
        "key": list(model.key.field_names) if model.has_key else None,
        "fields": [
            {
                "name": scalar.name,
                "column": scalar.column,
                "type": scalar.type,
                "arity": scalar.arity,
                "marks": list(_marks(datamodel, model, scalar)),
            }
            for scalar in model.scalars
        ],
    }


def _drift_as_json(drift: Drift, database: str) -> dict[str, Any]:
    return {
        "database": database,
        "equal": not drift.refuses,
        "findings": drift.findings,
        "notes": drift.notes,
        "allowed": drift.allowed,
    }
