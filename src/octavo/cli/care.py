"""``octavo doctor``, ``compact``, ``backup`` and ``secrets``: care of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from octavo.cli import console, failures
from octavo.cli.parameters import Argument, Option
from octavo.cli.runner import Answer, Job, command
from octavo.errors import UsageError
from octavo.text import size, some

if TYPE_CHECKING:
    from octavo.care.backup import BackupReport
    from octavo.inspect.doctor import Diagnosis
    from octavo.inspect.repair import Repair, Step
    from octavo.secrets.check import SecretsReport
    from octavo.secrets.rotate import NewPepper, Rotation
    from octavo.store.compaction import Compaction
    from octavo.store.payloads import Removed


@command("data_dir", "schema", "layout_file", "jobs")
def doctor(
    job: Job,
    repair: Annotated[
        bool, Option("--repair", help="Mend what can be mended without losing anything.")
    ] = False,
    set_aside: Annotated[
        bool,
        Option(
            "--set-aside",
            help="Repair, and move records and lines that cannot be read to a folder beside the store.",
        ),
    ] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what a repair would do; change nothing.")] = False,
) -> Answer:
    """Look the store over: files, constraints, payloads.

    Writers go on meanwhile. Ends with 1 if there is damage; notes alone are none.
    """
    from octavo.inspect.doctor import examine
    from octavo.inspect.repair import Repair, carry_out, plan

    with job.progress() as progress:
        diagnosis = examine(job.data_dir, job.layout, jobs=job.jobs, progress=progress)
    asked = repair or set_aside or dry_run
    steps = plan(diagnosis, job.layout, set_aside=set_aside) if asked else []
    done = Repair()
    if steps and not dry_run:
        left = "some steps may be done, each of them whole; the next run does the others"
        with failures.telling_what_is_left(left):
            done = carry_out(steps, job.data_dir, job.layout)
        with job.progress() as progress:
            diagnosis = examine(job.data_dir, job.layout, jobs=job.jobs, progress=progress)

    def show() -> None:
        if dry_run:
            _show_plan(steps)
        _show_repair(done)
        _show_diagnosis(diagnosis)

    mended = _repair_as_json(steps, done) if asked else None
    value = {"dataDir": job.data_dir, **diagnosis.to_dict(), "repair": mended}
    return Answer(value, show, good=diagnosis.sound, brief=lambda: _warn(done), shows_if_quiet=True)


def _repair_as_json(steps: list[Step], done: Repair) -> dict[str, Any]:
    return {
        "planned": [step.to_dict() for step in steps],
        "done": [step.to_dict() for step in done.done],
        "skipped": [step.to_dict() | {"reason": reason} for step, reason in done.skipped],
        "setAside": done.aside,
    }


def _show_diagnosis(diagnosis: Diagnosis) -> None:
    from octavo.inspect.findings import MEANINGS

    found = diagnosis.findings
    for kind, meaning in MEANINGS.items():
        if number := found.counted[kind]:
            click.echo(f"{'damage' if meaning.damage else 'note'}: {meaning.title} ({number:,})")
            console.listed(found.kept[kind], number)
            click.echo(f"  → {meaning.hint}")
    for text in diagnosis.left_out:
        click.echo(f"not checked: {console.plain(text)}")
    looked_at = ", ".join(
        (
            some(diagnosis.files, "file"),
            some(sum(diagnosis.counts.values()), "record"),
            some(diagnosis.payloads, "payload"),
        )
    )
    if diagnosis.superseded:
        click.echo(f"of {diagnosis.log_lines:,} lines of logs, {diagnosis.superseded:,} are superseded")
    notes = some(found.notes, "note")
    if diagnosis.sound:
        said = f"{looked_at}, {notes}, in {diagnosis.seconds:.1f} s"
    else:
        said = f"{found.damage:,} × damage, {notes}; {looked_at}, in {diagnosis.seconds:.1f} s"
    console.verdict(diagnosis.sound, "SOUND" if diagnosis.sound else "DAMAGED", said)


def _show_plan(steps: list[Step]) -> None:
    click.echo(
        "a repair would do this; nothing was done:" if steps else "there is nothing that a repair would do"
    )
    console.listed(steps)


def _show_repair(repair: Repair) -> None:
    if repair.done:
        click.echo("done:")
        console.listed(repair.done)
    if repair.skipped:
        click.echo("not done:")
        console.listed([f"{step}: {reason}" for step, reason in repair.skipped])
    if repair.aside is not None:
        click.echo(f"kept in {console.plain(str(repair.aside))}")


def _warn(repair: Repair) -> None:
    for step, reason in repair.skipped:
        console.warning(f"{step}: {reason}")
    if repair.aside is not None:
        console.warning(f"what was taken out is kept in {repair.aside}")


@command("data_dir", "schema", "layout_file")
def compact(
    job: Job,
    payloads: Annotated[
        bool,
        Option("--payloads", help="Also remove payloads that no record names, if an hour old."),
    ] = False,
) -> Answer:
    """Leave one line a record in every log, as an export writes them.

    Writers get their turn between two logs. Ends with 1 if a log cannot be read; it stays as it is.
    """
    from octavo.store.store import Store

    removed: list[Removed] = []
    left = "every record is as it was; some logs may be compacted, and the next run does the others"
    with failures.telling_what_is_left(left), Store.open(job.data_dir, job.layout) as store:
        with job.progress() as progress:
            progress.begin("compact", 0, "logs")
            report = store.compact(progress.advance)
        if payloads:
            removed = store.remove_payloads()

    def damaged() -> None:
        for error in report.damaged:
            console.problem("damaged", str(error))
        if report.damaged:
            console.detail("such a log stays as it is: octavo doctor says more")

    value = {"dataDir": job.data_dir, **_compaction_as_json(report, removed)}
    return Answer(value, lambda: _show_compaction(report, removed), good=not report.damaged, always=damaged)


def _compaction_as_json(report: Compaction, removed: list[Removed]) -> dict[str, object]:
    return {
        "logs": [
            {
                "file": log.file,
                "lines": {"before": log.lines_before, "after": log.lines_after},
                "bytes": {"before": log.bytes_before, "after": log.bytes_after},
                "rewritten": log.rewritten,
            }
            for log in report.logs
        ],
        "lines": dict(zip(("before", "after"), report.lines, strict=True)),
        "bytes": dict(zip(("before", "after"), report.bytes, strict=True)),
        "damaged": [{"file": e.file, "line": e.line, "reason": e.reason} for e in report.damaged],
        "payloadsRemoved": [{"file": file, "bytes": size} for file, size in removed],
    }


def _show_compaction(report: Compaction, removed: list[Removed]) -> None:
    rewritten = [log for log in report.logs if log.rewritten]
    if rewritten:
        rows = [
            [
                log.file,
                f"{log.lines_before:,}",
                f"{log.lines_after:,}",
                size(log.bytes_before),
                size(log.bytes_after),
                "",
            ]
            for log in rewritten[: console.SHOWN]
        ]
        console.table(["log", "lines", "now", "bytes", "now", ""], rows)
        if len(rewritten) > console.SHOWN:
            click.echo(f"… and {len(rewritten) - console.SHOWN:,} more")
    (lines, lines_now), (held, held_now) = report.lines, report.bytes
    click.echo(
        f"{some(len(report.logs), 'log')}, {len(rewritten):,} rewritten: "
        f"{lines:,} → {lines_now:,} lines, {size(held)} → {size(held_now)}"
    )
    if removed:
        freed = size(sum(payload.size for payload in removed))
        click.echo(f"removed {some(len(removed), 'payload')} that no record names, {freed}")


@command("data_dir", "schema", "layout_file")
def backup(
    job: Job,
    target: Annotated[
        Path | None,
        Argument(
            help="The archive (.tar, .tar.gz), or a folder for it [beside the data folder].",
        ),
    ] = None,
    check: Annotated[bool, Option("--check", help="Hold an archive against its manifest instead.")] = False,
) -> Answer:
    """Archive the store as it is at one moment.

    Writers go on meanwhile. Nothing is ever written over, and nothing into the store. What is damaged is in
    the archive as it is, and ends the command with 1; with --check, an archive that is not as it was made.
    """
    from octavo.care import backup as care
    from octavo.fold.inventory import schema_facts

    with job.progress() as progress:
        if check:
            if target is None:
                raise UsageError("no archive is named to be checked")
            report = care.check(target, progress)
        else:
            facts = schema_facts(job.schema_text)
            report = care.back_up(job.data_dir, job.layout, target, facts, progress)

    def warn() -> None:
        console.warnings(report.damaged[: console.SHOWN])
        if len(report.damaged) > console.SHOWN:
            console.warning(f"… and {len(report.damaged) - console.SHOWN:,} more")
        if report.damaged and not check:
            console.detail("what is damaged is in the archive as it is: octavo doctor says more")
        console.warnings(f"left out: {text}" for text in report.left_out)

    show = lambda: _show_backup(report, checked=check)  # noqa: E731
    return Answer(report.to_dict(), show, good=not report.damaged, always=warn)


def _show_backup(report: BackupReport, *, checked: bool) -> None:
    manifest = report.manifest
    files = some(len(manifest.files), "file")
    records = some(sum(manifest.counts.values()), "record")
    total = size(sum(file.size for file in manifest.files))
    text = f"{files}, {records}, {total}, as of {manifest.made_at}"
    if checked:
        good = not report.damaged
        console.verdict(good, "SOUND" if good else "DAMAGED", text)
    else:
        click.echo(f"{text}, in {report.seconds:.1f} s")
        click.echo(f"archive: {console.plain(str(report.target))}, {size(report.size)}")


def _pepper() -> str:
    from octavo.crypto import PEPPER_VARIABLE, pepper_from_env

    pepper = pepper_from_env()
    if pepper is None:
        raise UsageError(f"{PEPPER_VARIABLE} is not set", hint="it is what the application encrypts with")
    return pepper


@command("database_url", "data_dir", "schema", "layout_file")
def check(job: Job) -> Answer:
    """Decrypt every encrypted value with ENCRYPTION_MASTER_PEPPER, and look at every hash.

    Where DATA_BACKEND says; both sides in dual. Shows no value. Ends with 1 if one does not open.
    """
    from octavo.backend import get_data_backend
    from octavo.secrets.check import check as run

    pepper = _pepper()
    with job.progress() as progress:
        report = run(get_data_backend(), job.vocabulary, job.settings(), pepper, progress)
    return Answer(report.to_dict(), lambda: _show_check(report), good=report.good, shows_if_quiet=True)


def _show_check(report: SecretsReport) -> None:
    for side, counts in report.sides.items():
        told = ", ".join(f"{number:,} × {scheme}" for scheme, number in counts.items() if number)
        click.echo(f"{side:<10}{told or 'no secrets'}")
    console.listed(report.unopened.first, report.unopened.total)
    looked_at = f"{some(report.values, 'value')}, in {report.seconds:.1f} s"
    if report.good:
        console.verdict(True, "ALL OPEN", looked_at)
    else:
        console.verdict(False, "NOT ALL OPEN", f"{report.unopened.total:,} of {looked_at}")


@command("database_url", "data_dir", "schema", "layout_file")
def rotate(
    job: Job,
    generate: Annotated[
        Path | None,
        Option(
            "--generate",
            metavar="FILE",
            show_default=False,
            help="Make a new pepper and write it to FILE, for its owner alone.",
        ),
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Look at everything; change nothing.")] = False,
) -> Answer:
    """Encrypt everything anew, from ENCRYPTION_MASTER_PEPPER to ENCRYPTION_NEW_PEPPER.

    All of it or nothing, where DATA_BACKEND says; both sides in dual. Run again after an interruption, it
    goes on. Ends with 1, having changed nothing, if a value opens with neither pepper.
    """
    from octavo.backend import get_data_backend
    from octavo.secrets.rotate import rotate as run

    old, new = _pepper(), _new_pepper(job, generate)
    kind, settings = get_data_backend(), job.settings()
    with failures.telling_what_is_left(), job.progress() as progress:
        done = run(kind, job.vocabulary, settings, old, new, dry_run=dry_run, progress=progress)
    return Answer(done.to_dict(), lambda: _show_rotation(done), good=done.good, shows_if_quiet=True)


def _new_pepper(job: Job, generate: Path | None) -> NewPepper:
    from octavo.crypto import pepper_from_env
    from octavo.secrets.rotate import NEW_VARIABLE, NewPepper

    if generate is None:
        return NewPepper.from_env()
    if pepper_from_env(variable=NEW_VARIABLE) is not None:
        raise UsageError(f"{NEW_VARIABLE} is set, and --generate is to make another pepper")
    return NewPepper.generated(generate, job.data_dir)


def _show_rotation(done: Rotation) -> None:
    from octavo.secrets.rotate import Opens

    names = {Opens.OLD: "the old pepper", Opens.NEW: "the new one", Opens.NEITHER: "neither"}
    for side, counts in done.before.sides.items():
        told = ", ".join(f"{counts[o]:,} with {name}" for o, name in names.items() if counts[o])
        click.echo(f"{side:<10}{f'opened {told}' if told else 'no encrypted values'}")
    console.listed(done.unopened.first, done.unopened.total)
    console.verdict(done.good, *_rotation_verdict(done))
    if done.good and not done.dry_run:
        _show_next(done)


def _rotation_verdict(done: Rotation) -> tuple[str, str]:
    from octavo.secrets.rotate import Opens, State

    if done.after is None:
        if done.before.state is State.BROKEN:
            broken = some(done.unopened.total, "value opens", "values open")
            return "NOT ROTATED", f"{broken} with neither pepper; nothing was changed"
        number = done.before.count(Opens.OLD)
        if not number:
            return "NOTHING TO DO", "nothing opens with the old pepper alone"
        return "DRY RUN", f"{some(number, 'value')} would be encrypted anew; nothing was changed"
    told = f"{some(done.changed, 'value')} encrypted anew, in {done.seconds:.1f} s"
    if written := done.left + done.unopened.total:
        late = some(written, "value that does", "values that do")
        return "NOT ALL ROTATED", f"{told}; {late} not open with the new pepper came in meanwhile"
    return "ROTATED", told


def _show_next(done: Rotation) -> None:
    from octavo.crypto import PEPPER_VARIABLE

    click.echo("passwords and tokens do not depend on the pepper; they are as they were")
    if done.follows:
        click.echo("the files follow PostgreSQL: octavo follow brings over what was changed there")
    if done.pepper_file:
        click.echo(f"the new pepper is in {console.plain(str(done.pepper_file))}")
    click.echo(f"start the application with it as {PEPPER_VARIABLE}")
