"""Where the application's data lives: the feature flag ``DATA_BACKEND``.

Each function looks at the environment anew (or at ``environ``) and raises UsageError, which lists the three
values, for any other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from octavo.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


class DataBackend(StrEnum):
    """The values of ``DATA_BACKEND``."""

    PRISMA = "prisma"
    """PostgreSQL at ``DATABASE_URL``"""
    JSON = "json"
    """the files at ``DATA_DIR``"""
    DUAL = "dual"
    """both"""


Durability: TypeAlias = Literal["full", "batched"]
"""When a commit returns: when it is on disk, or before that."""


def require_durability(name: str) -> None:
    """Raise UsageError for what is no durability."""
    if name not in get_args(Durability):
        raise UsageError(f"there is no durability {name!r}", hint=" or ".join(get_args(Durability)))


PathName: TypeAlias = str | os.PathLike[str]


class Settings(NamedTuple):
    """Where a backend finds its data; what it does not need it does not look at."""

    database_url: str
    """empty: none is named"""
    data_dir: PathName
    layout: PathName | None
    """None: the one that goes with the schema"""
    files_root: PathName | None = None
    """where the files lie that records point at; None: they are not looked for"""
    durability: Durability = "full"
    """``batched``: a write may return before it is on disk"""

    @property
    def folder(self) -> Path:
        """``data_dir`` as a path with methods, which a process that only reads has no need to import."""
        from pathlib import Path

        return Path(self.data_dir)


def get_data_backend(environ: Mapping[str, str] | None = None) -> DataBackend:
    """The backend that ``DATA_BACKEND`` names; ``prisma`` where it is unset or empty.

    Raises UsageError for any other value.
    """
    value = (os.environ if environ is None else environ).get("DATA_BACKEND", "").strip()
    try:
        return DataBackend(value or DataBackend.PRISMA)
    except ValueError as error:
        known = ", ".join(DataBackend)
        raise UsageError(f"DATA_BACKEND is {value!r}; it must be one of {known}") from error


def use_prisma(environ: Mapping[str, str] | None = None) -> bool:
    """Whether PostgreSQL is read or written: ``prisma`` and ``dual``."""
    return get_data_backend(environ) is not DataBackend.JSON


def use_json_store(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the files are read or written: ``json`` and ``dual``."""
    return get_data_backend(environ) is not DataBackend.PRISMA


def is_dual_mode(environ: Mapping[str, str] | None = None) -> bool:
    """Whether everything is written to both sides: ``dual``."""
    return get_data_backend(environ) is DataBackend.DUAL


def is_migration_mode(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the move is under way, so that neither side may be changed without the other.

    That is so exactly in ``dual``: before it the files are a copy, after it PostgreSQL is.
    """
    return is_dual_mode(environ)


def data_dir(environ: Mapping[str, str] | None = None) -> str:
    """The folder that ``DATA_DIR`` names; ``data`` where it is unset or empty."""
    return (os.environ if environ is None else environ).get("DATA_DIR") or "data"


def files_root(environ: Mapping[str, str] | None = None) -> str | None:
    """The folder from which records' paths lead to their files, as ``FILES_ROOT`` says; ``public`` where it
    is unset or empty and there is such a folder, else None."""
    named = (os.environ if environ is None else environ).get("FILES_ROOT")
    root = named or "public"
    return root if named or os.path.isdir(root) else None


def dual_sample(environ: Mapping[str, str] | None = None) -> float:
    """The share of reads that ``dual`` compares with the files, from 0 to 1, as ``DUAL_SAMPLE`` says; 0.01
    where it is unset or empty.  Raises UsageError for anything else."""
    text = (os.environ if environ is None else environ).get("DUAL_SAMPLE", "").strip() or "0.01"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"DUAL_SAMPLE is {text!r}; it must be a number from 0 to 1")
    return share


def log_backend_config(environ: Mapping[str, str] | None = None) -> None:
    """Tell the log (``octavo.backend``, level INFO) which backend is used, and where its data lies.

    Of ``DATABASE_URL`` it shows what says where, and nothing that lets in.
    """
    import logging

    backend = get_data_backend(environ)
    parts = [f"DATA_BACKEND={backend}"]
    if backend is not DataBackend.JSON:
        parts.append(f"DATABASE_URL={_shown_url(os.environ if environ is None else environ)}")
    if backend is not DataBackend.PRISMA:
        parts.append(f"DATA_DIR={os.path.abspath(data_dir(environ))}")
    logging.getLogger(__name__).info("%s", ", ".join(parts))


def _shown_url(environ: Mapping[str, str]) -> str:
    text = environ.get("DATABASE_URL", "").strip()
    if not text:
        return "(not set)"
    # A process that uses the files alone needs no addresses.
    from octavo.url import DatabaseUrl

    try:
        return DatabaseUrl.parse(text).display
    except UsageError:
        return "(cannot be read)"
