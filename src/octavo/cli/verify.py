"""``octavo verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from octavo.cli import console
from octavo.cli.options import (
    DEFAULT_DATA_DIR,
    DEFAULT_FILES_ROOT,
    DatabaseUrlOption,
    DataDirOption,
    FilesRootOption,
    JobsOption,
    JsonOption,
    LayoutOption,
    QuietOption,
    SchemaOption,
    chosen_layout,
    chosen_schema,
    chosen_url,
)

if TYPE_CHECKING:
    from octavo.migrate.differences import Difference
    from octavo.migrate.verify import VerifyReport


def verify(
    database_url: DatabaseUrlOption = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    files_root: FilesRootOption = DEFAULT_FILES_ROOT,
    schema: SchemaOption = None,
    layout: LayoutOption = None,
    jobs: JobsOption = 2,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare every field of every record, both ways.

    With ENCRYPTION_MASTER_PEPPER set, each secret is decrypted too. Ends with 1 on any difference.
    """
    from octavo.crypto import pepper_from_env
    from octavo.migrate.verify import VerifyOptions
    from octavo.migrate.verify import verify as run

    url = chosen_url(database_url)
    chosen = chosen_layout(layout, chosen_schema(schema))
    options = VerifyOptions(files_root, pepper_from_env(), jobs)
    with console.progress(quiet=quiet or as_json) as progress:
        report = run(url, data_dir, chosen, options, progress)
    if as_json:
        console.answer(report.to_dict())
    elif not quiet or not report.equal:
        show(report)
    if not report.equal:
        raise typer.Exit(1)


def show(report: VerifyReport) -> None:
    """Print what a verification found."""
    rows = []
    for name, count in report.counts.items():
        kinds = report.by_model.get(name, {})
        verdict = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()) or "equal"
        rows.append([name, f"{count['database']:,}", f"{count['files']:,}", verdict])
    console.table(["model", "database", "files", ""], rows)
    typer.echo()
    total = sum(c["database"] for c in report.counts.values())
    if report.equal:
        typer.echo(f"EQUAL: {total:,} records, every field, both ways, in {report.seconds:.1f} s")
    else:
        typer.echo(f"NOT EQUAL: {report.total:,} differences in {report.seconds:.1f} s")
        console.listed([_line(d) for d in report.differences])
    if report.violations:
        typer.echo(f"records that break a rule among the files: {len(report.violations):,}")
        console.listed([f"{v.model} {_key(v.key)}: {v.reason} ({v.file})" for v in report.violations])
    if report.unknown_keys:
        typer.echo("keys that the schema does not know (kept):")
        console.listed([f"{where}: {key}" for where, key in report.unknown_keys])
    if report.strays:
        typer.echo("files that belong to nothing:")
        console.listed(report.strays)
    typer.echo(
        f"payloads: {report.payloads:,} held against their digests, "
        f"{report.payloads_compared:,} against the files root"
    )
    console.listed(report.payload_notes)
    if report.secrets is not None:
        typer.echo(f"secrets: {report.secrets:,} looked at")
    typer.echo(f"left out: {'nothing' if not report.left_out else ''}".rstrip())
    console.listed(report.left_out)
    if report.notes:
        typer.echo("beside the schema, the database has:")
        console.listed(list(report.notes))
    if report.report:
        typer.echo(f"report: {report.report}")


def _key(key: object) -> str:
    return " ".join(f"{n}={v}" for n, v in key.items()) if isinstance(key, dict) else str(key)


def _line(difference: Difference) -> str:
    parts = [difference.kind.value, difference.model, _key(dict(difference.key))]
    if difference.fields:
        parts.append("in " + ", ".join(difference.fields))
    text = " ".join(part for part in parts if part)
    if difference.reason:
        text += f": {difference.reason}"
    if difference.file:
        text += f" ({difference.file}{f':{difference.line}' if difference.line else ''})"
    for name, (ours, theirs) in (difference.values or {}).items():
        text += f"; {name}: database {_value(ours)}, files {_value(theirs)}"
    return text


def _value(text: str | None) -> str:
    return "NULL" if text is None else repr(text)
