"""The commands between PostgreSQL and the files: inventory, scaffold, export, follow, verify, restore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from octavo.cli import console, failures
from octavo.cli.parameters import Argument, Option
from octavo.cli.runner import Answer, Job, command
from octavo.errors import UsageError
from octavo.text import size, some

if TYPE_CHECKING:
    from octavo.fold.export import ExportReport
    from octavo.fold.inventory import SavedInventory
    from octavo.fold.restore import RestoreReport
    from octavo.fold.scaffold import ScaffoldReport
    from octavo.follow.state import FollowReport
    from octavo.inspect.findings import Difference
    from octavo.layout.layout import Layout
    from octavo.move.verify import VerifyReport
    from octavo.store.intake import PayloadProblem

_PROBLEMS_ANSWERED = 1000
"""how many payloads a machine's answer names; it counts them all"""


@command("database_url", "data_dir", "schema", "layout_file")
def inventory(job: Job) -> Answer:
    """Count and describe everything in the database.

    Written to cache/prisma-metadata-<date>.json, the baseline of later runs, and to a readable report beside
    it. Ends with 1 if the database is not what the schema says.
    """
    from octavo.fold.inventory import generate_prisma_metadata, save_inventory

    metadata = generate_prisma_metadata(job.url, layout=job.layout, schema_text=job.schema_text)
    saved = save_inventory(metadata, job.data_dir)
    drift = saved.metadata["drift"]
    value = {
        **saved.metadata,
        "files": {"json": saved.json, "report": saved.report},
        "baseline": saved.baseline,
        "changes": saved.changes,
    }
    return Answer(
        value,
        lambda: _show_inventory(saved),
        good=not drift,
        always=lambda: console.problems("drift", drift),
    )


def _show_inventory(saved: SavedInventory) -> None:
    counts, notes = saved.metadata["counts"], saved.metadata["notes"]
    console.table(["model", "rows", ""], [[model, f"{n:,}", ""] for model, n in counts.items()])
    click.echo(f"\n{some(len(counts), 'model')}, {some(saved.metadata['totalRecords'], 'record')}")
    if saved.baseline is not None:
        changed = some(len(saved.changes), "change") if saved.changes else "no changes"
        click.echo(f"{changed} since {saved.baseline.name}")
    console.listed(saved.changes)
    console.section("beside the schema, the database has:", notes)
    console.section("left out:", saved.metadata["leftOut"])
    click.echo(f"inventory: {console.plain(str(saved.json))}")
    click.echo(f"report:    {console.plain(str(saved.report))}")


@command("data_dir", "schema", "layout_file")
def scaffold(job: Job) -> Answer:
    """Make the folders and empty files of a store.

    Existing files stay as they are.
    """
    from octavo.fold.scaffold import scaffold as make

    report = make(job.data_dir, job.layout)
    value = {
        "dataDir": job.data_dir,
        "foldersMade": report.folders_made,
        "filesMade": report.files_made,
        "foldersTightened": report.tightened,
        "filesKept": report.kept,
        "warnings": report.warnings,
    }
    return Answer(
        value, lambda: _show_scaffold(report, job), always=lambda: console.warnings(report.warnings)
    )


def _show_scaffold(report: ScaffoldReport, job: Job) -> None:
    for path in (*report.folders_made, *report.files_made):
        click.echo(f"made {path}")
    for path in report.tightened:
        click.echo(f"closed {path} to others (0700)")
    for path in report.kept:
        click.echo(f"kept {path}, which holds records")
    done = "is ready" if report.changed else "is as it should be; nothing to do"
    click.echo(f"{console.plain(str(job.data_dir))} {done}")


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs", "allow_drift")
def export(
    job: Job,
    replace: Annotated[
        bool, Option("--replace", help="Put the export in the place of a store; the old one is kept.")
    ] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Check and count; write nothing.")] = False,
    part: Annotated[
        str | None,
        Option("--part", metavar="I/N", help="Write this part alone, such as 2/5: the second of five."),
    ] = None,
    patience: Annotated[
        float, Option("--patience", min=0, help="With --part: seconds to wait for parts that do not run.")
    ] = 600.0,
) -> Answer:
    """PostgreSQL → files, from one snapshot, put in place whole.

    With --part, as many processes as there are parts share the work, on one machine or several with a shared
    folder. The first that comes holds the snapshot, waits for the others and puts the store in place.
    """
    from octavo.fold.export import ExportOptions
    from octavo.fold.export import export as run
    from octavo.fold.parts import Part

    # A store of another schema is replaced, or refused as any.
    job.named_wins = True
    options = ExportOptions(
        job.files_root,
        job.jobs,
        replace,
        dry_run,
        allow_drift=job.allowed,
        part=Part.parse(part) if part is not None else None,
        tell=(lambda text: None) if job.silent else console.note,
        patience=patience,
    )
    with job.progress() as progress:
        report = run(job.url, job.data_dir, job.layout, options, progress)
    return Answer(
        _export_as_json(report),
        lambda: _show_export(report, job.layout),
        brief=lambda: console.warnings(_export_warnings(report)),
    )


def _show_export(report: ExportReport, layout: Layout) -> None:
    rows = [[name, f"{count:,}", layout.host(name).path] for name, count in report.counts.items()]
    console.table(["model", "rows", "file"], rows)
    if report.left_to is not None:
        click.echo(
            f"\npart {report.part}; part {report.left_to} puts the store in place when all are written"
        )
    total, where = some(sum(report.counts.values()), "row"), console.plain(str(report.target))
    click.echo()
    if report.dry_run:
        verb = "would replace the store" if report.replaces else "would be written"
        click.echo(f"dry run: {total} {verb}; nothing was written\ndata: {where}")
    else:
        click.echo(f"{total} in {some(report.files, 'file')}, in {report.seconds:.1f} s\ndata: {where}")
        if report.caught_up:
            again = some(report.caught_up, "record")
            click.echo(f"written meanwhile: {again}, which were copied again")
        click.echo(f"payloads: of {some(report.payloads, 'record')}, {size(report.payload_bytes)}")
    if report.kept:
        click.echo(f"the store that was there: {console.plain(str(report.kept))}")
    for settled in report.settled:
        click.echo(f"the store that an interrupted export replaced: {console.plain(str(settled))}")
    console.warnings(_export_warnings(report))
    console.section("payloads to look at:", [_payload_line(p) for p in report.payload_problems])
    console.section("beside the schema, the database has:", report.notes)
    console.section("left out:", report.left_out)


def _payload_line(problem: PayloadProblem) -> str:
    """What there is to say about a record's payload."""
    key, path = console.short(problem.key), console.short(problem.path, 120)
    return f"{problem.model} {key}: {path!r} {problem.reason}"


def _export_warnings(report: ExportReport) -> list[str]:
    """What should be looked into, a sentence each; the records themselves are all kept."""
    found = []
    if report.files_root_missing and report.payload_problems:
        found.append("the files root is not there, so no payload was kept: --files-root names it")
    for reason, count in _by_reason(report).items():
        said = reason if count == 1 else reason.replace("is ", "are ", 1)
        found.append(f"{some(count, 'payload')} {said}")
    return found


def _by_reason(report: ExportReport) -> dict[str, int]:
    """How many payloads there is something to say about, by what it is."""
    return dict(Counter(p.reason if not p.kept else "kept, of another size" for p in report.payload_problems))


def _export_as_json(report: ExportReport) -> dict[str, Any]:
    problems = report.payload_problems
    return {
        "dataDir": report.target,
        "dryRun": report.dry_run,
        "replaces": report.replaces,
        "counts": report.counts,
        "caughtUp": report.caught_up,
        "files": report.files,
        "replaced": report.kept,
        "settled": report.settled,
        "payloads": {
            "kept": report.payloads,
            "bytes": report.payload_bytes,
            "filesRootMissing": report.files_root_missing,
            "problems": problems[:_PROBLEMS_ANSWERED],
            "problemsTotal": len(problems),
            "problemsByReason": _by_reason(report),
            "notKept": sum(not p.kept for p in problems),
        },
        "notes": report.notes,
        "leftOut": report.left_out,
        "seconds": round(report.seconds, 3),
        **({"part": str(report.part), "whole": report.left_to is None} if report.part else {}),
    }


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "allow_drift")
def restore(job: Job) -> Answer:
    """Files → an empty PostgreSQL, in one transaction.

    Payloads are written back to the files root, never over a file with other content. The database holds no
    tables yet, or the schema's tables without rows.
    """
    from octavo.fold.restore import restore as run

    with job.progress() as progress:
        report = run(job.url, job.data_dir, job.layout, job.files_root, progress, allow_drift=job.allowed)
    value = {
        "database": job.url.display,
        "dataDir": report.data_dir,
        "filesRoot": job.files_root,
        "counts": report.counts,
        "createdTables": report.created_tables,
        "payloads": {"written": report.payloads, "notes": report.payload_notes},
        "leftOut": report.left_out,
        "notes": report.notes,
        "seconds": round(report.seconds, 3),
    }
    notes = len(report.payload_notes)
    left = [f"{some(notes, 'payload')} could not be written"] * bool(notes)
    return Answer(value, lambda: _show_restore(report, job), brief=lambda: console.warnings(left))


def _show_restore(report: RestoreReport, job: Job) -> None:
    console.table(["model", "rows", ""], [[name, f"{n:,}", ""] for name, n in report.counts.items()])
    made = "made the tables and loaded" if report.created_tables else "loaded"
    total = some(sum(report.counts.values()), "row")
    click.echo(f"\n{made} {total} in {report.seconds:.1f} s")
    click.echo(f"database: {console.plain(job.url.display)}")
    root = console.plain(str(job.files_root))
    click.echo(f"payloads: of {some(report.payloads, 'record')}, below {root}")
    console.section("payloads to look at:", report.payload_notes)
    console.section("left out:", report.left_out)
    console.section("point at nothing, as the schema allows:", report.notes)


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs", "allow_drift")
def verify(
    job: Job,
    thorough: Annotated[
        bool, Option("--thorough", help="Decode every record, also where the lines are the same.")
    ] = False,
    part: Annotated[
        str | None,
        Option("--part", metavar="I/N", help="Verify this part alone, such as 2/5: the second of five."),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            "--out",
            show_default=False,
            help="Where the report of a part goes [<DATA_DIR>/cache/verification].",
        ),
    ] = None,
    merge: Annotated[bool, Option("--merge", help="Make one report of those of all parts.")] = False,
    reports: Annotated[list[str] | None, Argument(nargs=-1)] = None,
) -> Answer:
    """Compare every field of every record, both ways.

    The lines of logs are compared as they are; what differs there, and all other files, field by field.

    With ENCRYPTION_MASTER_PEPPER set, each secret is decrypted too. Ends with 1 on any difference.
    """
    _refuse_mixed(part, out, merge=merge, reports=reports)
    if merge:
        from octavo.move.merging import merge as run_merge

        report = run_merge(job.data_dir, job.layout, list(map(Path, reports or ())))
    else:
        from octavo.crypto import pepper_from_env
        from octavo.fold.parts import Part
        from octavo.move.verify import VerifyOptions
        from octavo.move.verify import verify as run

        options = VerifyOptions(
            job.files_root,
            pepper_from_env(),
            job.jobs,
            job.allowed,
            thorough,
            Part.parse(part) if part is not None else None,
            out,
        )
        with job.progress() as progress:
            report = run(job.url, job.data_dir, job.layout, options, progress)
    return Answer(
        report.to_dict(),
        lambda: _show_verification(report),
        good=report.equal,
        brief=lambda: console.warnings(_verify_warnings(report)),
        shows_if_quiet=True,
    )


def _refuse_mixed(part: str | None, out: Path | None, *, merge: bool, reports: list[str] | None) -> None:
    """Raise UsageError for options that do not go together."""
    if merge and (part or out):
        raise UsageError("--merge makes one report of all parts: --part and --out are for one part")
    if reports and not merge:
        raise UsageError("reports of parts are for --merge", hint="octavo verify --merge REPORT …")
    if out is not None and part is None:
        raise UsageError("--out is for the report of a part", hint="octavo verify --part 1/2 --out FILE")


def _show_verification(report: VerifyReport) -> None:
    rows = []
    for name, count in report.counts.items():
        kinds = report.by_model.get(name, {})
        verdict = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()) or "equal"
        verdict += f", by {report.ways[name].value}"
        rows.append([name, f"{count['database']:,}", f"{count['files']:,}", verdict])
    console.table(["model", "database", "files", ""], rows)
    click.echo()
    total = some(sum(c["database"] for c in report.counts.values()), "record")
    if report.part is not None:
        total = f"part {report.part.part}: {total}"
    if report.equal:
        text = f"{total}, every field, both ways, in {report.seconds:.1f} s"
    else:
        found = some(report.total, "difference")
        broken = some(len(report.violations), "broken rule")
        text = f"{found}, {broken}, in {report.seconds:.1f} s"
    console.verdict(report.equal, "EQUAL" if report.equal else "NOT EQUAL", text)
    if report.merged:
        click.echo(f"merged of {report.merged}")
    if report.elsewhere:
        click.echo(f"the move is about another database than {console.plain(report.elsewhere)}:")
        console.listed(["its state stays as it is; octavo export --replace begins anew with this one"])
    for difference in report.differences[: console.SHOWN]:
        _show_difference(difference)
    if (more := report.total - console.SHOWN) > 0:
        click.echo(f"  … and {more:,} more")
    console.section(
        "records that break a rule of the schema, among the files:",
        [f"{v.model} {_key(v.key)}: {v.reason} ({v.file})" for v in report.violations],
    )
    console.section(
        "keys that the schema does not know (they are kept):",
        [f"{key}, in {where}" for where, key in report.unknown_keys],
    )
    console.section("files that belong to nothing:", report.strays)
    click.echo(
        f"payloads: {report.payloads:,} held against their digests, "
        f"{report.payloads_compared:,} against the files root"
    )
    console.listed(report.payload_notes)
    if report.secrets is not None:
        click.echo(f"secrets: {report.secrets:,} checked")
    if report.left_out:
        console.section("left out:", report.left_out)
    else:
        click.echo("left out: nothing")
    console.section("beside the schema, the database has:", report.notes)
    if report.report:
        click.echo(f"report: {console.plain(str(report.report))}")


def _verify_warnings(report: VerifyReport) -> list[str]:
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
    click.echo("  " + console.plain(" ".join(part for part in parts if part)))
    if difference.reason:
        click.echo("    " + console.plain(difference.reason))
    values = difference.values or {}
    for name in difference.fields:
        if name not in values:
            click.echo(f"    {console.plain(name)}")
            continue
        for side in ("database", "files"):
            click.echo(f"    {console.plain(name)}  {side + ':':<9} {_value(getattr(values[name], side))}")


def _value(text: str | None) -> str:
    return "NULL" if text is None else console.plain(repr(text))


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs")
def follow(
    job: Job,
    replace: Annotated[
        bool, Option("--replace", help="Make the files anew; a store that is there is kept aside.")
    ] = False,
    until_caught_up: Annotated[
        bool,
        Option("--until-caught-up", help="End when all that was committed before now is there."),
    ] = False,
    stop: Annotated[
        bool, Option("--stop", help="Follow no more: remove what was made in the database for it.")
    ] = False,
) -> Answer:
    """Keep files in step with a PostgreSQL that others use.

    The first time, the files are made as by an export. Ctrl-C ends it in order; run again, it goes on where
    it was.
    """
    from octavo.cli.live import watching
    from octavo.follow import life

    url = job.url
    if stop:
        if replace or until_caught_up:
            raise UsageError("--stop goes with neither --replace nor --until-caught-up")
        removed = life.stop(url, job.data_dir)
        said = "the files follow no more" if removed else "nothing was followed"
        return Answer({"dataDir": job.data_dir, "removed": removed}, lambda: click.echo(said))
    job.named_wins = replace
    options = life.FollowOptions(job.files_root, job.jobs, replace, until_caught_up)
    with failures.telling_what_is_left(), watching(quiet=job.quiet, as_json=job.as_json) as watcher:
        report = life.follow(url, job.data_dir, job.layout, options, watcher)
    left = [f"{some(len(report.lacking), 'payload')} could not be read"] * bool(report.lacking)

    def show_all() -> None:
        _show_following(report)
        console.warnings(left)

    return Answer(report, show_all, brief=lambda: console.warnings(left))


def _show_following(report: FollowReport) -> None:
    if report.seeded:
        click.echo(f"the files were made in {console.plain(str(report.data_dir))}")
    if report.replaced:
        click.echo(f"the store that was there: {console.plain(str(report.replaced))}")
    transactions, rows = some(report.transactions, "transaction"), some(report.rows, "row")
    click.echo(f"{transactions} carried over, {rows} changed, in {report.seconds:.1f} s")
    if report.committed:
        click.echo(f"the last of them was committed at {report.committed}")
    if report.caught_up:
        click.echo("all that was committed before the start is in the files")
    console.listed([_payload_line(problem) for problem in report.lacking])
