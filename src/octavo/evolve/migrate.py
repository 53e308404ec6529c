"""A store's schema and layout become others: planned, built beside, verified, put in place by one exchange.

The store's write lock is held from the first record that is read until the new folder is in place.  So
whatever a writer has committed is in the new store, and a process that is killed leaves the store before or
after.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG

from octavo.backend import DataBackend
from octavo.errors import DamagedError, DifferenceError, UsageError, disk_errors
from octavo.evolve.beside import carry
from octavo.evolve.checks import Gathering
from octavo.evolve.files import NewFiles
from octavo.evolve.functions import Function
from octavo.evolve.history import Migration, last_migration, migration
from octavo.evolve.matching import Matching, Renames
from octavo.evolve.places import as_before, next_layout, with_keys
from octavo.evolve.plan import Plan
from octavo.evolve.records import Pass, arriving
from octavo.evolve.steps import How, Step, refused
from octavo.fold.target import Building, building, foreign, give_name
from octavo.inspect.integrity import gathering
from octavo.inspect.observers import scanning
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.codec import Codecs
from octavo.layout.layout import Layout
from octavo.layout.listing import contents, payload_files, payload_path
from octavo.layout.load import parse_layout
from octavo.layout.written import layout_text
from octavo.schema.datamodel import Datamodel
from octavo.schema.meaning import fingerprint
from octavo.store import phase
from octavo.store.engine import Resolve
from octavo.store.identity import (
    FOLDER,
    MIGRATED,
    SchemaName,
    identity_files,
    is_identity,
    read_identity,
    write_identity,
)
from octavo.store.lock import TIMEOUT
from octavo.store.offline import at_rest, require_store
from octavo.store.system import FILE_MODE, FOLDER_MODE


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """How to migrate.  ``functions``: by model of the new schema; ``lock_timeout``: seconds to wait for the
    write lock, None for ever; ``resolve`` tells the outcome of a dual write that is in doubt."""

    renames: Renames = Renames()  # noqa: RUF009
    functions: Mapping[str, Function] = field(default_factory=dict)
    dry_run: bool = False
    jobs: int = 2
    lock_timeout: float | None = TIMEOUT
    resolve: Resolve | None = None


@dataclass
class MigrateReport:
    """What a migration did, or (a dry run) would do."""

    target: Path
    before: SchemaName
    after: SchemaName
    back: bool = False
    """whether it took the last migration back"""
    dry_run: bool = False
    steps: list[Step] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """records of the new store, by model"""
    lost: list[str] = field(default_factory=list)
    """what a way back could not bring back: fields, and models"""
    kept: Path | None = None
    """where the store is that was replaced"""
    settled: list[Path] = field(default_factory=list)
    """stores that an interrupted command had replaced, which have a name now"""
    payloads: int = 0
    files: int = 0
    rebuilt: bool = False
    """whether the records were written anew"""
    texts: list[str] = field(default_factory=list)
    """the texts in ``schema/`` that changed, where they say the same in other words"""
    to_heal: list[str] = field(default_factory=list)
    """where PostgreSQL is written to as well: the models that ``octavo status --heal`` has to copy"""
    backend: DataBackend = DataBackend.PRISMA
    """the backend of record"""
    is_moving: bool = False
    """whether the store is part of a move, so that there is a database beside it"""
    seconds: float = 0.0

    @property
    def refused(self) -> list[str]:
        """Why it cannot be done, a sentence for each record or step; empty: it can."""
        return refused(self.steps)


def migrate(
    data_dir: Path,
    old: Layout,
    target: Datamodel,
    options: MigrateOptions,
    progress: Progress = SILENT,
    *,
    layout: Layout | None = None,
) -> MigrateReport:
    """Take a store to another schema.  ``old`` is its layout, with its schema; ``layout`` the new one, where
    it is not to be the old one as far as it goes.

    A dry run changes nothing, and its report may have steps that are refused.  Raises DifferenceError with
    these otherwise, and for a store that is damaged; UsageError for a rename that is none; LayoutError,
    BusyError, DiskError.
    """
    moment = datetime.now(UTC)
    former = old.datamodel
    target = as_before(target, former, Matching(former, target, options.renames))
    if layout is not None:
        layout = parse_layout(layout.text or layout_text(layout), target, source=layout.source)
    matching = Matching(former, layout.datamodel if layout else with_keys(target), options.renames)
    new = layout or next_layout(old, matching)
    run = _Run(data_dir.resolve(), (old, new), matching, options, moment)
    return run.forth(progress)


def migrate_back(
    data_dir: Path, old: Layout, options: MigrateOptions, progress: Progress = SILENT
) -> MigrateReport:
    """Take the last migration of a store back.

    Refused where values would be lost, or were lost on the way forth: each field is named.  Raises as
    :func:`migrate`, and UsageError for a store that was not migrated.
    """
    require_store(data_dir)
    last = last_migration(read_identity(data_dir))
    former = last.former_layout()
    renames = last.renames.back
    kept = as_before(former.datamodel, old.datamodel, Matching(old.datamodel, former.datamodel, renames))
    if kept is not former.datamodel:
        former = parse_layout(former.text, kept, source=former.source)
    matching = Matching(old.datamodel, former.datamodel, renames)
    run = _Run(data_dir.resolve(), (old, former), matching, options, last.at)
    return run.back(last, progress)


class _Run:
    """One migration of one store."""

    def __init__(
        self,
        data_dir: Path,
        layouts: tuple[Layout, Layout],
        matching: Matching,
        options: MigrateOptions,
        moment: datetime,
    ) -> None:
        require_store(data_dir)
        self.data_dir, (self.old, self.new) = data_dir, layouts
        self.matching, self.options, self.moment = matching, options, moment
        self.report = MigrateReport(
            data_dir,
            SchemaName.of(self.old.datamodel),
            SchemaName.of(self.new.datamodel),
            dry_run=options.dry_run,
        )

    def forth(self, progress: Progress) -> MigrateReport:
        """Migrate to the new schema."""
        return self._run(None, progress)

    def back(self, last: Migration, progress: Progress) -> MigrateReport:
        """Take the last migration back."""
        self.report.back = True
        return self._run(last, progress)

    def _run(self, last: Migration | None, progress: Progress) -> MigrateReport:
        started, options = time.monotonic(), self.options
        with ExitStack() as stack:
            if not options.dry_run:
                # No cutover may begin meanwhile.
                stack.enter_context(phase.alone(self.data_dir, "schema migrate", options.lock_timeout))
            self._look_at_move()
            held = at_rest(self.data_dir, timeout=options.lock_timeout, resolve=options.resolve)
            stack.enter_context(held)
            if last is not None or self._changes_files() or not self._write_texts():
                self._rebuild(last, progress)
        self.report.seconds = time.monotonic() - started
        return self.report

    def _look_at_move(self) -> None:
        state = phase.read(self.data_dir)
        self.report.backend, self.report.is_moving = state.backend, phase.has_begun(self.data_dir)
        if state.following is not None:
            raise UsageError(
                f"the files in {self.data_dir} follow PostgreSQL",
                hint="octavo follow --stop ends it first; octavo follow --replace makes them anew afterwards",
            )

    def _changes_files(self) -> bool:
        """Whether anything changes but one text that says the same in other words."""
        same = fingerprint(self.old.datamodel) == fingerprint(self.new.datamodel)
        return not same or _placed(self.old) != _placed(self.new) or bool(self.options.functions)

    def _write_texts(self) -> bool:
        """Write the texts that change: at each moment they say the same.  False if several files of the
        schema change, of which that cannot be said."""
        identity = read_identity(self.data_dir)
        files = identity_files(self.new, () if identity is None else identity.migrations)
        there = {
            str(path.relative_to(self.data_dir)): path.read_bytes()
            for path in (self.data_dir / FOLDER).rglob("*")
            if path.is_file() and is_identity(str(path.relative_to(self.data_dir)))
        }
        changed = [name for name in {**there, **files} if files.get(name) != there.get(name)]
        self.report.texts = changed
        if sum(name.endswith(".prisma") for name in changed) > 1 or not files.keys() >= set(changed):
            return False
        if not self.options.dry_run:
            write_identity(self.data_dir, {n: text for n, text in files.items() if n in changed})
        return True

    def _rebuild(self, last: Migration | None, progress: Progress) -> None:
        self._refuse_foreign_files()
        plan = Plan((self.old, self.new), self.matching, self.options.functions, self.moment)
        with ExitStack() as stack:
            built = None
            if not self.options.dry_run:
                # The lock is held: the builder must not ask for it.
                made = building(self.data_dir, self.new, held=nullcontext, old=self.old)
                built = stack.enter_context(made)
                self.report.settled = built.settled
            taken = self._pass(plan, built, progress)
            plan.settle(taken.before)
            if last is None:
                self.report.lost = _lost(plan, taken.before)
            else:
                _judge(plan, last, taken.before)
            self.report.steps = [*_lost_steps(plan, last), *plan.steps]
            self.report.counts = {m.name: taken.after[m.name] for m in self.new.datamodel.tables}
            found = self.report.refused
            if built is None:
                return
            if found:
                raise DifferenceError(
                    f"the store cannot be migrated; {self.data_dir} is unchanged",
                    found,
                    hint="--dry-run shows the whole plan",
                )
            self._finish(plan, built, taken, last, progress)

    def _refuse_foreign_files(self) -> None:
        """Raise UsageError for a file of the user's where the new layout has one of the store's."""
        with disk_errors("looking into the data folder"):
            found = [path for path, state in foreign(self.data_dir, self.old) if S_ISREG(state.st_mode)]
        for path in found:
            if self.new.family(path) is not None or self.new.misnames(path) or path in self.new.folders:
                raise UsageError(
                    f"{path} is in the way: the new layout has a file of the store there",
                    hint="move it away, or give another layout: --layout FILE",
                )

    def _pass(self, plan: Plan, built: Building | None, progress: Progress) -> Pass:
        codecs = Codecs.of(self.new)
        with (
            disk_errors("reading and writing records"),
            gathering(self.new, self.data_dir / "cache") as gathered,
            ExitStack() as stack,
        ):
            taken = Pass(
                (self.old, self.new),
                self.data_dir,
                plan.changes,
                codecs,
                Gathering(gathered, plan.checks),
                progress,
            )
            counted = {name for name, change in plan.changes.items() if change.is_counted}
            taken.arriving = arriving(self.matching, self.old, self.new) - counted
            if built is not None:
                files = NewFiles(self.new, built.path, codecs, taken.arriving)
                taken.files = stack.enter_context(files)
            taken.run()
            self._keep_unknown(taken)
            if taken.files is not None and not refused(plan.steps):
                taken.files.finish()
        return taken

    def _keep_unknown(self, taken: Pass) -> None:
        """The keys of a document that no schema knows stay in it."""
        for found in taken.unknown:
            family = self.new.family(found.file)
            if family is None or any(place.array == found.key for place in family.places):
                raise DamagedError(
                    f"its key {found.key} is known to no schema, and has no place in the new layout;"
                    " take it out of the file first",
                    file=found.file,
                )
            if taken.files is not None:
                taken.files.unknown.setdefault(found.file, []).append((found.key, found.value))

    def _finish(
        self, plan: Plan, built: Building, taken: Pass, last: Migration | None, progress: Progress
    ) -> None:
        with disk_errors("keeping the payloads"):
            self._link_payloads(built.path)
        only_there = (name for name, change in plan.changes.items() if change.is_ours and change.count)
        self.report.to_heal = carry(self.data_dir, built.path, self.matching, only_there)
        self._verify(built.path, taken, progress)
        identity = read_identity(self.data_dir)
        migrations = () if identity is None else identity.migrations
        if last is not None:
            migrations = migrations[:-1]
        else:
            filled = {
                f"{name}.{f}": total.text
                for name, change in plan.changes.items()
                for f, total in change.filled.items()
                if total.text
            }
            entry = migration(
                self.old, self.new, self.options.renames, self.moment, (self.report.lost, filled)
            )
            migrations = (*migrations, entry.to_dict())
        with disk_errors("saying that it was migrated"):
            (built.path / MIGRATED).touch(FILE_MODE)
        write_identity(built.path, identity_files(self.new, migrations), synced=False)
        progress.begin("sync", 0)
        self.report.kept = built.put_in_place(replace=True)
        self.report.rebuilt = True

    def _link_payloads(self, root: Path) -> None:
        """The payloads get a second name in the new store: nothing of their content is copied."""
        if not self.new.payload_folder:
            return
        for digest, path in payload_files(self.old, self.data_dir):
            if not digest:
                continue
            there = root / payload_path(self.new, digest)
            there.parent.mkdir(FOLDER_MODE, exist_ok=True)
            give_name(self.data_dir / path, there)
            self.report.payloads += 1

    def _verify(self, root: Path, taken: Pass, progress: Progress) -> None:
        """Read what was built, and compare it with what was to be written."""
        with disk_errors("verifying what was written"):
            listed = contents(self.new, root)
        self.report.files = len(listed.files)
        progress.begin("verify", 0)
        with scanning(self.new, root, listed.files, self.options.jobs) as scan:
            found = scan()
        problems = [str(error) for error in found.observed.damage]
        problems += [f"{path} is missing" for path in listed.missing]
        for model in self.new.datamodel.tables:
            if taken.tallies[model.name].differing(found.tallies[model.name]):
                problems.append(f"{model.name}: its records are not those that were to be written")
        if problems:
            raise DifferenceError(f"the new store is not sound; {self.data_dir} is unchanged", problems)


def _placed(layout: Layout) -> list[tuple[str, ...]]:
    """What of a layout says where the records are."""
    places = layout.places
    return [(p.model.name, p.kind, p.path, p.array, p.payload, layout.payload_folder) for p in places]


def _lost(plan: Plan, before: Counter[str]) -> list[str]:
    """What a way back could not bring back: fields by their old names, and models."""
    found = [name for name in plan.dropped if before[name]]
    for change in plan.changes.values():
        found += [f"{change.old.name}.{name}" for name, total in change.dropped.items() if total.count]
        names = plan.matching.fields[change.model]
        found += [f"{change.old.name}.{names[name]}" for name, total in change.altered.items() if total.count]
        found += [change.old.name] * bool(change.left_out)
    return found


def _lost_steps(plan: Plan, last: Migration | None) -> list[Step]:
    """What the migration that is to be taken back has lost: no way back can restore it."""
    steps = []
    for name in () if last is None else last.lost:
        step = Step(subject=name, change="was lost on the way forth", planned=How.REFUSED)
        if name.partition(".")[0] in plan.functions:
            step.planned, step.means = How.FUNCTION, "a function makes the values"
        else:
            assert last is not None
            step.refuse(f"what it had before {last.at:%Y-%m-%d %H:%M} cannot be brought back")
        steps.append(step)
    return steps


def _judge(plan: Plan, last: Migration, before: Counter[str]) -> None:
    """Refuse what a way back would lose: values that were not there after the way forth."""
    for name, step in plan.dropped.items():
        if before[name]:
            step.refuse(f"its {before[name]:,} records would be lost")
    for change in plan.changes.values():
        for name, total in change.dropped.items():
            subject = f"{change.old.name}.{name}"
            if total.text and total.text != last.filled.get(subject) and change.function is None:
                step = next(s for s in change.steps if s.subject == f"{change.model}.{name}")
                step.refuse(f"{total.count:,} values of {subject} would be lost")
