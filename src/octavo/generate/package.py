"""Writes the typed client of a schema as a Python package.

``__init__.pyi`` is what type checkers and editors read, ``__init__.py`` what runs (:mod:`~.runtime`); with
them come ``py.typed`` and the schema's text.  The same schema gives the same bytes.
"""

from __future__ import annotations

import keyword
import os
from pathlib import Path

from octavo.errors import UsageError, disk_errors
from octavo.generate.runtime import SCHEMA
from octavo.generate.stub import stub
from octavo.schema.datamodel import Datamodel

_MARK = "made by ``octavo generate``"
_SAID = f"""The typed client of {SCHEMA} in this folder, {_MARK}.

``connect()`` gives a :class:`Client`, ``connect_async()`` an :class:`AsyncClient`.  A record's relations are
there where a call includes them, and its fields where it does not select others; Python's types cannot tell
the one case from the other."""
_CODE = f'''"""The typed client of {SCHEMA} in this folder, {_MARK}.

Do not edit it: run the command again when the schema has changed.
"""

from octavo.generate.runtime import Package

_package = Package(__name__, __file__)

__all__ = ["AsyncClient", "AsyncModels", "Client", "Models", "connect", "connect_async"]
__getattr__ = _package.find
__dir__ = _package.names
'''


def write_package(datamodel: Datamodel, text: str, out: Path) -> list[Path]:
    """Write the package of a schema with this text; gives its files.  The last part of ``out`` is its name.

    Raises UsageError if that cannot be imported, or if another package is there; DiskError.
    """
    _check_name(out)
    files = {
        "__init__.py": _CODE,
        "__init__.pyi": stub(datamodel, _SAID, connecting=True),
        "py.typed": "",
        SCHEMA: text,
    }
    with disk_errors(f"writing {out}"):
        _check_place(out)
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            beside = out / f".{name}.new"
            beside.write_text(content, "utf-8", newline="")
            os.replace(beside, out / name)
    return [out / name for name in files]


def _check_name(out: Path) -> None:
    name = out.absolute().name
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii():
        raise UsageError(
            f"{name!r} cannot be the name of a Python package",
            hint="the last part of --out is the package's name, such as --out app/db",
        )
    if name == "octavo":
        raise UsageError("a package called octavo would hide Octavo itself", hint="choose another --out")


def _check_place(out: Path) -> None:
    """Raises UsageError unless this is free or holds a generated package.  Raises OSError."""
    if out.is_dir():
        code = out / "__init__.py"
        ours = code.is_file() and _MARK in code.read_text("utf-8", "replace")
        if ours or not any(out.iterdir()):
            return
        raise UsageError(f"{out} has files, and is no generated package", hint="choose another --out")
    if os.path.lexists(out):
        raise UsageError(f"{out} is not a folder", hint="choose another --out")
