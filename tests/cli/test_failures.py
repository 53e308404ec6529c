"""What goes wrong: one clear sentence, the contract's exit code, nothing lost, never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command import Done, octavo
from octavo.backend import DataBackend
from octavo.cli import failures
from octavo.demo.sample import load_sample
from octavo.errors import OctavoError
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer

READING = ("inventory", "export", "verify", "restore")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty store."""
    made = tmp_path / "data"
    assert octavo("scaffold", "--data-dir", made).code == 0
    return made


def refused(done: Done, code: int, *words: str) -> None:
    """One sentence with these words, a hint at most, and nothing else."""
    assert done.code == code, done
    assert done.out == ""
    first, *others = done.err.splitlines()
    assert first.startswith("error: ")
    assert all(word in done.err for word in words), done.err
    assert all(line.startswith("  ") for line in others)
    assert "Traceback" not in done.err
    # A line break is one, not an escape of one.
    assert "\\n" not in done.err


@pytest.mark.parametrize("command", READING)
def test_a_database_that_cannot_be_reached(command: str, data: Path) -> None:
    url = "postgresql://u:s3cr3t@127.0.0.1:1/d"
    done = octavo(command, "--database-url", url, "--data-dir", data)
    refused(done, 3, "127.0.0.1:1", "cannot be reached")
    assert "s3cr3t" not in done.err


@pytest.mark.parametrize("command", [("schema", "check"), *((c,) for c in READING)])
def test_no_database_named(command: tuple[str, ...], data: Path) -> None:
    refused(octavo(*command, DATA_DIR=str(data)), 2, "DATABASE_URL")
    refused(octavo(*command, DATA_DIR=str(data), DATABASE_URL=""), 2, "DATABASE_URL")


def test_an_environment_file_is_named_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("# mine\nDATABASE_URL='postgresql://u:s3cr3t@h/d'\n")
    monkeypatch.chdir(tmp_path)
    done = octavo("export")
    refused(done, 2, "./.env")
    assert "s3cr3t" not in done.err


def test_a_wrong_password(guarded_server: EmbeddedServer, data: Path) -> None:
    url = guarded_server.url(user="app").replace("app@", "app:wr0ng@")
    done = octavo("export", "--database-url", url, "--data-dir", data)
    refused(done, 3, "password of user app")
    assert "wr0ng" not in done.err


def test_a_missing_database(server: EmbeddedServer, data: Path) -> None:
    done = octavo("export", "--data-dir", data, DATABASE_URL=server.url("not_there"))
    refused(done, 3, "no database named not_there")


@pytest.mark.parametrize("command", ["inventory", "export", "verify"])
def test_missing_tables(command: str, database: str, data: Path) -> None:
    done = octavo(command, "--data-dir", data, DATABASE_URL=database)
    refused(done, 1, "missing table users")
    answer = octavo(command, "--json", "--data-dir", data, DATABASE_URL=database).answer
    assert answer["error"]["kind"] == "DriftError"
    assert "missing table users" in answer["error"]["findings"]


def test_drift(schema_database: str, data: Path) -> None:
    with connect(schema_database) as connection:
        connection.execute(b"ALTER TABLE users ADD COLUMN surprise text")
    for command in ("export", "verify"):
        refused(octavo(command, "--data-dir", data, DATABASE_URL=schema_database), 1, "users.surprise")
    done = octavo("inventory", "--data-dir", data, DATABASE_URL=schema_database)
    assert done.code == 1
    assert "surprise" in done.err


@pytest.mark.parametrize("command", [("schema", "show"), ("scaffold",), ("export",)])
def test_an_unknown_backend(command: tuple[str, ...], data: Path) -> None:
    refused(octavo(*command, DATA_DIR=str(data), DATA_BACKEND="mongo"), 2, "'mongo'", *DataBackend)
    assert list(DataBackend) == ["prisma", "json", "dual"]


def test_a_data_folder_that_cannot_be_written(schema_database: str, tmp_path: Path) -> None:
    # Not even root makes a folder below a file, or in /proc.
    (tmp_path / "file").write_text("mine")
    for command in ("scaffold", "inventory", "export"):
        for place in (tmp_path / "file" / "data", Path("/proc/octavo/data")):
            done = octavo(command, "--data-dir", place, DATABASE_URL=schema_database)
            refused(done, 3, str(place.parent))


@pytest.mark.parametrize(
    "command",
    [
        *("inventory", "scaffold", "export", "follow", "follow --stop", "verify", "restore"),
        *("status", "report"),
        *("cutover", "rollback", "cleanup --yes", "doctor", "compact", "backup", "secrets check"),
    ],
)
def test_a_data_folder_that_is_a_file(command: str, schema_database: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = octavo(*command.split(), "--data-dir", tmp_path / "file", DATABASE_URL=schema_database)
    refused(done, 2, str(tmp_path / "file"), "is not a folder")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["verify", "restore", "doctor", "compact", "backup"])
def test_a_data_folder_in_which_no_store_was_made_yet(
    command: str, schema_database: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    settings = {"DATABASE_URL": schema_database, "DATA_DIR": str(data)}
    refused(octavo(command, **settings), 2, "is no store", "octavo export")
    assert octavo("inventory", **settings).code == 0
    refused(octavo(command, **settings), 2, "is no store", "octavo export")


def test_a_store_that_is_there(schema_database: str, data: Path) -> None:
    index = data / "chats" / "index.jsonl"
    index.write_text("mine\n")
    refused(octavo("export", "--data-dir", data, DATABASE_URL=schema_database), 2, str(data), "--replace")
    assert index.read_text() == "mine\n"
    done = octavo("export", "--json", "--replace", "--data-dir", data, DATABASE_URL=schema_database)
    assert (Path(done.answer["replaced"]) / "chats" / "index.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", '{"_version": 1, "tags": 7}', "\0\0\0\0", '{"_version": 99}']
)
def test_a_foreign_document(
    text: str, schema_database: str, database: str, data: Path, tmp_path: Path
) -> None:
    tags = data / "tags" / "tags.json"
    tags.write_text(text)
    options = ("--data-dir", data, "--files-root", tmp_path / "public")
    checked = octavo("verify", "--json", *options, DATABASE_URL=schema_database)
    assert checked.code == 1
    found = {(d["model"], d["kind"], d["file"]) for d in checked.answer["differences"]}
    assert found == {("Tag", "damaged", "tags/tags.json")}
    refused(octavo("restore", *options, DATABASE_URL=database), 1, "tags/tags.json")
    with connect(database) as connection:
        assert connection.execute(
            b"SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)
    assert tags.read_text() == text


def test_restoring_over_rows(schema_database: str, data: Path, tmp_path: Path) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "public", messages=1)
    done = octavo("restore", "--data-dir", data, "--files-root", tmp_path, DATABASE_URL=schema_database)
    refused(done, 2, "not empty", "users")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("exprt",), "export"),
        (("export", "--jobs", "many"), "--jobs"),
        (("export", "--jobs", "0"), "--jobs"),
        (("export", "--nothing"), "--nothing"),
        (("export", "--schema", "/not/there"), "/not/there"),
        (("export", "--layout", "/not/there"), "/not/there"),
        (("export", "postgresql://u:s3cr3t@h/d"), "unexpected"),
        (("schema",), "Missing command"),
        (("export", "--database-url", "mysql://u:s3cr3t@h/d"), "MySQL"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], word: str) -> None:
    url = "postgresql://u:s3cr3t@127.0.0.1:1/d"
    done = octavo(*arguments, DATABASE_URL=url)
    refused(done, 2, word)
    assert "s3cr3t" not in done.err
    machine = octavo(*arguments, "--json", DATABASE_URL=url)
    assert machine.code == 2
    assert set(machine.answer["error"]) >= {"kind", "message", "hint"}
    assert "s3cr3t" not in machine.out


def test_help_and_version() -> None:
    assert octavo("--version").out.startswith("octavo 0.")
    helped = octavo("--help")
    assert helped.code == 0
    for command in ("demo", "schema", "inventory", "scaffold", "export", "verify", "restore", "doctor"):
        assert f"\n  {command} " in helped.out
        assert octavo(command, "--help").code == 0
    assert "..." not in helped.out.partition("Commands:")[2]
    assert octavo().code == 2


def test_every_command_shares_its_options() -> None:
    shared = {"--database-url", "--data-dir", "--files-root", "--schema", "--layout", "--json", "--quiet"}
    for command in ("export", "verify", "restore", "status", "cutover", "rollback", "follow"):
        assert all(option in octavo(command, "--help").out for option in shared)
    for words in (
        ("inventory",),
        ("scaffold",),
        ("doctor",),
        ("compact",),
        ("backup",),
        ("demo",),
        ("schema", "show"),
        ("schema", "check"),
    ):
        assert all(option in octavo(*words, "--help").out for option in ("--json", "--quiet"))


class _Strange(Exception):
    pass


def test_a_defect_is_called_one_and_shows_no_data(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise _Strange("a row's s3cr3t")

    assert failures.exit_code(broken, as_json=False) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert "defect" in told.err
    assert failures.TRACEBACK_VARIABLE in told.err
    assert failures.exit_code(broken, as_json=True) == 3
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "_Strange"
    monkeypatch.setenv(failures.TRACEBACK_VARIABLE, "1")
    assert failures.exit_code(broken, as_json=False) == 3
    shown = capsys.readouterr().err
    assert "in broken" in shown
    assert "s3cr3t" not in shown.replace("""raise _Strange("a row's s3cr3t")""", "")


def test_every_error_has_the_code_of_the_contract() -> None:
    def below(kind: type[OctavoError]) -> Iterator[type[OctavoError]]:
        yield kind
        for inner in kind.__subclasses__():
            yield from below(inner)

    codes = {kind.__name__: kind.exit_code for kind in below(OctavoError)}
    assert {codes[name] for name in ("UsageError", "SchemaError", "LayoutError")} == {2}
    assert {codes[name] for name in ("DifferenceError", "DriftError", "DamagedError", "SecretError")} == {1}
    assert {codes[name] for name in ("DatabaseError", "DiskError")} == {3}


def started(*arguments: object, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "octavo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    )


def test_the_real_command_ends_with_its_codes(schema_database: str, data: Path) -> None:
    for settings, code in (({}, 0), ({"DATA_BACKEND": "no"}, 2), ({"DATABASE_URL": "postgresql://h:1/d"}, 3)):
        running = started(
            "verify", "--json", "--data-dir", data, **{"DATABASE_URL": schema_database, **settings}
        )
        out, _ = running.communicate(timeout=60)
        assert running.returncode == code
        assert isinstance(json.loads(out), dict)


def test_a_reader_that_goes_away_is_no_error() -> None:
    with started("schema", "show") as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode in (128 + signal.SIGPIPE, 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "octavo", "schema", "show"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals, new_database: Callable[..., str], tmp_path: Path) -> None:
    # A table that somebody has locked makes the command wait for certain.
    url = new_database("schema_07")
    with connect(url) as other, connect(url) as watching:
        other.execute(b"BEGIN")
        other.execute(b"LOCK TABLE messages")
        running = started("export", "--data-dir", tmp_path / "data", DATABASE_URL=url)
        waiting = b"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while watching.execute(waiting).fetchone() == (0,) and running.poll() is None:
            time.sleep(0.05)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
        other.execute(b"ROLLBACK")
    assert (running.returncode, out) == (128 + number, "")
    assert err == "error: interrupted; existing data is unchanged\n"
    assert list(tmp_path.iterdir()) == []


def test_looking_at_the_version_loads_nothing_heavy() -> None:
    heavy = ("psycopg", "lark", "rich", "cryptography", "msgspec")
    code = (
        "import sys, octavo; light = set(sys.modules); import octavo.cli.app;"
        f"print([m for m in {heavy!r} if m in sys.modules], 'click' in light)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
