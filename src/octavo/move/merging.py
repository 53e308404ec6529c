"""Many parts of a verification as one: ``octavo verify --part 2/5`` on many machines, or in many nights, then
``octavo verify --merge``.

Reports are merged where they are those of all parts of the same database and the same store.  The merged one
is a report like any other.  It is as old as its oldest part: what was written since then it says nothing
about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from octavo.errors import UsageError, disk_errors
from octavo.inspect.findings import Difference, Differences
from octavo.inspect.integrity import Rule, Violation
from octavo.move.part_report import FOLDER, PartFacts, store_of
from octavo.move.verify import VerifyReport, Way, new_report, verified
from octavo.schema.meaning import fingerprint
from octavo.store import phase
from octavo.store.identity import require_same
from octavo.store.offline import require_store
from octavo.text import some

if TYPE_CHECKING:
    from octavo.layout.layout import Layout

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Last(msgspec.Struct):
    """The last line of a report."""

    summary: msgspec.Raw
    sha256: str


class _Report:
    """The report of one part."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError for what is not the whole report of a part, as it was written; DiskError."""
        self.path = path
        digest, text = sha256(), b""
        for line in self._lines():
            digest.update(text)
            text = line
        try:
            last = msgspec.json.decode(text, type=_Last)
            digest.update(last.summary)
            self.summary: dict[str, Any] = _decode(last.summary)
        except msgspec.MsgspecError as error:
            raise self._refused("is unfinished, or is not the report of a part") from error
        if digest.hexdigest() != last.sha256:
            raise self._refused("was changed after it was written")
        try:
            self.facts = msgspec.convert(self.summary.get("part"), PartFacts)
        except msgspec.ValidationError as error:
            raise self._refused("is not the report of a part") from error

    def _refused(self, reason: str) -> UsageError:
        hint = "octavo verify --part makes the report of a part: run it again for this part"
        return UsageError(f"{self.path} {reason}", hint=hint)

    def _lines(self) -> Iterator[bytes]:
        with disk_errors("reading the report of a part"), open(self.path, "rb") as file:
            yield from file

    def differences(self) -> Iterator[Difference]:
        for line in self._lines():
            if "difference" in (found := _decode(line)):
                yield msgspec.convert(found["difference"], Difference)


def merge(data_dir: Path, layout: Layout, paths: Sequence[Path] = ()) -> VerifyReport:
    """One report of those of all parts, by default of those below ``cache/``; the state of the move follows.

    Raises UsageError, which names the file or the part, where a part is missing or given twice, or compared
    something else than the others or than this store; DiskError.
    """
    require_store(data_dir)
    require_same(data_dir, layout)
    reports = [_Report(path) for path in paths or sorted((data_dir / FOLDER).glob("part-*.jsonl"))]
    _require_whole(reports)
    _require_of(reports[0], data_dir, layout)
    reports.sort(key=lambda report: report.facts.number)
    facts = [report.facts for report in reports]
    begun = min(one.begun for one in facts)
    with closing(Differences(new_report(data_dir))) as found:
        merged = _merged(data_dir, layout, [report.summary for report in reports])
        # A row without a parent is in each part.
        seen: set[bytes] = set()
        for difference in (d for report in reports for d in report.differences()):
            text = msgspec.json.encode(difference)
            if text not in seen:
                seen.add(text)
                found.add(difference)
        merged.take(found)
        merged.database = facts[0].database
        firsts = [one.first for one in facts if one.first is not None]
        merged.first = min(firsts) if len(firsts) == len(facts) else None
        merged.report = found.path
        merged.merged = f"{some(len(facts), 'part')}, the oldest of {begun}"
        found.finish(merged.to_dict())
    if merged.report is not None and not merged.elsewhere:
        with phase.changing(data_dir) as state:
            # One that is newer than the oldest part says more.
            if state.verified is None or state.verified.time <= begun:
                state.verify(verified(merged, begun))
    return merged


def _require_whole(reports: Sequence[_Report]) -> None:
    """Raise UsageError unless these are all parts of one verification, each once."""
    if not reports:
        raise UsageError("no reports of parts", hint="octavo verify --part 1/2 makes the first of two")
    one = reports[0]
    parts: dict[int, _Report] = {}
    for report in reports:
        if report.facts.of != one.facts.of:
            raise UsageError(
                f"{report.path} is part {report.facts.part}, and {one.path} part {one.facts.part}",
                hint="name the reports that belong together, or remove the others",
            )
        for name, value in report.facts.compared.items():
            if value != one.facts.compared[name]:
                shown = f": {value}, and not {one.facts.database}" if name == "database" else ""
                raise UsageError(f"{report.path} is of another {name} than {one.path}{shown}")
        if (other := parts.setdefault(report.facts.number, report)) is not report:
            raise UsageError(f"{report.path} and {other.path} are both part {report.facts.part}")
    missing = [part for part in one.facts.part.all if part.number not in parts]
    if missing:
        named = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        raise UsageError(f"missing: part {named}", hint=f"octavo verify --part {missing[0]}")


def _require_of(report: _Report, data_dir: Path, layout: Layout) -> None:
    """Raise UsageError if a report is not of this store."""
    if report.facts.schema != fingerprint(layout.datamodel) or report.facts.store != store_of(data_dir):
        raise UsageError(f"{report.path} is of another store than {data_dir}, or of one that this replaced")


def _merged(data_dir: Path, layout: Layout, summaries: Sequence[dict[str, Any]]) -> VerifyReport:
    """What the summaries of all parts say together, but for their differences."""
    report = VerifyReport(data_dir, {})
    payloads = [summary["payloads"] for summary in summaries]
    for summary in summaries:
        for model, counts in summary["counts"].items():
            there = report.counts.setdefault(model, {"database": 0, "files": 0})
            for side, number in counts.items():
                there[side] += number
        for model, way in summary["way"].items():
            report.ways[model] = Way(way) if report.ways.get(model, way) == way else Way.BOTH
        found = [
            msgspec.convert({"rule": Rule.REFERENCE.value, **v}, Violation) for v in summary["integrity"]
        ]
        report.violations += [v for v in found if v not in report.violations]
        report.unknown_keys += [(u["where"], u["key"]) for u in summary["unknownKeys"]]
        report.strays += summary["strayFiles"]
        report.left_out += [line for line in summary["leftOut"] if line not in report.left_out]
        report.notes += tuple(line for line in summary["notes"] if line not in report.notes)
        report.elsewhere = report.elsewhere or summary["elsewhere"]
        report.seconds += summary["seconds"]
    report.counts = {
        m.name: report.counts[m.name] for m in layout.datamodel.tables if m.name in report.counts
    }
    report.payloads = sum(p["checked"] for p in payloads)
    report.payloads_compared = sum(p["comparedWithFilesRoot"] for p in payloads)
    report.payload_notes = [note for p in payloads for note in p["notes"]]
    secrets = [s["secretsChecked"] for s in summaries if s["secretsChecked"] is not None]
    report.secrets = sum(secrets) if secrets else None
    return report
