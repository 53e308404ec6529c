"""The command line: which commands there are, and how an error looks."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from octavo.cli import console, failures
from octavo.version import __version__


class Commands(click.Group):
    """A group whose commands are imported when they are called, or listed.

    ``places`` names the module below ``octavo.cli`` in which each command is.
    """

    def __init__(self, name: str, text: str, places: dict[str, str], **given: Any) -> None:
        super().__init__(
            name, help=text, no_args_is_help=False, subcommand_metavar="COMMAND [ARGS]...", **given
        )
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.places, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.places:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"octavo.cli.{self.places[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # Click knows of those that are imported already, and we of all that may have been meant.
            every = self.list_commands(ctx)
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=every, ctx=ctx) from None


def _version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"octavo {__version__}")
        context.exit()


@click.pass_context
def _begin(context: click.Context) -> None:
    """Look at what all commands depend on, before one is called."""
    from octavo.backend import get_data_backend

    get_data_backend()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(2)


def _in(module: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, module)


_VERSION: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False, "callback": _version}
app = Commands(
    "octavo",
    """Fold the PostgreSQL database of a Prisma application into plain JSON files, and unfold it again.

    Exit codes: 0 done and equal; 1 a difference or a damaged store was found; 2 wrong usage or
    configuration; 3 the database or the disk failed.
    """,
    {
        **_in("demo", "demo"),
        **_in("fold", "inventory", "scaffold", "export", "follow", "verify", "restore"),
        **_in("move", "status", "report", "cutover", "rollback", "cleanup"),
        **_in("care", "doctor", "compact", "backup"),
        **_in("schema", "generate"),
        **_in("serve", "serve"),
    },
    callback=_begin,
    invoke_without_command=True,
    params=[click.Option(["--version"], help="Print the version.", **_VERSION)],
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _group in (
    Commands(
        "schema",
        "The schema, drift of a live database, JSON Schemas.",
        {**_in("schema", "show", "check", "json-schema", "ddl"), **_in("evolve", "migrate")},
    ),
    Commands("layout", "Where the records of a schema live.", _in("layout", "propose", "check")),
    Commands("secrets", "Whether every secret opens; a new pepper for all.", _in("care", "check", "rotate")),
):
    app.add_command(_group)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; give the contract's exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    console.prepare_streams()
    failures.end_in_order()
    return failures.exit_code(lambda: app(given, standalone_mode=False), as_json="--json" in given)
