"""``octavo schema migrate``: a store to the next version of its schema, and back."""

from __future__ import annotations

import sys
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from octavo.cli import console
from octavo.cli.parameters import Option
from octavo.cli.runner import Answer, Job, command
from octavo.errors import UsageError
from octavo.text import some

if TYPE_CHECKING:
    from octavo.evolve.functions import Function
    from octavo.evolve.migrate import MigrateReport
    from octavo.evolve.steps import Step
    from octavo.layout.layout import Layout
    from octavo.schema.datamodel import Datamodel
    from octavo.store.engine import Resolve

_EXISTING = {"exists": True, "show_default": False}


@command("database_url", "data_dir", "schema")
def migrate(
    job: Job,
    to: Annotated[
        Path | None, Option("--to", help="The new Prisma schema: a file or a folder.", **_EXISTING)
    ] = None,
    rename: Annotated[
        list[str] | None,
        Option("--rename", metavar="MODEL.OLD=NEW", help="A field, or a label (Enum.OLD=NEW), renamed."),
    ] = None,
    rename_model: Annotated[
        list[str] | None, Option("--rename-model", metavar="OLD=NEW", help="A model that is renamed.")
    ] = None,
    functions: Annotated[
        Path | None,
        Option(
            "--with",
            help="A Python file with a function for each model whose records need one.",
            dir_okay=False,
            **_EXISTING,
        ),
    ] = None,
    new_layout: Annotated[
        Path | None,
        Option(
            "--layout",
            help="The new layout; without it, each model keeps its place.",
            dir_okay=False,
            **_EXISTING,
        ),
    ] = None,
    back: Annotated[bool, Option("--back", help="Take the last migration back.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan; change nothing.")] = False,
) -> Answer:
    """Take a store from its schema to the next one, or back.

    Needs no database. The new store is built beside the old one, verified, and put in place in one step; the
    old one is kept. Ends with 1, and changes nothing, if records speak against a step.
    """
    from octavo.evolve.matching import Renames
    from octavo.evolve.migrate import MigrateOptions, migrate_back
    from octavo.evolve.migrate import migrate as migrate_store

    _require_one_way(back, to or new_layout, functions, [*(rename or []), *(rename_model or [])])
    # What is named elsewhere may well be the next schema.
    job.elsewhere = False
    old = job.layout
    # What a function prints is no part of the answer.
    with job.progress() as progress, redirect_stdout(sys.stderr):
        target = _former(job) if back else old.datamodel if to is None else _datamodel(to)
        options = MigrateOptions(
            renames=Renames.parse(rename or [], rename_model or []),
            functions=_functions(functions, target),
            dry_run=dry_run,
            resolve=_resolve(job),
        )
        if back:
            report = migrate_back(job.data_dir, old, options, progress)
        else:
            layout = _layout(target, new_layout)
            report = migrate_store(job.data_dir, old, target, options, progress, layout=layout)
    return Answer(_as_json(report), lambda: _show(report), good=not report.refused, shows_if_quiet=True)


def _require_one_way(back: bool, forth: Path | None, functions: Path | None, renames: list[str]) -> None:
    """Raise UsageError unless it is said whether to go forth or back."""
    hint = "--to FILE names the next schema, --back takes the last migration back"
    if back and forth:
        raise UsageError("--back takes no --to and no --layout", hint=hint)
    if not (back or forth or functions):
        raise UsageError("nothing says where to migrate to", hint=hint)
    if back and renames:
        raise UsageError("--back takes no renames: it knows those of the way forth")


def _datamodel(path: Path) -> Datamodel:
    from octavo.store.decoded import load_datamodel

    return load_datamodel(None, path)


def _former(job: Job) -> Datamodel:
    from octavo.evolve.history import last_migration
    from octavo.store.identity import read_identity

    return last_migration(read_identity(job.data_dir)).former_layout().datamodel


def _layout(target: Datamodel, path: Path | None) -> Layout | None:
    from octavo.layout.load import layout_for

    return None if path is None else layout_for(target, path)


def _functions(path: Path | None, target: Datamodel) -> dict[str, Function]:
    from octavo.evolve.functions import load

    return {} if path is None else load(path, target)


def _resolve(job: Job) -> Resolve | None:
    """What tells the outcome of a dual write that is in doubt: only PostgreSQL does."""
    if not job.database_url:
        return None

    def resolve(note: dict[str, str]) -> bool:
        from octavo.backends.outcome import Outcomes
        from octavo.backends.prisma import PrismaBackend

        with closing(PrismaBackend(job.vocabulary, job.url)) as primary:
            return Outcomes(primary.schema, job.url).committed(note)

    return resolve


def _as_json(report: MigrateReport) -> dict[str, Any]:
    return {
        "dataDir": report.target,
        "from": report.before,
        "to": report.after,
        "back": report.back,
        "dryRun": report.dry_run,
        "refused": report.refused,
        "steps": [step.to_dict() for step in report.steps],
        "counts": report.counts,
        "lost": report.lost,
        "rebuilt": report.rebuilt,
        "files": report.files,
        "payloads": report.payloads,
        "toHeal": report.to_heal,
        "kept": report.kept,
        "settled": report.settled,
        "seconds": round(report.seconds, 3),
    }


def _show(report: MigrateReport) -> None:
    if report.steps:
        console.table(["step", "records", "what happens"], [_row(step) for step in report.steps])
        click.echo()
    console.section("refused:", report.refused)
    total, where = some(sum(report.counts.values()), "record"), console.plain(str(report.target))
    if report.dry_run:
        said = "would be refused" if report.refused else "can be done"
        click.echo(f"dry run: the migration {said}; nothing was changed\ndata: {where}")
    elif report.rebuilt:
        click.echo(f"{total} in {some(report.files, 'file')}, in {report.seconds:.1f} s\ndata: {where}")
        if report.kept:
            click.echo(f"the store before: {console.plain(str(report.kept))}")
    else:
        said = f"{', '.join(report.texts)} says the same in other words" if report.texts else "nothing to do"
        click.echo(f"no record changes: {said}\ndata: {where}")
    for kept in report.settled:
        click.echo(f"a store that an interrupted command had replaced: {console.plain(str(kept))}")
    if not report.refused:
        _show_ways(report)


def _row(step: Step) -> list[str]:
    means = f"{step.means} ({step.how})" if step.means else str(step.how)
    return [f"{step.subject} {step.change}", f"{step.records:,}", means]


def _show_ways(report: MigrateReport) -> None:
    """What is to be known about the way back, and about the database beside."""
    from octavo.backend import DataBackend

    if not report.back:
        console.section("--back cannot bring these back, which the old store alone has:", report.lost)
    if report.is_moving and not report.dry_run:
        if report.backend is DataBackend.JSON:
            click.echo(
                "octavo rollback needs PostgreSQL's tables as this schema has them: migrate them first"
            )
        else:
            click.echo("octavo verify compares the files with PostgreSQL, which Prisma Migrate takes along")
    if report.to_heal:
        names = ", ".join(report.to_heal)
        click.echo(f"octavo status --heal copies what PostgreSQL made by itself in {names}")
