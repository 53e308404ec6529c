"""The command line: which commands there are, and how an error looks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from octavo.cli import care, console, evolve, failures, fold, layout, move, schema
from octavo.cli.demo import demo
from octavo.cli.serve import serve
from octavo.version import __version__

app = typer.Typer(
    name="octavo",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # Plain help: nothing that was typed is ever taken for markup.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"octavo {__version__}")
        raise typer.Exit


@app.callback()
def octavo(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Fold the PostgreSQL database of a Prisma application into plain JSON files, and unfold it again.

    Exit codes: 0 done and equal; 1 a difference or a damaged store was found; 2 wrong usage or
    configuration; 3 the database or the disk failed.
    """
    from octavo.backend import get_data_backend

    get_data_backend()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


app.command()(demo)
schema.app.command()(evolve.migrate)
app.add_typer(schema.app, name="schema")
app.add_typer(layout.app, name="layout")
app.add_typer(care.secrets, name="secrets")
for command in (
    *(fold.inventory, fold.scaffold, fold.export, fold.follow, fold.verify, fold.restore),
    *(move.status, move.report, move.cutover, move.rollback, move.cleanup),
    *(care.doctor, care.compact, care.backup, schema.generate, serve),
):
    app.command()(command)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with the contract's exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    console.prepare_streams()
    failures.end_in_order()
    as_json = "--json" in given
    sys.exit(failures.exit_code(lambda: app(given, standalone_mode=False), as_json=as_json))
