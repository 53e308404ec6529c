"""``octavo verify``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from octavo.cli import console
from octavo.cli.runner import Answer, Job, command
from octavo.text import some

if TYPE_CHECKING:
    from octavo.inspect.findings import Difference
    from octavo.move.verify import VerifyReport


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs")
def verify(job: Job) -> Answer:
    """Compare every field of every record, both ways.

    With ENCRYPTION_MASTER_PEPPER set, each secret is decrypted too. Ends with 1 on any difference.
    """
    from octavo.crypto import pepper_from_env
    from octavo.move.verify import VerifyOptions
    from octavo.move.verify import verify as run

    options = VerifyOptions(job.files_root, pepper_from_env(), job.jobs)
    with job.progress() as progress:
        report = run(job.url, job.data_dir, job.layout, options, progress)
    return Answer(
        report.to_dict(),
        lambda: show(report),
        good=report.equal,
        brief=lambda: console.warnings(_warnings(report)),
        shows_if_quiet=True,
    )


def show(report: VerifyReport) -> None:
    """Print what a verification found."""
    rows = []
    for name, count in report.counts.items():
        kinds = report.by_model.get(name, {})
        verdict = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()) or "equal"
        rows.append([name, f"{count['database']:,}", f"{count['files']:,}", verdict])
    console.table(["model", "database", "files", ""], rows)
    typer.echo()
    total = some(sum(c["database"] for c in report.counts.values()), "record")
    if report.equal:
        text = f"{total}, every field, both ways, in {report.seconds:.1f} s"
    else:
        found = some(report.total, "difference")
        broken = some(len(report.violations), "broken rule")
        text = f"{found}, {broken}, in {report.seconds:.1f} s"
    console.verdict(report.equal, "EQUAL" if report.equal else "NOT EQUAL", text)
    if report.elsewhere:
        typer.echo(f"the move is about another database than {console.plain(report.elsewhere)}:")
        console.listed(["its state stays as it is; octavo export --replace begins anew with this one"])
    for difference in report.differences[: console.SHOWN]:
        _show_difference(difference)
    if (more := report.total - console.SHOWN) > 0:
        typer.echo(f"  … and {more:,} more")
    console.section(
        "records that break a rule of the schema, among the files:",
        [f"{v.model} {_key(v.key)}: {v.reason} ({v.file})" for v in report.violations],
    )
    console.section(
        "keys that the schema does not know (they are kept):",
        [f"{key}, in {where}" for where, key in report.unknown_keys],
    )
    console.section("files that belong to nothing:", report.strays)
    typer.echo(
        f"payloads: {report.payloads:,} held against their digests, "
        f"{report.payloads_compared:,} against the files root"
    )
    console.listed(report.payload_notes)
    if report.secrets is not None:
        typer.echo(f"secrets: {report.secrets:,} checked")
    if report.left_out:
        console.section("left out:", report.left_out)
    else:
        typer.echo("left out: nothing")
    console.section("beside the schema, the database has:", report.notes)
    if report.report:
        typer.echo(f"report: {console.plain(str(report.report))}")


def _warnings(report: VerifyReport) -> list[str]:
    """What is no difference but should be looked into, a sentence each."""
    named = (
        (len(report.unknown_keys), "key", "that the schema does not know"),
        (len(report.strays), "file", "that nothing points at"),
        (len(report.payload_notes), "payload", "that could not be compared"),
    )
    return [f"{some(count, thing)} {what}" for count, thing, what in named if count] + [
        f"left out: {text}" for text in report.left_out
    ]


def _key(key: Mapping[str, object]) -> str:
    return " ".join(f"{name}={console.short(str(value), 100)}" for name, value in key.items())


def _show_difference(difference: Difference) -> None:
    where = f"{difference.file}{f':{difference.line}' if difference.line else ''}"
    parts = (difference.kind.value, difference.model, _key(difference.key), f"({where})" if where else "")
    typer.echo("  " + console.plain(" ".join(part for part in parts if part)))
    if difference.reason:
        typer.echo("    " + console.plain(difference.reason))
    values = difference.values or {}
    for name in difference.fields:
        if name not in values:
            typer.echo(f"    {console.plain(name)}")
            continue
        for side, text in zip(("database", "files"), values[name], strict=True):
            typer.echo(f"    {console.plain(name)}  {side + ':':<9} {_value(text)}")


def _value(text: str | None) -> str:
    return "NULL" if text is None else console.plain(repr(text))
