"""``octavo doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console, failures, options
from octavo.text import some

if TYPE_CHECKING:
    from octavo.inspect.doctor import Diagnosis
    from octavo.inspect.repair import Repair, Step


def doctor(
    data_dir: options.DataDir = options.DATA_DIR,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended without losing anything.")
    ] = False,
    set_aside: Annotated[
        bool,
        typer.Option(
            "--set-aside",
            help="Repair, and move records and lines that cannot be read to a folder beside the store.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what a repair would do; change nothing.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Look the store over: files, constraints, payloads.

    Writers go on meanwhile. Ends with 1 if there is damage; notes alone are none.
    """
    from octavo.inspect.doctor import examine
    from octavo.inspect.repair import Repair, carry_out, plan

    chosen = options.chosen_layout(layout, schema, data_dir)
    with console.progress(quiet=quiet or as_json) as progress:
        diagnosis = examine(data_dir, chosen, progress=progress)
    steps: list[Step] = []
    done = Repair()
    if repair or set_aside or dry_run:
        steps = plan(diagnosis, chosen, set_aside=set_aside)
    if steps and not dry_run:
        left = "some steps may be done, each of them whole; the next run does the others"
        with failures.telling_what_is_left(left):
            done = carry_out(steps, data_dir, chosen)
        with console.progress(quiet=quiet or as_json) as progress:
            diagnosis = examine(data_dir, chosen, progress=progress)
    if as_json:
        answer = {"dataDir": str(data_dir), **diagnosis.to_dict(), "repair": None}
        if repair or set_aside or dry_run:
            answer["repair"] = {
                "planned": [step.to_dict() for step in steps],
                "done": [step.to_dict() for step in done.done],
                "skipped": [step.to_dict() | {"reason": reason} for step, reason in done.skipped],
                "setAside": str(done.aside) if done.aside else None,
            }
        console.answer(answer)
    elif not quiet or not diagnosis.sound:
        if dry_run:
            _show_plan(steps)
        _show_repair(done)
        show(diagnosis, data_dir)
    else:
        _warn(done)
    if not diagnosis.sound:
        raise typer.Exit(1)


def show(diagnosis: Diagnosis, data_dir: Path) -> None:
    """Print what was found."""
    from octavo.inspect.findings import MEANINGS

    found = diagnosis.findings
    for kind, meaning in MEANINGS.items():
        if number := found.counted[kind]:
            typer.echo(f"{'damage' if meaning.damage else 'note'}: {meaning.title} ({number:,})")
            console.listed([str(finding) for finding in found.kept[kind]][: console.SHOWN])
            if number > console.SHOWN:
                typer.echo(f"  … and {number - console.SHOWN:,} more")
            typer.echo(f"  → {meaning.hint}")
    for text in diagnosis.left_out:
        typer.echo(f"not checked: {console.plain(text)}")
    looked_at = ", ".join(
        (
            some(diagnosis.files, "file"),
            some(sum(diagnosis.counts.values()), "record"),
            some(diagnosis.payloads, "payload"),
        )
    )
    if diagnosis.superseded:
        typer.echo(f"of {diagnosis.log_lines:,} lines of logs, {diagnosis.superseded:,} are superseded")
    notes = some(found.notes, "note")
    if diagnosis.sound:
        said = f"{looked_at}, {notes}, in {diagnosis.seconds:.1f} s"
    else:
        said = f"{found.damage:,} × damage, {notes}; {looked_at}, in {diagnosis.seconds:.1f} s"
    console.verdict(diagnosis.sound, "SOUND" if diagnosis.sound else "DAMAGED", said)


def _show_plan(steps: list[Step]) -> None:
    typer.echo(
        "a repair would do this; nothing was done:" if steps else "there is nothing that a repair would do"
    )
    console.listed([str(step) for step in steps])


def _show_repair(repair: Repair) -> None:
    if repair.done:
        typer.echo("done:")
        console.listed([str(step) for step in repair.done])
    if repair.skipped:
        typer.echo("not done:")
        console.listed([f"{step}: {reason}" for step, reason in repair.skipped])
    if repair.aside is not None:
        typer.echo(f"kept in {console.plain(str(repair.aside))}")


def _warn(repair: Repair) -> None:
    for step, reason in repair.skipped:
        console.warning(f"{step}: {reason}")
    if repair.aside is not None:
        console.warning(f"what was taken out is kept in {repair.aside}")
