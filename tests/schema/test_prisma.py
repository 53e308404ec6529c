"""The parser against Prisma's own schema engines: what it accepts, where it complains, and its DMMF.

The recorded answers always; the engines themselves where Node and their packages are present.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from octavo.errors import SchemaError
from octavo.schema import texts
from octavo.schema.dmmf import dmmf
from octavo.schema.parser import parse_files, parse_schema
from octavo.store.decoded import load_datamodel
from prisma_oracle import Oracle, find_packages, without_url
from schema_gen import generate, mutate

DATA = Path(__file__).with_name("data")
SCHEMAS = sorted(DATA.glob("*.prisma"))
LIVE_SEEDS = range(100_000, 100_150)


def recorded(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def shown(text: str) -> str | int:
    """The DMMF as JSON, keys in their order; or the line of the refusal."""
    try:
        return json.dumps(dmmf(parse_schema(text))["datamodel"])
    except SchemaError as error:
        return error.line


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_dmmf_is_prismas(path: Path) -> None:
    expected = recorded(path.with_suffix(".dmmf.json.gz"))
    assert dmmf(load_datamodel(None, path)) == {"datamodel": expected}


def test_dmmf_of_schema_0_7_is_prismas() -> None:
    expected = recorded(DATA / f"octavo-{texts.VERSION}.dmmf.json.gz")
    assert json.dumps(dmmf(texts.frozen_schema())["datamodel"]) == json.dumps(expected)


@pytest.fixture(scope="module")
def answers() -> list[tuple[str, bool, list[int], str | int]]:
    """Each recorded schema: Prisma's verdict, the lines it complains of, and what the parser says."""
    return [(text, *verdict, shown(text)) for text, *verdict in recorded(DATA / "verdicts.json.gz")]


def test_accepts_and_refuses_what_prisma_does(answers: list[tuple[str, bool, list[int], str | int]]) -> None:
    assert [text for text, accepted, _, answer in answers if isinstance(answer, str) is not accepted] == []


def test_complains_where_prisma_does(answers: list[tuple[str, bool, list[int], str | int]]) -> None:
    """Up to schemas that are wrong in several places, and a few where Octavo points closer."""
    refused = [(lines, answer) for _, accepted, lines, answer in answers if not accepted]
    assert sum(answer not in lines for lines, answer in refused) <= len(refused) // 100


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    packages = find_packages()
    if packages is None:
        pytest.skip("Node or Prisma's schema engines are missing")
    with Oracle(packages) as running:
        yield running


@pytest.mark.parametrize("seed", LIVE_SEEDS)
def test_random_schemas_are_read_as_by_prisma(oracle: Oracle, seed: int) -> None:
    base = without_url(generate(seed)) if seed % 2 else generate(seed)
    for text in (base, *(mutate(random.Random(seed * 10 + i), base) for i in range(3))):
        verdict = oracle.ask(text)
        if verdict.panicked:
            continue
        answer = shown(text)
        if verdict.accepted:
            assert answer == json.dumps(verdict.datamodel), text
        else:
            assert isinstance(answer, int), f"{verdict.message}\n{text}"


def test_several_files_are_read_as_by_prisma(oracle: Oracle) -> None:
    text = (DATA / "generated-20.prisma").read_text(encoding="utf-8")
    blocks = [block for block in text.split("\n}\n") if block.strip()]
    files = [(f"{i}.prisma", "\n}\n".join([*blocks[i::3], ""])) for i in range(3)]
    expected = oracle.ask(files).datamodel
    assert expected is not None
    assert dmmf(parse_files(files)) == {"datamodel": expected}
