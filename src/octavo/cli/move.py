"""``octavo status``, ``report``, ``cutover``, ``rollback``, ``cleanup``: how the move stands; its turns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import click

from octavo.cli import console, failures
from octavo.cli.parameters import Option
from octavo.cli.runner import Answer, Job, command
from octavo.errors import UsageError, disk_errors
from octavo.text import size, some

if TYPE_CHECKING:
    from octavo.move.checklist import Item
    from octavo.move.sides import Gate, MoveOptions, MoveReport, Sides
    from octavo.move.status import Status
    from octavo.report.facts import Facts

_MARKS = {"good": "[x]", "bad": "[!]", "unknown": "[?]"}


@command("database_url", "data_dir", "files_root_if_there", "schema", "layout_file")
def status(
    job: Job,
    heal: Annotated[
        bool,
        Option("--heal", help="Recover the files, and copy what differs to them from PostgreSQL."),
    ] = False,
    quick: Annotated[bool, Option("--quick", help="Read no records: no counts, no checklist.")] = False,
) -> Answer:
    """Show how the move stands, and its checklist.

    The phase, where the data lives, what both sides have, and what is known to differ.

    Every item of the checklist is checked now. Changes nothing unless told to heal. Ends with 1 if
    something is left to do or damaged, with 3 if one side cannot be reached.
    """
    from octavo import backend
    from octavo.crypto import pepper_from_env
    from octavo.move.status import Looking
    from octavo.move.status import status as look

    settings = job.settings(job.files_root_if_there or backend.files_root())
    looking = Looking(heal, quick, pepper_from_env())
    left = "some records may be healed, each of them whole; the next run does the others" if heal else ""
    with failures.telling_what_is_left(left), job.progress() as progress:
        found = look(backend.get_data_backend(), job.vocabulary, settings, looking, progress)

    def not_healed() -> None:
        for healed in found.healed:
            if healed.error:
                console.problem("not healed", f"{healed.divergence.model}: {healed.error}")

    code = found.exit_code
    return Answer(found.to_dict(), lambda: _show_status(found), good=not code, code=code, always=not_healed)


def _show_status(found: Status) -> None:
    _show_move(found)
    for name, reason in (("PostgreSQL", found.database), ("files", found.store)):
        if reason is not None:
            fenced = ", takes no writes" if name == "PostgreSQL" and found.fenced else ""
            click.echo(f"{name:<13}{console.plain(reason) or 'there'}{fenced}")
    if found.store == "":
        doubt = f", {found.in_doubt:,} in doubt" if found.in_doubt else ""
        lag = ", to be recovered" if found.lagging else ""
        busy = ", being written to" if found.writing else ""
        click.echo(f"journal      {some(found.entries, 'entry', 'entries')}{doubt}{lag}{busy}")
        compared, different, failed = (found.counters.get(n, 0) for n in ("compared", "different", "failed"))
        noticed = found.counters.get("noticed", 0)
        beside = f"; {some(noticed, 'difference')} noticed by writes" if noticed else ""
        reads = f"{some(compared, 'read')}, {different:,} different, {failed:,} failed"
        click.echo(f"compared     {reads}{beside}")
    for path in found.set_aside:
        click.echo(f"set aside    {console.plain(path)}: a store that an interrupted export replaced")
    _show_divergences(found)
    if any(count != (None, None, None) for count in found.counts.values()):
        click.echo()
        rows = [
            [name, *("–" if n is None else f"{n:,}" for n in count)] for name, count in found.counts.items()
        ]
        console.table(["model", "baseline", "database", "files"], rows)
    if found.checklist:
        click.echo("\nchecklist")
        _show_checklist(found.checklist)
    if not found.good and not found.healed and (found.divergences or found.lagging or found.in_doubt):
        console.detail("octavo status --heal makes the files what PostgreSQL is")


def _show_move(found: Status) -> None:
    from octavo.move.status import age

    move = found.migration
    click.echo(
        f"phase        {move.phase.value if move.phase else 'not begun: octavo inventory is the first step'}"
    )
    click.echo(f"backend      {found.backend.value}")
    since = f", since {move.since}" if move.since else ""
    click.echo(f"of record    {move.backend.value}{since}")
    if refusal := move.refusal(found.backend):
        click.echo(f"             {refusal.message}")
        if move.is_frozen:
            click.echo(f"             {refusal.hint}")
    if move.transitions:
        last = move.transitions[-1]
        click.echo(f"last step    {last.time}, {console.plain(last.who)}: {console.plain(last.why)}")
    if move.verified:
        verdict = "equal" if move.verified.equal else some(move.verified.differences, "difference")
        names = {"database": "PostgreSQL", "files": "the files"}
        written = " and ".join(names[side] for side, is_written in found.written.items() if is_written)
        since = (
            f"; {written} {'was' if written == 'PostgreSQL' else 'were'} written to since" if written else ""
        )
        said = f"{verdict}, {move.verified.records:,} records{since}"
        click.echo(f"verified     {_ago(age(move.verified.time))} ago: {said}")
    if move.following:
        behind = "" if found.lag is None else f"{size(found.lag)} of log behind"
        lag = console.plain(found.following) or behind or "its lag is not known"
        click.echo(f"following    since {move.following.since}, {lag}")


def _show_divergences(found: Status) -> None:
    if found.healed:
        good = [h for h in found.healed if not h.error]
        copied = some(sum(h.copied for h in good), "record")
        click.echo(f"healed       {len(good):,} of {len(found.healed):,}, {copied} copied")
    ages = found.ages
    if ages is not None:
        oldest, newest = map(_ago, ages)
        click.echo(f"divergences  {len(found.divergences):,}, the oldest {oldest} old, the newest {newest}")
        console.listed(
            [
                " ".join(filter(None, (d.kind, *d.about, ", ".join(d.fields), d.reason)))
                for d in found.divergences
            ]
        )


def _show_checklist(items: list[Item]) -> None:
    for item in items:
        click.echo(f"  {_MARKS[item.verdict.value]} {item.title}: {console.plain(item.reason)}")


def _ago(seconds: float) -> str:
    """A length of time, in the unit that fits it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


@command("database_url", "data_dir", "schema", "layout_file")
def report(
    job: Job,
    out: Annotated[
        Path | None,
        Option("--out", show_default=False, help="The file to write [<DATA_DIR>/cache/report-<date>.html]."),
    ] = None,
) -> Answer:
    """Write a page to look at, as one HTML file.

    The schema as a diagram, the files, the last verification, the checklist, growth, and the steps of the
    move. It needs no network, and looks at all that octavo status looks at. Ends with 1 only if an earlier
    inventory or verification cannot be read, which the page tells.
    """
    from octavo.backend import get_data_backend
    from octavo.crypto import pepper_from_env
    from octavo.move.status import Looking
    from octavo.move.status import status as look
    from octavo.report.page import write_page

    layout, text = job.layout, job.schema_text
    target = out or job.data_dir / "cache" / f"report-{datetime.now(UTC):%Y-%m-%d}.html"
    _require_ours(target)
    with job.progress() as progress:
        looking = Looking(pepper=pepper_from_env())
        found = look(get_data_backend(), job.vocabulary, job.settings(), looking, progress)
    facts = write_page(found, layout, target, text)
    return Answer(
        {"path": target, "bytes": os.path.getsize(target), **_held(facts)},
        lambda: click.echo(f"The report is {target}"),
        good=not facts.damaged,
        always=lambda: console.warnings(facts.problems),
    )


def _require_ours(target: Path) -> None:
    from octavo.report.page import GENERATOR

    with disk_errors("looking at the report's place"):
        if target.is_dir():
            raise UsageError(f"{target} is a folder", hint="name a file with --out")
        if not target.exists():
            return
        with open(target, "rb") as file:
            head = file.read(4096)
    if f'name="generator" content="{GENERATOR}"'.encode() not in head:
        raise UsageError(f"{target} exists already and is not a report", hint="name another file with --out")


def _held(facts: Facts) -> dict[str, Any]:
    """What the page shows, for a machine."""
    found, store = facts.verification, facts.files
    records = {side: facts.counted(side) for side in ("database", "files")}
    return {
        "made": facts.made.isoformat(),
        "models": len(facts.layout.places),
        "foreignKeys": len(facts.layout.datamodel.foreign_keys),
        "files": None if store is None else {"files": store.files, "bytes": store.size},
        "records": {side: None if n is None else sum(n.values()) for side, n in records.items()},
        "verification": None
        if found is None
        else {
            "time": found.time.isoformat(),
            "equal": found.holds,
            "equalThen": found.equal,
            "writtenSince": found.written,
            "differences": found.total,
        },
        "counts": len(facts.snapshots),
        "checklist": dict(Counter(item.verdict.value for item in facts.status.checklist)),
        "phase": facts.status.phase,
        "backend": facts.state.backend,
        "transitions": len(facts.state.transitions),
        "problems": list(facts.problems),
    }


_Patience: TypeAlias = Annotated[
    float, Option("--patience", min=0, help="Seconds to wait for those who are writing.")
]


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs")
def cutover(
    job: Job,
    waive: Annotated[
        list[str] | None,
        Option("--waive", show_default=False, help="Pass this gate although it is closed."),
    ] = None,
    patience: _Patience = 30.0,
    dry_run: Annotated[bool, Option("--dry-run", help="Look at the gates; change nothing.")] = False,
) -> Answer:
    """Make the files the backend of record.

    Every gate is checked and printed with its reason. If all are open: everything is verified while writers
    go on; then they are kept out for a moment, what they have written since is verified too, and the files
    are of record. Ends with 1 if a gate is closed or both sides differ. Can be interrupted anywhere, and run
    again.
    """
    from octavo.move.cutover import cutover as run

    options = _options(job, patience=patience, dry_run=dry_run, waive=waive or ())
    report = _turn(job, options, partial(run, show=len if job.silent else _show_gates))

    def show() -> None:
        if job.quiet:
            _show_gates(report.closed)
        if report.done:
            if report.waited:
                click.echo(f"writers were kept out for {report.waited:.1f} s")
            _show_end(report, "the files are the backend of record", "DATA_BACKEND=json")
        elif report.closed:
            click.echo("nothing was changed")
        else:
            click.echo("dry run: every gate is open; nothing was changed")

    return Answer(report.to_dict(), show, good=not report.closed, shows_if_quiet=True)


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs")
def rollback(
    job: Job,
    overwrite: Annotated[
        bool,
        Option("--overwrite", help="Give up what was written to PostgreSQL since the cutover."),
    ] = False,
    patience: _Patience = 30.0,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say what would change in PostgreSQL; keep nothing of it.")
    ] = False,
) -> Answer:
    """Go back to PostgreSQL, with all that was written since.

    Its tables become what the files are; payloads go back to the files root; everything is verified. Writers
    of the files wait only for what they have changed meanwhile. Can be interrupted anywhere, and run again.
    """
    from octavo.move.rollback import rollback as run

    report = _turn(job, _options(job, patience=patience, dry_run=dry_run, overwrite=overwrite), run)

    def show() -> None:
        if report.changes:
            rows = [[name, *(f"{n:,}" for n in counts.values())] for name, counts in report.changes.items()]
            console.table(["model", "inserted", "changed", "deleted"], rows)
        if report.done:
            _show_end(report, "PostgreSQL is the backend of record", "DATA_BACKEND=dual or prisma")
        else:
            click.echo("dry run: PostgreSQL is as it was")

    return Answer(report.to_dict(), show)


@command("database_url", "data_dir", "schema", "layout_file")
def cleanup(
    job: Job,
    yes: Annotated[bool, Option("--yes", help="Yes, there is to be no way back.")] = False,
) -> Answer:
    """End the move: give up the way back.

    What Octavo has made in the database is removed, if it is still there; its tables and rows stay as they
    are.
    """
    from octavo.errors import UsageError
    from octavo.move.cutover import cleanup as run

    if not yes:
        raise UsageError("after this, octavo rollback is not possible any more", hint="octavo cleanup --yes")
    with failures.telling_what_is_left():
        report = run(_sides(job, url_needed=False), tell=job.tell)
    return Answer(report.to_dict(), lambda: _show_end(report, "the move is over", "DATA_BACKEND=json"))


def _options(job: Job, **own: Any) -> MoveOptions:
    from octavo.crypto import pepper_from_env
    from octavo.move.sides import MoveOptions

    return MoveOptions(files_root=job.files_root, pepper=pepper_from_env(), jobs=job.jobs, **own)


def _turn(job: Job, options: MoveOptions, run: Callable[..., MoveReport]) -> MoveReport:
    """Cut over or roll back, and write the page of how everything stands afterwards."""
    from octavo.report.page import write_page_of_move

    sides = _sides(job)
    with failures.telling_what_is_left(), job.progress() as progress:
        report = run(sides, options, progress=progress, tell=job.tell)
        if report.report is not None:
            write_page_of_move(report, sides, options.pepper, progress, job.tell)
    return report


def _sides(job: Job, *, url_needed: bool = True) -> Sides:
    from octavo.move.sides import Sides

    if url_needed:
        _ = job.url
    return Sides(job.vocabulary, job.settings())


def _show_gates(gates: Sequence[Gate]) -> None:
    for gate in gates:
        state = "open" if gate.open else "WAIVED" if gate.waived else "CLOSED"
        click.echo(f"  {state:<7} {gate.name:<13} {console.plain(gate.reason)}")
        if not gate.passed and gate.hint:
            click.echo(f"  {'':<21} → {gate.hint}")


def _show_end(report: MoveReport, word: str, setting: str) -> None:
    for note in report.notes:
        click.echo(f"note: {console.plain(note)}")
    for path in filter(None, (report.report, report.page)):
        click.echo(f"report: {console.plain(str(path))}")
    console.verdict(True, "DONE", f"{word}: start the application with {setting}")
