"""The plan of a migration as data: each step, with the records that it concerns and what happens to them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

SHOWN = 10
"""records that a step names; it counts them all"""


class How(StrEnum):
    """Why a step may be taken."""

    AUTOMATIC = "automatic"
    """it follows from the two schemas"""
    DECLARED = "declared"
    """a rename says so"""
    FUNCTION = "by function"
    REFUSED = "refused"
    """records speak against it"""


class Step(Struct, kw_only=True):
    """One change, and what it means to the records of a model."""

    subject: str
    """what changes: ``Task``, ``Task.label``, ``Status.OLD``"""
    change: str
    """what becomes of it: ``is added: String``"""
    means: str = ""
    """what happens to the records"""
    planned: How = How.AUTOMATIC
    records: int = 0
    """how many it concerns"""
    refusals: int = 0
    named: list[str] = field(default_factory=list)
    """the first of the records because of which it is refused, each with the reason"""

    @property
    def how(self) -> How:
        """Why it may be taken, or that it may not."""
        return How.REFUSED if self.refusals else self.planned

    def refuse(self, said: str) -> None:
        """Note a record because of which it is refused."""
        self.refusals += 1
        if len(self.named) < SHOWN:
            self.named.append(said)

    def to_dict(self) -> dict[str, Any]:
        """The step as a machine's answer has it."""
        return {
            "subject": self.subject,
            "change": self.change,
            "means": self.means,
            "how": self.how,
            "records": self.records,
            "refused": self.refusals,
            "named": self.named,
        }


def refused(steps: Sequence[Step]) -> list[str]:
    """Why a plan cannot be carried out, a sentence for each record or step; empty: it can."""
    found: list[str] = []
    for step in steps:
        if step.refusals:
            more = step.refusals - len(step.named)
            found += [f"{step.subject} {step.change}: {said}" for said in step.named]
            found += [f"{step.subject} {step.change}: … and {more:,} more"] * (more > 0)
    return found
