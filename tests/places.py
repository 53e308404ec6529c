"""Empty databases of the frozen schema, as a process is told of them by its environment."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from octavo.backend import DataBackend
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.url import DatabaseUrl


def is_there(kind: DataBackend) -> bool:
    """Whether this backend is written yet."""
    return bool(find_spec("octavo.backends")) and bool(find_spec(f"octavo.backends.{kind}"))


def new_place(kind: DataBackend, folder: Path, database: Callable[[], str]) -> dict[str, str]:
    """The variables that name an empty database of this kind; ``database`` gives the URL of one that has the
    schema's tables."""
    data_dir = folder / "data"
    variables = {"DATA_BACKEND": kind.value}
    if kind is not DataBackend.JSON:
        variables["DATABASE_URL"] = database()
    if kind is not DataBackend.PRISMA:
        variables["DATA_DIR"] = str(data_dir)
    if kind is DataBackend.JSON:
        scaffold(data_dir, frozen_layout())
    if kind is DataBackend.DUAL:
        url = DatabaseUrl.parse(variables["DATABASE_URL"])
        export(url, data_dir, frozen_layout(), ExportOptions(folder / "public"))
    return variables
