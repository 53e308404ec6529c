"""What all commands share: their common options, what these stand for, and how an answer is given."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import click

from octavo.cli import console, failures
from octavo.cli.parameters import Option, parameter
from octavo.errors import UsageError

if TYPE_CHECKING:
    from octavo.backend import PathName, Settings
    from octavo.inspect.progress import Progress, Tell
    from octavo.layout.layout import Layout
    from octavo.query.vocabulary import Vocabulary
    from octavo.schema.datamodel import Datamodel
    from octavo.store.definition import Definition
    from octavo.url import DatabaseUrl


def _not_a_file(_context: click.Context, _option: click.Parameter, data_dir: Path) -> Path:
    """The data folder asked for, which need not exist yet.  Raises UsageError if it is no folder."""
    if data_dir.exists() and not data_dir.is_dir():
        raise UsageError(f"{data_dir} is not a folder", hint="--data-dir (DATA_DIR) names the data folder")
    return data_dir


def _option(kind: Any, default: Any, flag: str, text: str, **more: Any) -> tuple[Any, Any]:
    return Annotated[kind, Option(flag, help=text, **more)], default


_PAYLOADS = "The folder that holds the application's payloads."
_FILE = {"exists": True, "dir_okay": False, "show_default": False}
SHARED: dict[str, tuple[Any, Any]] = {
    "database_url": _option(
        *(str | None, None, "--database-url"),
        "The PostgreSQL database, as a Prisma application's DATABASE_URL.",
        envvar="DATABASE_URL",
        show_default=False,
    ),
    "data_dir": _option(
        Path, Path("data"), "--data-dir", "The data folder.", envvar="DATA_DIR", callback=_not_a_file
    ),
    "files_root": _option(Path, Path("public"), "--files-root", _PAYLOADS, envvar="FILES_ROOT"),
    "files_root_if_there": _option(
        *(Path | None, None, "--files-root", _PAYLOADS),
        envvar="FILES_ROOT",
        show_default="public, if there is such a folder",
    ),
    "schema": _option(
        *(Path | None, None, "--schema"),
        "A Prisma schema file or folder (OCTAVO_SCHEMA). A store knows its own.",
        show_default=False,
    ),
    "layout_file": _option(
        Path | None, None, "--layout", "A layout file (OCTAVO_LAYOUT). A store knows its own.", **_FILE
    ),
    "jobs": _option(int, 2, "--jobs", "How many workers read at once.", min=1, max=64),
    "allow_drift": _option(
        list[str] | None,
        None,
        "--allow-drift",
        "A kind of drift to go on with, such as extra-table; may be given several times.",
        show_default=False,
        metavar="KIND",
    ),
    "as_json": _option(bool, False, "--json", "Answer on stdout, as JSON."),
    "quiet": _option(bool, False, "--quiet", "Print nothing but problems."),
}
"""The options that several commands have, by the names of :class:`Job`'s attributes: type and default."""


class Job:
    """What a command was called with, and what that stands for."""

    database_url: str | None
    data_dir: Path
    files_root: Path
    files_root_if_there: Path | None
    schema: Path | None
    layout_file: Path | None
    jobs: int
    allow_drift: list[str] | None
    as_json: bool
    quiet: bool

    def __init__(self, **given: Any) -> None:
        for name, (_, default) in SHARED.items():
            setattr(self, name, given.get(name, default))
        self.elsewhere = True
        """whether a schema counts that the environment or a file names"""
        self.named_wins = False
        """whether the schema that is named may be another than the store's"""
        if "data_dir" not in given:
            from octavo.backend import data_dir

            self.data_dir, self.named_wins = Path(data_dir()), True

    @property
    def silent(self) -> bool:
        """Whether nothing but problems is told while the command runs."""
        return self.quiet or self.as_json

    @cached_property
    def url(self) -> DatabaseUrl:
        """The database asked for.  Raises UsageError if there is none.

        A ``.env`` file is not read, as which one applies depends on the working directory; the error names
        it where it could have been meant.
        """
        from octavo.url import EXPECTED, DatabaseUrl

        if not self.database_url:
            hint = f"set DATABASE_URL or give --database-url, such as {EXPECTED}"
            if file := _environment_file():
                hint = f"there is one in {file}, which is taken by: set -a; . {file}; set +a"
            raise UsageError("no database is named: DATABASE_URL is not set", hint=hint)
        return DatabaseUrl.parse(self.database_url)

    @cached_property
    def definition(self) -> Definition:
        """The schema and the layout to work with: those of the store in the data folder, named, or found.

        Raises SchemaMismatch, SchemaError, LayoutError, DamagedError, DiskError.
        """
        from octavo.store.definition import define

        found = define(
            self.data_dir, self.schema, self.layout_file, named_wins=self.named_wins, elsewhere=self.elsewhere
        )
        if found.found and not self.silent:
            console.note(f"the schema is {found.found}")
        return found

    @property
    def datamodel(self) -> Datamodel:
        """The schema.  Raises as :attr:`definition`."""
        return self.definition.datamodel

    @property
    def layout(self) -> Layout:
        """The layout of that schema.  Raises as :attr:`definition`."""
        return self.definition.layout

    @property
    def schema_text(self) -> str | None:
        """The text of the schema; None: it is the frozen one.  Raises as :attr:`definition`."""
        from octavo.schema.texts import is_frozen

        source = self.datamodel.source
        if is_frozen(self.datamodel) or source is None:
            return None
        return "".join(text for _, text in source.files)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What a client can ask for.  Raises SchemaError."""
        from octavo.query.vocabulary import Vocabulary

        return Vocabulary(self.definition.models)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The kinds of drift to waive.  Raises UsageError for one that cannot be."""
        from octavo.postgres.drift import require_allowable

        return require_allowable(self.allow_drift or ())

    def settings(self, files_root: PathName | None = None) -> Settings:
        """Where a backend finds its data."""
        from octavo.backend import Settings

        return Settings(
            database_url=self.database_url or "",
            data_dir=self.data_dir,
            layout=self.definition.layout_path,
            files_root=files_root,
        )

    def progress(self) -> AbstractContextManager[Progress]:
        """A bar, if stderr is a terminal and the command is not silent."""
        if self.silent or not sys.stderr.isatty():
            from octavo.inspect.progress import SILENT

            return nullcontext(SILENT)
        from octavo.cli.live import bar

        return bar()

    @property
    def tell(self) -> Tell:
        return console.told(quiet=self.silent)


def _nothing() -> None:
    """Says nothing."""


@dataclass
class Answer:
    """What a command found.

    ``value`` is a machine's answer.  Otherwise ``show`` prints it, unless told to be quiet and all is good:
    then ``brief`` does.  ``always`` prints what must not be missed, on stderr.
    """

    value: Any
    show: Callable[[], object]
    good: bool = True
    code: int = 1
    """the exit code if it is not good"""
    brief: Callable[[], object] = _nothing
    always: Callable[[], object] = _nothing
    shows_if_quiet: bool = False
    """whether what is not good is shown to those, too, who asked for quiet"""


def command(*shared: str) -> Callable[[Callable[..., Answer | None]], click.Command]:
    """A command with these options of :data:`SHARED`, with its own, and with ``--json`` and ``--quiet``.

    The function gets a :class:`Job` and its own options; what it gives is answered.
    """

    def made(function: Callable[..., Answer | None]) -> click.Command:
        def run(**given: Any) -> None:
            # An option that is given several times is a list; one that is not given is None.
            values = {n: (list(v) or None) if isinstance(v, tuple) else v for n, v in given.items()}
            job = Job(**{name: values.pop(name) for name in SHARED if name in values})
            # Click would print an empty line on Ctrl-C.
            with failures.telling_what_is_left():
                answer = function(job, **values)
            if answer is not None:
                give(job, answer)

        _, *own = inspect.signature(function).parameters.values()
        hints = get_type_hints(function, include_extras=True)
        parameters = [
            *(parameter(name, *SHARED[name]) for name in shared),
            *(parameter(p.name, hints[p.name], ... if p.default is p.empty else p.default) for p in own),
            *(parameter(name, *SHARED[name]) for name in ("as_json", "quiet")),
        ]
        name, text = function.__name__.replace("_", "-"), inspect.getdoc(function)
        return click.Command(name, callback=run, params=parameters, help=text)

    return made


def give(job: Job, answer: Answer) -> None:
    """Give an answer as it was asked for, and end the command with its code."""
    if job.as_json:
        console.answer(answer.value)
    elif not job.quiet or (answer.shows_if_quiet and not answer.good):
        answer.show()
    else:
        answer.brief()
    answer.always()
    if not answer.good:
        raise click.exceptions.Exit(answer.code)


def _environment_file() -> str:
    """The ``.env`` file from which Prisma would take the address here; empty if there is none."""
    for name in ("./.env", "./prisma/.env"):
        try:
            text = Path(name).read_text("utf-8", "replace")
        except OSError:
            continue
        if re.search(r"^\s*(?:export\s+)?DATABASE_URL\s*=\s*\S", text, re.MULTILINE):
            return name
    return ""
