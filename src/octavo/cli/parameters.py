"""How a command's parameters are declared (``Annotated[bool, Option("--replace", help="…")]``), and Click's
parameters for them.

Typer declares them the same way, but needs 0.1 s for Pydantic in each command: this is what we use of it.
"""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import click

_OF_THE_TYPE = ("min", "max", "exists", "dir_okay")


class Option:
    """An option.  ``flags`` are its names on the command line, ``given`` what ``click.Option`` takes, with
    ``min`` and ``max`` of a number, ``exists`` and ``dir_okay`` of a path."""

    def __init__(self, *flags: str, **given: Any) -> None:
        self.flags = flags
        self.given = given


class Argument(Option):
    """An argument: it has no flags."""


def parameter(name: str, annotation: Any, default: Any = ...) -> click.Parameter:
    """The parameter for an annotated one.  One without a default is required."""
    kind, declared = get_args(annotation)
    if get_origin(kind) is UnionType:
        (kind,) = {*get_args(kind)} - {NoneType}
    given = dict(declared.given)
    facts = {fact: given.pop(fact) for fact in _OF_THE_TYPE if fact in given}
    given |= {"required": True} if default is ... else {"default": default}
    type_, metavar = _type(kind, facts)
    if isinstance(declared, Argument):
        return click.Argument([name], type=type_, **given)
    more = {"show_envvar": True, "show_default": True, **given}
    if kind is bool:
        return click.Option([*declared.flags, name], is_flag=True, **more)
    more = {"metavar": metavar, "multiple": get_origin(kind) is list, **more}
    return click.Option([*declared.flags, name], type=type_, **more)


def _type(kind: Any, facts: dict[str, Any]) -> tuple[click.ParamType[Any], str]:
    """Click's type, and what stands for a value in the help."""
    if kind is Path:
        metavar = "<path>" if facts.get("dir_okay", True) else "<file>"
        return click.Path(path_type=Path, **facts), metavar
    if kind is int:
        return click.IntRange(**facts), "<int range>"
    if kind is float:
        return click.FloatRange(**facts), "<float range>"
    return click.STRING, "<str>"
