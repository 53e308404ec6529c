"""A verification by lines and one by fields of the same folder, which must find the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from octavo.layout.layout import Layout
from octavo.move.verify import VerifyOptions, VerifyReport, Way, verify
from octavo.url import DatabaseUrl

HOW = ("way", "report", "seconds", "part", "merged")
"""what a report says of how it was made"""


def verdict(report: VerifyReport) -> dict[str, Any]:
    """All that a report says of the two sides."""
    said = report.to_dict()
    said["differences"].sort(key=str)
    return {name: value for name, value in said.items() if name not in HOW}


def verify_both(url: DatabaseUrl, data: Path, layout: Layout, options: VerifyOptions) -> VerifyReport:
    """Verify both ways.  Gives the report of the quick one."""
    thorough = verify(url, data, layout, replace(options, thorough=True))
    assert set(thorough.ways.values()) == {Way.FIELDS}
    if thorough.report is not None:
        thorough.report.unlink()
    quick = verify(url, data, layout, options)
    found, expected = verdict(quick), verdict(thorough)
    differing = {name: (found[name], expected[name]) for name in found if found[name] != expected[name]}
    assert not differing, differing
    return quick
