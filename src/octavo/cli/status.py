"""``octavo status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console, failures, options
from octavo.text import size, some

if TYPE_CHECKING:
    from octavo.move.checklist import Item
    from octavo.move.status import Status

_MARKS = {"good": "[x]", "bad": "[!]", "unknown": "[?]"}


def status(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    files_root: options.FilesRootIfThere = None,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    heal: Annotated[
        bool,
        typer.Option("--heal", help="Recover the files, and copy what differs to them from PostgreSQL."),
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Read no records: no counts, no checklist.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show how the move stands, and its checklist.

    The phase, where the data lives, what both sides have, and what is known to differ.

    Every item of the checklist is looked at now. Changes nothing unless told to heal. Ends with 1 if
    something is left to do or damaged, with 3 if one side cannot be reached.
    """
    from octavo import backend
    from octavo.backend import Settings
    from octavo.crypto import pepper_from_env
    from octavo.move.status import Looking
    from octavo.move.status import status as look
    from octavo.query.vocabulary import Vocabulary

    settings = Settings(
        database_url=database_url or "",
        data_dir=data_dir,
        layout=layout,
        files_root=files_root or backend.files_root(),
    )
    vocabulary = Vocabulary(options.chosen_schema(schema, data_dir, layout))
    looking = Looking(heal, quick, pepper_from_env())
    left = "some records may be healed, each of them whole; the next run does the others" if heal else ""
    with failures.telling_what_is_left(left), console.progress(quiet=quiet or as_json) as progress:
        found = look(backend.get_data_backend(), vocabulary, settings, looking, progress)
    if as_json:
        console.answer(found.to_dict())
    elif not quiet:
        show(found)
    for healed in found.healed:
        if healed.error:
            console.problem("not healed", f"{healed.divergence.model}: {healed.error}")
    if code := found.exit_code:
        raise typer.Exit(code)


def show(found: Status) -> None:
    """Print how things stand."""
    _show_move(found)
    for name, reason in (("PostgreSQL", found.database), ("files", found.store)):
        if reason is not None:
            fenced = ", takes no writes" if name == "PostgreSQL" and found.fenced else ""
            typer.echo(f"{name:<13}{console.plain(reason) or 'there'}{fenced}")
    if found.store == "":
        doubt = f", {found.in_doubt:,} in doubt" if found.in_doubt else ""
        lag = ", to be recovered" if found.lagging else ""
        busy = ", being written to" if found.writing else ""
        typer.echo(f"journal      {some(found.entries, 'entry', 'entries')}{doubt}{lag}{busy}")
        compared, different, failed = (found.counters.get(n, 0) for n in ("compared", "different", "failed"))
        noticed = found.counters.get("noticed", 0)
        beside = f"; {some(noticed, 'difference')} noticed by writes" if noticed else ""
        reads = f"{some(compared, 'read')}, {different:,} different, {failed:,} failed"
        typer.echo(f"compared     {reads}{beside}")
    for path in found.set_aside:
        typer.echo(f"set aside    {console.plain(path)}: a store that an interrupted export replaced")
    _show_divergences(found)
    if any(count != (None, None, None) for count in found.counts.values()):
        typer.echo()
        rows = [
            [name, *("–" if n is None else f"{n:,}" for n in count)] for name, count in found.counts.items()
        ]
        console.table(["model", "baseline", "database", "files"], rows)
    if found.checklist:
        typer.echo("\nchecklist")
        show_checklist(found.checklist)
    if not found.good and not found.healed and (found.divergences or found.lagging or found.in_doubt):
        console.detail("octavo status --heal makes the files what PostgreSQL is")


def _show_move(found: Status) -> None:
    from octavo.move.status import age

    move = found.migration
    typer.echo(
        f"phase        {move.phase.value if move.phase else 'not begun: octavo inventory is the first step'}"
    )
    typer.echo(f"backend      {found.backend.value}")
    since = f", since {move.since}" if move.since else ""
    typer.echo(f"of record    {move.backend.value}{since}")
    if refusal := move.refusal(found.backend):
        typer.echo(f"             {refusal.message}")
        if move.is_frozen:
            typer.echo(f"             {refusal.hint}")
    if move.transitions:
        last = move.transitions[-1]
        typer.echo(f"last step    {last.time}, {console.plain(last.who)}: {console.plain(last.why)}")
    if move.verified:
        verdict = "equal" if move.verified.equal else some(move.verified.differences, "difference")
        names = {"database": "PostgreSQL", "files": "the files"}
        written = " and ".join(names[side] for side, is_written in found.written.items() if is_written)
        since = (
            f"; {written} {'was' if written == 'PostgreSQL' else 'were'} written to since" if written else ""
        )
        said = f"{verdict}, {move.verified.records:,} records{since}"
        typer.echo(f"verified     {ago(age(move.verified.time))} ago: {said}")
    if move.following:
        behind = "" if found.lag is None else f"{size(found.lag)} of log behind"
        lag = console.plain(found.following) or behind or "its lag is not known"
        typer.echo(f"following    since {move.following.since}, {lag}")


def _show_divergences(found: Status) -> None:
    if found.healed:
        good = [h for h in found.healed if not h.error]
        copied = some(sum(h.copied for h in good), "record")
        typer.echo(f"healed       {len(good):,} of {len(found.healed):,}, {copied} copied")
    ages = found.ages
    if ages is not None:
        oldest, newest = map(ago, ages)
        typer.echo(f"divergences  {len(found.divergences):,}, the oldest {oldest} old, the newest {newest}")
        console.listed(
            [
                " ".join(filter(None, (d.kind, *d.about, ", ".join(d.fields), d.reason)))
                for d in found.divergences
            ]
        )


def show_checklist(items: list[Item]) -> None:
    """Print the checklist, an item a line."""
    for item in items:
        typer.echo(f"  {_MARKS[item.verdict.value]} {item.title}: {console.plain(item.reason)}")


def ago(seconds: float) -> str:
    """A length of time, in the unit that fits it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
