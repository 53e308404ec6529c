"""``octavo follow``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console, failures
from octavo.cli.fold import payload_line
from octavo.cli.runner import Answer, Job, command
from octavo.errors import UsageError
from octavo.text import some

if TYPE_CHECKING:
    from octavo.follow.state import FollowReport


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs")
def follow(
    job: Job,
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
) -> Answer:
    """Keep files in step with a PostgreSQL that others use.

    The first time, the files are made as by an export. Ctrl-C ends it in order; run again, it goes on where
    it was.
    """
    from octavo.cli.live_line import watching
    from octavo.follow import life

    url = job.url
    if stop:
        if replace or until_caught_up:
            raise UsageError("--stop goes with neither --replace nor --until-caught-up")
        removed = life.stop(url, job.data_dir)
        said = "the files follow no more" if removed else "nothing was followed"
        return Answer({"dataDir": job.data_dir, "removed": removed}, lambda: typer.echo(said))
    options = life.FollowOptions(job.files_root, job.jobs, replace, until_caught_up)
    with failures.telling_what_is_left(), watching(quiet=job.quiet, as_json=job.as_json) as watcher:
        report = life.follow(url, job.data_dir, job.layout, options, watcher)
    left = [f"{some(len(report.lacking), 'payload')} could not be read"] * bool(report.lacking)

    def show_all() -> None:
        show(report)
        console.warnings(left)

    return Answer(report.to_dict(), show_all, brief=lambda: console.warnings(left))


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
    console.listed([payload_line(problem) for problem in report.lacking])
