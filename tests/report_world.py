"""Facts to draw: a move with a past, in a schema whose names are as unpleasant as names can be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from octavo.backend import DataBackend
from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout, frozen_layout
from octavo.move.checklist import Item, Verdict
from octavo.move.status import Count, Status
from octavo.report.facts import Facts, Holding, Snapshot, Store, Verification
from octavo.schema.datamodel import Datamodel
from octavo.schema.parser import parse_schema
from octavo.store.phase import Following, Migration, Phase, Transition

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)

HOSTILE = (
    "</title></style><script>alert(1)</script>",
    "\" onload='alert(1)' x=\"",
    "\u202edetrevni\u2066 abc",
    "W" * 3000,
    "עברית ו-العربية",
    "名前" * 200,
    "&lt;b&gt; &amp; <!-- ]]> -->",
    "javascript:alert(1) https://example.org/x.png url(https://example.org)",
)


def hostile_datamodel() -> Datamodel:
    """A schema that no parser would accept: its models and fields are named as in HOSTILE."""
    models = [
        f"""
        model M{n} {{
          id Int @id
          F{n} Int? @unique
          p Int?
          to M0? @relation("r{n}", fields: [p], references: [id], onDelete: Restrict)
          {" ".join(f'b{k} M{k}[] @relation("r{k}"){chr(10)}' for k in range(len(HOSTILE))) if n == 0 else ""}
        }}
        """
        for n in range(len(HOSTILE))
    ]
    head = 'datasource db {\n  provider = "postgresql"\n  url = "postgres://x"\n}\n'
    text = msgspec.json.encode(parse_schema(head + "".join(models))).decode()
    for n, name in enumerate(HOSTILE):
        for letter in "MF":
            text = text.replace(f'"{letter}{n}"', json.dumps(name))
    return msgspec.json.decode(text, type=Datamodel)


def facts(layout: Layout | None = None, words: tuple[str, ...] = ("alice",)) -> Facts:
    """A move with a past.  ``words`` stand wherever a person or a file system may have put theirs."""
    layout = layout or frozen_layout()
    names = [model.name for model in layout.datamodel.tables]
    counts = {name: 7 * n for n, name in enumerate(names)}
    phases = [Phase.INVENTORY, Phase.SCAFFOLD, Phase.DUAL_WRITE, Phase.VERIFICATION, Phase.CUTOVER]
    steps = [
        Transition(
            time=(NOW - timedelta(days=9 - n)).isoformat(),
            who=words[n % len(words)],
            why=words[(n + 1) % len(words)],
            phase=phase,
            backend=DataBackend.JSON if phase is Phase.CUTOVER else DataBackend.PRISMA,
        )
        for n, phase in enumerate(phases)
    ]
    state = Migration(
        phase=Phase.CUTOVER,
        backend=DataBackend.JSON,
        since=steps[-1].time,
        following=Following(slot=words[0], publication=words[0], since=steps[2].time),
        transitions=steps,
    )
    status = Status(DataBackend.DUAL, Path(words[0]), state, store="", database=words[-1])
    status.counts = {name: Count(n, n + 1, n) for name, n in counts.items()}
    return Facts(
        made=NOW,
        data_dir="/".join(words),
        layout=layout,
        schema={"version": None, "fingerprint": words[0]},
        status=status,
        files=Store(
            tuple(Holding(f.path, n + 1, 10 ** (n % 7)) for n, f in enumerate(layout.families)),
            Holding(f"{layout.payload_folder}/…", 3, 40_000) if layout.payload_folder else None,
            2,
        ),
        verification=Verification(
            time=NOW - timedelta(hours=5),
            equal=False,
            seconds=1.5,
            total=4 + len(words),
            counts={name: {"database": n, "files": n + n % 2} for name, n in counts.items()},
            by_model={names[0]: {"missing": 2, "different": 1}, names[-1]: {"damaged": 1}},
            differences=words,
            broken=1,
            left_out=words[:2],
            report=words[0],
        ),
        snapshots=tuple(
            Snapshot(NOW - timedelta(days=days), {k: v // (days + 1) for k, v in counts.items()}, words[0])
            for days in (9, 4, 1, 0)
        ),
        problems=words,
    )


def checklist(words: tuple[str, ...] = ("alice",)) -> list[Item]:
    """Items with every verdict."""
    return [Item(f"{word} {n}", list(Verdict)[n % 3], word) for n, word in enumerate(words * 3)]


def hostile_facts() -> Facts:
    """The same, with all names and words hostile."""
    return facts(flat_layout(hostile_datamodel()), HOSTILE)
