"""PostgreSQL against the files: every field of every record of every model, both ways.

There are two ways to compare.  *By lines*: PostgreSQL prints the line that a log must hold for each row, and
neither side is parsed (:mod:`octavo.move.by_lines`).  *By fields*: PostgreSQL prints each column, and the
files are decoded by :mod:`octavo.layout.codec`.  Logs go the first way; what differs there, and all other
files, go the second, which finds what is different.  Nothing of the SQL that wrote the files is used.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from octavo.errors import DamagedError, disk_errors
from octavo.fold.parts import Part
from octavo.fold.source import Source, allowed_drift, database_of, known_origin, open_source
from octavo.inspect.findings import Difference, DifferenceKind, Differences, shown_key, sweep_reports
from octavo.inspect.integrity import Rule, Violation, sweep, violations
from octavo.inspect.observers import Inspector, Named, Observed, log_places, scan, scanning, unowned
from octavo.inspect.progress import SILENT, Progress
from octavo.inspect.row_hash import CopyBinary, Tally
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.listing import Contents, contents
from octavo.layout.reader import Sign
from octavo.move.by_lines import ByLines, Sums, bucket_of
from octavo.move.part_report import FOLDER, PartFacts, facts_of_part, path_of_part
from octavo.move.payload_check import PayloadCheck
from octavo.move.row_diff import CloseLook, Unread
from octavo.move.secret_check import check_secrets, holders
from octavo.move.share import Share
from octavo.move.written import first_unseen
from octavo.postgres.copying import CopyOut
from octavo.postgres.drift import collapsed
from octavo.postgres.failures import database_errors
from octavo.store import disk, phase
from octavo.store.identity import require_same
from octavo.store.offline import at_rest, require_store
from octavo.store.phase import Database, Verified
from octavo.store.shared import commits_in
from octavo.url import DatabaseUrl

_VIOLATIONS_SHOWN = 1000
_AT_ONCE = 1000
"""rows that are counted together"""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How to verify: payloads are held against ``files_root`` if there is such a folder; with a ``pepper``
    each secret is decrypted; ``jobs`` processes read the files."""

    files_root: Path
    pepper: str | None = field(default=None, repr=False)
    jobs: int = 2
    allow_drift: tuple[str, ...] = ()
    """the kinds of drift to waive, beside those that the export waived"""
    thorough: bool = False
    """compare everything by fields"""
    part: Part | None = None
    """compare this part alone; its report is for :func:`octavo.move.merging.merge`"""
    out: Path | None = None
    """where the report of a part goes, instead of below ``cache/``"""
    sign: Sign | None = field(default=None, repr=False)
    """hears of each log what was read of it, in any way; of some more than once"""


class Way(StrEnum):
    """How a model was compared."""

    LINES = "lines"
    """the lines that PostgreSQL prints with those of the files"""
    FIELDS = "fields"
    """every field that PostgreSQL prints with what the files are decoded to"""
    BOTH = "lines and fields"
    """by lines, and by fields in the files whose lines were others"""


@dataclass
class VerifyReport:
    """What a verification found.  ``equal`` is its verdict."""

    data_dir: Path
    counts: dict[str, dict[str, int]]
    ways: dict[str, Way] = field(default_factory=dict)
    """how each model was compared"""
    differences: list[Difference] = field(default_factory=list)
    """the first :data:`octavo.inspect.findings.SHOWN` of ``total``"""
    total: int = 0
    by_model: dict[str, dict[str, int]] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    """of uniques and foreign keys, among the files"""
    unknown_keys: list[tuple[str, str]] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    """files that belong to nothing"""
    payload_notes: list[str] = field(default_factory=list)
    payloads: int = 0
    """rows whose payload was held against its digest"""
    payloads_compared: int = 0
    """of these, held against the files root too"""
    secrets: int | None = None
    """secrets that were decrypted or looked at; None without a pepper"""
    left_out: list[str] = field(default_factory=list)
    """what was not checked, and why"""
    notes: tuple[str, ...] = ()
    report: Path | None = None
    part: PartFacts | None = None
    """which part this is of a verification; None: the whole of it"""
    merged: str = ""
    """of which parts it was made, and how old it is"""
    elsewhere: str = ""
    """the database, where the move is about another one: then nothing is said about the move"""
    database: Database | None = None
    first: int | None = None
    """the number of the first transaction of the database that may not have been seen, if it tells"""
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether files and database are the same, and sound."""
        return self.total == 0 and not self.violations

    def take(self, found: Differences) -> None:
        """Count the differences that were found."""
        self.differences, self.total = found.first, found.total
        by_model: dict[str, Counter[str]] = {}
        for (model, kind), n in found.counted.items():
            by_model.setdefault(model, Counter())[kind.value] += n
        self.by_model = {model: dict(kinds) for model, kinds in by_model.items()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "equal": self.equal,
            "counts": self.counts,
            "way": self.ways,
            "differences": msgspec.to_builtins(self.differences),
            "differencesTotal": self.total,
            "differencesByModel": self.by_model,
            "integrity": [v.to_dict() for v in self.violations],
            "unknownKeys": [{"where": where, "key": key} for where, key in self.unknown_keys],
            "strayFiles": self.strays,
            "payloads": {
                "checked": self.payloads,
                "comparedWithFilesRoot": self.payloads_compared,
                "notes": self.payload_notes,
            },
            "secretsChecked": self.secrets,
            "leftOut": self.left_out,
            "notes": list(self.notes),
            "part": msgspec.to_builtins(self.part),
            "merged": self.merged or None,
            "elsewhere": self.elsewhere,
            "report": str(self.report) if self.report else None,
            "seconds": round(self.seconds, 3),
        }


def verify(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    options: VerifyOptions,
    progress: Progress = SILENT,
) -> VerifyReport:
    """Compare the database with a data folder.

    Both may be in use.  Where something differs and the store was written to meanwhile, it is done
    again while its writers wait, so that what is found is never just a write under way.  The state of the
    move follows, unless it is about another database.

    Raises UsageError if there is no store, DriftError if the database is not what the schema says,
    DatabaseError if it cannot be read, BusyError.  Damage in the files is among the differences.
    """
    require_store(data_dir)
    require_same(data_dir, layout)
    sweep(data_dir / "cache")
    for folder in (data_dir / "cache", data_dir / FOLDER):
        sweep_reports(folder)
    started, moment, before = time.monotonic(), phase.now(), commits_in(os.fspath(data_dir))
    report = _verify(url, data_dir, layout, options, progress)
    if not report.equal and commits_in(os.fspath(data_dir)) != before:
        with at_rest(data_dir):
            moment = phase.now()
            report = _verify(url, data_dir, layout, options, progress)
    report.seconds = time.monotonic() - started
    if report.report is not None and not report.elsewhere and options.part is None:
        with phase.changing(data_dir) as state:
            state.verify(verified(report, moment))
    return report


def _verify(
    url: DatabaseUrl, data_dir: Path, layout: Layout, options: VerifyOptions, progress: Progress
) -> VerifyReport:
    begun = phase.now()
    with open_source(url, layout, allow=allowed_drift(data_dir, options.allow_drift)) as source:
        with disk_errors("listing the data folder"):
            there = contents(layout, data_dir)
        return compare(source, data_dir, layout, there, options, progress, begun)


def compare(
    source: Source,
    data_dir: Path,
    layout: Layout,
    there: Contents,
    options: VerifyOptions,
    progress: Progress = SILENT,
    begun: str = "",
) -> VerifyReport:
    """Compare a snapshot of the database with the files that were listed; the state of the move stays.

    ``begun`` is for the report of a part: when both were taken.  Raises as :func:`verify`.
    """
    started, url = time.monotonic(), source.snapshot.url
    source.drift.raise_if_any()
    part = options.part
    path = new_report(data_dir) if part is None else path_of_part(data_dir, part, options.out)
    with closing(Differences(path)) as found:
        verification = _Verification(source, layout, data_dir, options, there, found)
        report = verification.run(progress)
        report.notes = (*collapsed(source.drift.notes), *source.orphans(layout))
        report.left_out += [*source.drift.waived, *source.left_out(layout)]
        report.database = database_of(source.snapshot.connection, url)
        if known_origin(data_dir).is_about_another(report.database, phase.read(data_dir)):
            report.elsewhere = str(report.database)
        report.first = first_unseen(source)
        report.report = found.path
        if found.path is None:
            report.left_out.append("the full report: cache/ cannot be written")
        report.seconds = time.monotonic() - started
        if part is not None:
            report.part = facts_of_part(part, begun, report.first, report.database, data_dir, layout)
        found.finish(report.to_dict())
    return report


def verified(report: VerifyReport, moment: str) -> Verified:
    """What the state of the move says of a verification."""
    return Verified(
        time=moment,
        equal=report.equal,
        records=sum(count["database"] for count in report.counts.values()),
        differences=report.total + len(report.violations),
        seconds=round(report.seconds, 3),
        report=str(report.report.relative_to(report.data_dir)) if report.report else None,
        first=report.first,
        database=report.database,
    )


class _Verification:
    def __init__(
        self,
        source: Source,
        layout: Layout,
        root: Path,
        options: VerifyOptions,
        there: Contents,
        found: Differences,
    ) -> None:
        self.source, self.layout, self.root, self.options = source, layout, root, options
        self.there, self.found = there, found
        self.share = Share(layout, options.part)
        self.files = self.share.of(there.files)
        self.connection = source.snapshot.connection
        self.beside = Observed()
        """what was noted in the files of models that were compared both ways"""

    def run(self, progress: Progress) -> VerifyReport:
        counts = self.share.counts(self.source)
        report = VerifyReport(self.root, {}, dict.fromkeys(counts, Way.FIELDS))
        progress.begin("verify", sum(counts.values()))
        settled = {} if self.options.thorough else self._by_lines(report, counts, progress)
        names = [name for name in counts if name not in settled]
        others = [f.path for f in self.layout.families if f.places[0].model.name not in settled]
        files = self.share.of(self.there.files.of(*others))
        with scanning(self.layout, self.root, files, self.options.jobs, self.options.sign) as result:
            database = {name: self._tally(name, progress) for name in names}
            scan = result()
        scan.observed += self.beside
        seen = scan.observed
        self._report_damage(seen, settled)
        differing = {n: b for n, t in database.items() if (b := t.differing(scan.tallies[n]))}
        live: dict[str, int] = {}
        if differing:
            progress.begin("looking closer", sum(counts[n] for n in differing))
            with database_errors(self.source.snapshot.url, "reading rows"):
                unread = Unread(self.layout, seen.damage)
                inspector = Inspector(self.layout, self.root, self.options.sign)
                look = CloseLook(self.connection, inspector, self.share, differing, unread, progress.advance)
                live = look.compare(self.files, self.found, self.root / "cache")
        for name in counts:
            if name in settled:
                report.counts[name] = {"database": settled[name], "files": settled[name]}
                continue
            there = scan.tallies[name].rows.items()
            alike = sum(n for bucket, n in there if bucket not in differing.get(name, ()))
            report.counts[name] = {"database": database[name].count, "files": alike + live.get(name, 0)}
        self._check_payloads(report, seen.named)
        self._check_secrets(report)
        if self.found.total:
            progress.begin("integrity", seen.counts.total())
            check = violations(self.layout, self.root, self.there.files, progress.advance)
            for violation in check:
                if violation.rule is not Rule.ORPHAN and len(report.violations) < _VIOLATIONS_SHOWN:
                    report.violations.append(violation)
        self._conclude(report, seen)
        return report

    def _by_lines(self, report: VerifyReport, counts: dict[str, int], progress: Progress) -> dict[str, int]:
        """Compare what can be by lines.  Gives the models that are equal, with the number of their rows."""
        lines = ByLines(self.source, self.share, self.root, self.there, self.options.sign)
        lines.compare(counts, self.options.jobs, progress.advance)
        settled: dict[str, int] = {}
        for sums in lines.sums:
            way = Way.LINES if lines.is_equal(sums) else Way.BOTH if self._is_respelled(sums) else Way.FIELDS
            if way is not Way.FIELDS:
                names = [name for model in sums.lines for name in self._with_embedded(model)]
                settled |= {name: lines.rows[name] for name in names}
                report.ways |= dict.fromkeys(names, way)
        return settled

    def _with_embedded(self, name: str) -> list[str]:
        return [name, *(child.model.name for child in self.layout.embedded(name))]

    def _is_respelled(self, sums: Sums) -> bool:
        """Whether the rows of the files whose lines are others are PostgreSQL's all the same: a line may be
        superseded, or spelled in another way.

        If so, what was noted in reading them counts.  If not, the whole family is compared by fields: what is
        wrong in one file may have to do with another.
        """
        place, dirty = sums.place, sums.dirty
        if not sums.family.varies or self.layout.embedded(place.model.name):
            return False
        every = self.share.of(self.there.of(place))
        files = [*sums.irregular, *(f for f in every if sums.bucket(f) in dirty)]
        if 2 * sum(f.size for f in files) > sum(f.size for f in every):
            return False
        made = scan(self.layout, self.root, files, self.options.sign)
        if made.observed.damage:
            return False
        (parent,) = place.name_fields
        framed = CopyBinary(self.layout.datamodel, place.model)
        rows = self._tally(
            place.model.name, SILENT, lambda row: bucket_of(framed.value(row, parent)) in dirty
        )
        if rows.differing(made.tallies[place.model.name]):
            return False
        self.beside += made.observed
        return True

    def _tally(self, name: str, progress: Progress, only: Callable[[bytes], bool] | None = None) -> Tally:
        framed = CopyBinary(self.layout.datamodel, self.layout.datamodel.model(name))
        tally = Tally()
        with database_errors(self.source.snapshot.url, f"reading {name}"):
            rows = CopyOut(self.connection, framed.copy_out(self.share.where(framed.model))).rows()
            rows = rows if only is None else filter(only, rows)
            while number := tally.add(framed, islice(rows, _AT_ONCE)):
                progress.advance(number)
        return tally

    def _report_damage(self, seen: Observed, settled: Container[str]) -> None:
        for path in self.there.missing:
            family = self.layout.family(path)
            for place in family.places if family and self.share.has(family) else ():
                self._damaged(place, DamagedError("the file is missing", file=path))
        for error in sorted(seen.damage, key=lambda e: (e.file, e.line)):
            family = self.layout.family(error.file)
            places = family.places if family else ()
            named = [p for p in self.layout.places if p.model.name == error.model]
            # A line of a log is one record, even if it cannot be told of which model.
            for place in named or (places[:1] if family and family.kind.is_log else places):
                self._damaged(place, error)
        for place, parent in log_places(self.layout):
            if parent.model.name in settled or not self.share.has_model(parent.model.name):
                # It was looked for its logs then, or is in another part.
                continue
            have = self.there.of(place)
            for path in sorted(path for path in seen.logs if have.number(path) is None):
                family = self.layout.family(path)
                if family is not None and place in family.places:
                    self._damaged(place, DamagedError("the log of an existing record is missing", file=path))
            if any(e.host is None and self._is_in(e, parent) for e in seen.damage):
                # It may be the log of a record that could not be read.
                continue
            is_divided = self.share.divides(parent)
            own = (f.path for f in have if not is_divided or self.share.names(f))
            for path in unowned(place, parent, own, seen.logs, seen.damage):
                self._damaged(place, DamagedError("a log whose parent does not exist", file=path))

    def _is_in(self, error: DamagedError, place: Place) -> bool:
        family = self.layout.family(error.file)
        return family is not None and place in family.places

    def _damaged(self, place: Place, error: DamagedError) -> None:
        key = _key_of(place, error)
        self.found.add(
            Difference(
                model=place.model.name,
                kind=DifferenceKind.DAMAGED,
                key=shown_key(place.model, key) if key else {},
                fields=(error.field,) if error.field else (),
                reason=error.reason,
                file=error.file,
                line=error.line,
            )
        )

    def _check_payloads(self, report: VerifyReport, named: Iterable[Named]) -> None:
        if not any(place.payload and self.share.has_model(place.model.name) for place in self.layout.places):
            return
        files_root = self.options.files_root
        if not files_root.is_dir():
            report.left_out.append(f"payloads against the files root: {files_root} is not a folder")
        check = PayloadCheck(self.layout, self.root, files_root, self.found)
        check.look(named)
        report.payloads, report.payloads_compared = check.checked, check.compared
        report.payload_notes, report.strays = check.notes, check.unnamed()

    def _check_secrets(self, report: VerifyReport) -> None:
        if not holders(self.layout):
            return
        if (pepper := self.options.pepper) is None:
            report.left_out.append("secrets: ENCRYPTION_MASTER_PEPPER is not set")
            return
        inspector = Inspector(self.layout, self.root, self.options.sign)
        report.secrets = check_secrets(inspector, self.files, pepper, self.found)

    def _conclude(self, report: VerifyReport, seen: Observed) -> None:
        report.take(self.found)
        report.unknown_keys = sorted(
            {(f"{file} ({model})" if model else file, key) for file, model, key in seen.unknown}
        )
        report.strays += self.there.strays if self.share.is_first else ()


def _key_of(place: Place, error: DamagedError) -> Mapping[str, bytes | None]:
    """The key of a damaged record: as it stands there, or as its file's name says."""
    names: Sequence[str] = place.model.key.field_names
    if error.key_values is not None and len(error.key_values) == len(names):
        return dict(zip(names, error.key_values, strict=True))
    if place.kind is Kind.FILE and len(names) == 1:
        stem = os.path.basename(error.file).removesuffix(".json")
        if not stem.startswith("~"):
            return {names[0]: unquote_to_bytes(stem)}
    return {}


def new_report(root: Path) -> Path | None:
    """A new file for the report, empty yet; None where the store cannot be written."""
    try:
        disk.make_folder(root / "cache")
        for path in disk.dated_names(root / "cache" / "verification", ".jsonl"):
            with suppress(FileExistsError):
                disk.create(path).close()
                return path
    except OSError:
        pass
    return None
