"""Record what Prisma's engines say of our schemas: ``python tests/record_verdicts.py``.

Writes into ``tests/schema/data``: ``verdicts.json.gz`` (text, accepted, lines complained of),
``migrations.json.gz`` (text, the SQL that makes its tables), and ``<name>.dmmf.json.gz`` beside each
``<name>.prisma``.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
from itertools import count
from pathlib import Path
from typing import Any

from octavo.schema.texts import VERSION, frozen_text
from prisma_oracle import Oracle, find_packages, migrations, without_url
from schema_cases import cases, long_names
from schema_gen import generate, mutate, part_of_larger

DATA = Path(__file__).with_name("schema") / "data"
SEEDS = 250


def write(path: Path, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> int:
    packages = find_packages()
    if packages is None:
        print("Node or Prisma's engines are missing", file=sys.stderr)
        return 2
    texts = list(cases())
    for seed in range(SEEDS):
        base = generate(seed)
        base = without_url(base) if seed % 2 else base
        texts += [base, *(mutate(random.Random(seed * 10 + i), base) for i in range(2))]
    with Oracle(packages) as oracle:
        for models in (20, 60, 150):
            (DATA / f"generated-{models}.prisma").write_text(_large(oracle, models), encoding="utf-8")
        verdicts = [(text, oracle.ask(text)) for text in dict.fromkeys(texts)]
        known = [(text, v.accepted, v.lines) for text, v in verdicts if not v.panicked]
        write(DATA / "verdicts.json.gz", known)
        for schema in sorted(DATA.glob("*.prisma")):
            write(
                schema.with_suffix(".dmmf.json.gz"), oracle.ask(schema.read_text(encoding="utf-8")).datamodel
            )
        write(DATA / f"octavo-{VERSION}.dmmf.json.gz", oracle.ask(frozen_text()).datamodel)
    accepted = [*long_names(), *(text for text, is_accepted, _ in known if is_accepted)]
    scripts = migrations(accepted) or []
    made = [pair for pair in zip(accepted, scripts, strict=True) if pair[1] is not None]
    write(DATA / "migrations.json.gz", made)
    print(f"{len(made)} migrations, {len(known)} verdicts, {sum(1 for v in known if v[1])} accepted")
    return 0


def _large(oracle: Oracle, models: int) -> str:
    """Random schemas joined into one of at least so many models."""
    text = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
    for seed in count(models * 1000):
        base = generate(seed, 0.0)
        part = part_of_larger(base, seed)
        if part is not None and oracle.ask(base).accepted and oracle.ask(text + part).accepted:
            text += part
        if len(re.findall(r"^model ", text, re.MULTILINE)) >= models:
            return text
    raise AssertionError("count() has no end")


if __name__ == "__main__":
    raise SystemExit(main())
