"""The applications' schemas are as the page beside them says."""

from __future__ import annotations

import re

import pytest

from applications.schemas import APPLICATIONS, FOLDER, datamodel_of, path_of
from prisma_oracle import Oracle, find_packages

PAGE = (FOLDER / "README.md").read_text()
COUNTS = dict(re.findall(r"^\| `(\w+)\.prisma` \| (\d+) \|", PAGE, re.MULTILINE))


def test_the_page_counts_the_models_of_each() -> None:
    found = {a: sum(not m.is_view for m in datamodel_of(a).models) for a in APPLICATIONS}
    assert {a: str(n) for a, n in found.items()} == COUNTS


@pytest.mark.skipif(find_packages() is None, reason="Prisma's engines are not installed")
def test_prisma_takes_each() -> None:
    packages = find_packages()
    assert packages is not None
    with Oracle(packages) as oracle:
        verdicts = {a: oracle.ask(path_of(a).read_text()) for a in APPLICATIONS}
    assert {a: v.message for a, v in verdicts.items() if not v.accepted} == {}
