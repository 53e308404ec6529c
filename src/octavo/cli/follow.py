"""``octavo follow``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console, failures, options
from octavo.errors import UsageError
from octavo.text import some

if TYPE_CHECKING:
    from octavo.follow.state import FollowReport


def follow(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    files_root: options.FilesRoot = options.FILES_ROOT,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    jobs: options.Jobs = options.JOBS,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make the files anew; a store that is there is kept aside.")
    ] = False,
    until_caught_up: Annotated[
        bool,
        typer.Option("--until-caught-up", help="End when all that was committed before now is there."),
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Follow no more: remove what was made in the database for it.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Keep files in step with a PostgreSQL that others use.

    The first time, the files are made as by an export. Ctrl-C ends it in order; run again, it goes on where
    it was.
    """
    from octavo.cli.live_line import watching
    from octavo.follow import life

    url = options.chosen_url(database_url)
    if stop:
        if replace or until_caught_up:
            raise UsageError("--stop goes with neither --replace nor --until-caught-up")
        removed = life.stop(url, data_dir)
        if as_json:
            console.answer({"dataDir": str(data_dir), "removed": removed})
        elif not quiet:
            typer.echo("the files follow no more" if removed else "nothing was followed")
        return
    chosen = options.chosen_layout(layout, schema, data_dir)
    wanted = life.FollowOptions(files_root, jobs, replace, until_caught_up)
    with failures.telling_what_is_left(), watching(quiet=quiet, as_json=as_json) as watcher:
        report = life.follow(url, data_dir, chosen, wanted, watcher)
    if as_json:
        console.answer(report.to_dict())
        return
    if not quiet:
        show(report)
    if report.lacking:
        console.warning(f"{some(len(report.lacking), 'payload')} could not be had")


def show(report: FollowReport) -> None:
    """Print what following has done, and how it stands."""
    if report.seeded:
        typer.echo(f"the files were made in {console.plain(str(report.data_dir))}")
    if report.replaced:
        typer.echo(f"the store that was there: {console.plain(str(report.replaced))}")
    transactions, rows = some(report.transactions, "transaction"), some(report.rows, "row")
    typer.echo(f"{transactions} carried over, {rows} changed, in {report.seconds:.1f} s")
    if report.committed:
        typer.echo(f"the last of them was committed at {report.committed}")
    if report.caught_up:
        typer.echo("all that was committed before the start is in the files")
    console.listed(
        [
            f"{p.model} {console.short(p.key)}: {console.short(p.path, 120)!r} {p.reason}"
            for p in report.lacking
        ]
    )
