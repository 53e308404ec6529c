"""What tests share: one embedded PostgreSQL for the whole run, and cheap fresh databases in it."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import interrupts
from octavo.postgres.embedded import LOGICAL, EmbeddedServer, embedded_server

if TYPE_CHECKING:
    from crash.both_sides import Sides

_numbers = itertools.count(1)
WRITER = """
import sys, msgspec
from octavo.layout.load import frozen_layout
from octavo.store.store import Store

store = Store.open(sys.argv[1], frozen_layout())
print("ready", flush=True)
number = 0
while True:
    number += 1
    new = f"busy-{number}"
    with store.transaction() as tx:
        chat = min(tx.rows("Chat"), key=lambda c: c.id)
        message = tx.find("Message", ("chatId",), chat.id)[0]
        tx.insert([msgspec.structs.replace(chat, id=new, title=new)])
        tx.insert([msgspec.structs.replace(message, id=new, chatId=new)])
        tx.insert([msgspec.structs.replace(next(tx.rows("ChatTag")), id=new, chatId=new)])
        tag = next(tx.rows("Tag"))
        tx.insert([msgspec.structs.replace(tag, id=new, name=new, nameLower=new)])
        if number > 5:
            tx.delete([tx.get("Chat", f"busy-{number - 5}")])
            tx.delete([tx.get("Tag", f"busy-{number - 5}")])
    store.put_payload(new.encode())
"""
"""Makes chats with all that belongs to them, and removes them again; of each there is all or nothing."""
"""a process that goes on writing transactions of several records to the store in its argument"""
COVERAGE = "coverage of "
"""how a test's property begins that tells what of a schema it has covered"""


def pytest_configure() -> None:
    """Let commands that tests start be interrupted: in the background of a script that is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests of parity have done, wherever they ran."""
    found: dict[str, list[str]] = {}
    for report in itertools.chain(*terminalreporter.stats.values()):
        for name, value in report.user_properties if getattr(report, "when", "") == "teardown" else ():
            if name.startswith(COVERAGE):
                found.setdefault(name, []).append(value)
    if found:
        from parity.coverage import table

        for name, values in found.items():
            terminalreporter.section(name)
            for line in table(values):
                terminalreporter.write_line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--part 3/40``: of the tests that would run, every fortieth, the third of its kind."""
    parser.addoption("--part", metavar="K/N", help="run one of N parts of the tests, the Kth (from 0)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other parts.  A test is always in the same one, wherever else tests come and go."""
    if part := config.getoption("--part"):
        chosen, parts = map(int, part.split("/"))
        mine = [item for item in items if zlib.crc32(item.nodeid.encode()) % parts == chosen % parts]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
        items[:] = mine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Let no test warn of what the one before it has interrupted."""
    try:
        return (yield)
    finally:
        interrupts.collect()


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """One server for the run, without durability."""
    with embedded_server(throwaway=True) as running:
        yield running


@pytest.fixture(scope="session")
def logical_server() -> Iterator[EmbeddedServer]:
    """One server for the run whose log can be followed, without durability."""
    with embedded_server(throwaway=True, settings=LOGICAL) as running:
        yield running


@pytest.fixture(scope="session")
def guarded_server() -> Iterator[EmbeddedServer]:
    """A server that asks the role ``app`` for its password."""
    with embedded_server(throwaway=True) as running:
        running.execute("CREATE ROLE app LOGIN PASSWORD 's3cr3t'")
        (running.data / "pg_hba.conf").write_text(
            "local all postgres trust\nlocal all app scram-sha-256\n", encoding="utf-8"
        )
        running.execute("SELECT pg_reload_conf()")
        yield running


@pytest.fixture
def new_database(server: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """A function that makes a fresh database (of a template, if named) and gives its URL."""
    made: list[str] = []

    def create(template: str | None = None, locale: str | None = None) -> str:
        name = f"test_{next(_numbers)}"
        server.create_database(name, template=template, locale=locale)
        made.append(name)
        return server.url(name, schema="public")

    yield create
    for name in made:
        server.drop_database(name)


@pytest.fixture
def database(new_database: Callable[..., str]) -> str:
    """The URL of a fresh, empty database."""
    return new_database()


@pytest.fixture(scope="session")
def schema_template(server: EmbeddedServer) -> str:
    """The name of a database that holds schema 0.7's tables, to be copied."""
    from octavo.postgres.connection import connect
    from octavo.schema.ddl import ddl
    from octavo.schema.texts import frozen_schema

    url = server.create_database("schema_07")
    with connect(url) as connection:
        connection.execute(ddl(frozen_schema()).script().encode())
    return "schema_07"


@pytest.fixture
def schema_database(new_database: Callable[..., str], schema_template: str) -> str:
    """The URL of a fresh database with schema 0.7's tables, without rows."""
    return new_database(schema_template)


@pytest.fixture
def every(new_database: Callable[..., str]) -> str:
    """The URL of a database with every type of values."""
    import every_type
    from octavo.postgres.connection import connect
    from octavo.schema.ddl import ddl

    url = new_database()
    with connect(url) as connection:
        connection.execute(ddl(every_type.datamodel()).script().encode())
        every_type.load(connection)
    return url


@pytest.fixture(scope="session")
def sample(
    server: EmbeddedServer, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The name of a database that holds sample data, to be copied, and its files root."""
    from octavo.demo.sample import load_sample
    from octavo.postgres.connection import connect

    files_root = tmp_path_factory.mktemp("sample") / "public"
    with connect(server.create_database("sample_07", template=schema_template)) as connection:
        load_sample(connection, files_root, messages=150)
    return "sample_07", files_root


@pytest.fixture
def sample_database(new_database: Callable[..., str], sample: tuple[str, Path]) -> str:
    """The URL of a fresh database with sample data."""
    return new_database(sample[0])


@pytest.fixture(scope="session")
def exported(
    server: EmbeddedServer, sample: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A data folder with the sample data.  Not to be changed: copy it."""
    from octavo.fold.export import ExportOptions, export
    from octavo.layout.load import frozen_layout
    from octavo.url import DatabaseUrl

    target = tmp_path_factory.mktemp("exported") / "data"
    url = DatabaseUrl.parse(server.url(sample[0], schema="public"))
    export(url, target, frozen_layout(), ExportOptions(sample[1]))
    return target


@pytest.fixture
def data(exported: Path, tmp_path: Path) -> Path:
    """A store with the sample data, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "data"))


@pytest.fixture
def sides(schema_database: str, tmp_path: Path) -> Sides:
    """A small application's data in PostgreSQL and in files."""
    from crash.both_sides import Sides, begin
    from octavo.fold.scaffold import scaffold
    from octavo.layout.load import frozen_layout

    scaffold(tmp_path / "data", frozen_layout())
    sides = Sides(schema_database, tmp_path / "data")
    with sides.open() as (db, _):
        begin(db)
    return sides


@pytest.fixture
def writer(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that goes on writing to the store."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(data)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
