"""The command line: which commands there are, and how an error looks."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Annotated, Any

import typer

from octavo import __version__
from octavo.cli.console import plain
from octavo.cli.demo import demo
from octavo.cli.export import export
from octavo.cli.inventory import inventory
from octavo.cli.restore import restore
from octavo.cli.scaffold import scaffold
from octavo.cli.schema import app as schema
from octavo.cli.verify import verify
from octavo.errors import DiskError, DriftError, OctavoError

app = typer.Typer(
    name="octavo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"octavo {__version__}")
        raise typer.Exit


@app.callback()
def octavo(
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


app.command()(demo)
app.add_typer(schema, name="schema", no_args_is_help=True)
for command in (inventory, scaffold, export, verify, restore):
    app.command()(command)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with the contract's exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(given))


def _run(arguments: list[str]) -> int:
    try:
        answer = app(arguments, standalone_mode=False)
        code = answer if isinstance(answer, int) else 0
        sys.stdout.flush()
        return code
    except OctavoError as error:
        return _told(error, arguments)
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("interrupted: nothing was changed that is not whole", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone; what Python flushes at the end must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _told(DiskError.of(error, "the system refused"), arguments)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()  # what typer says of wrong usage
            return int(error.exit_code)
        if os.environ.get("OCTAVO_TRACEBACK"):
            traceback.print_exc()
        print(
            f"error: this is a defect of Octavo ({type(error).__name__}); OCTAVO_TRACEBACK=1 shows where",
            file=sys.stderr,
        )
        return 3


def _told(error: OctavoError, arguments: list[str]) -> int:
    if os.environ.get("OCTAVO_TRACEBACK"):
        traceback.print_exc()
    if "--json" in arguments:
        facts: dict[str, Any] = {"kind": type(error).__name__, "message": error.message}
        if error.hint:
            facts["hint"] = error.hint
        if isinstance(error, DriftError):
            facts["findings"] = list(error.findings)
        print(json.dumps({"error": facts}, indent=2, ensure_ascii=False))
    print(f"error: {plain(error.message, keep_lines=True)}", file=sys.stderr)
    if error.hint:
        print(f"  {plain(error.hint)}", file=sys.stderr)
    return error.exit_code
