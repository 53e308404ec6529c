"""The embedded server starts by itself, keeps its data, and ends with whoever started it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavo.errors import DatabaseError, UsageError
from octavo.postgres import embedded
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer, embedded_server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can reach, which pytest's own are not for root."""
    with tempfile.TemporaryDirectory(prefix="octavo-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "cluster"


def test_data_outlive_the_server(folder: Path) -> None:
    with embedded_server(folder) as server:
        url = server.create_database("kept & found")
        with connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    with embedded_server(folder) as server, connect(server.url("kept & found")) as connection:
        assert connection.execute("SELECT n FROM t").fetchone() == (7,)
        durable = connection.execute("SHOW fsync").fetchone()
    assert durable == ("on",)
    assert not server.sockets.exists()


def test_a_second_server_on_the_same_data_is_refused(folder: Path) -> None:
    refused = pytest.raises(DatabaseError, match=r"did not start.*lock file")
    with embedded_server(folder, throwaway=True), refused:
        embedded.start_server(folder)


def test_the_server_ends_with_a_killed_process() -> None:
    script = (
        "import os\n"
        "from octavo.postgres.embedded import embedded_server\n"
        "with embedded_server(throwaway=True) as server:\n"
        "    print(server.url(), server.data, server.sockets, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    url, *folders = done.stdout.split()
    try:
        assert _ends(url)
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _ends(url: str) -> bool:
    """Whether nobody answers any more, within what an orderly end may take."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connect(url).close()
        except DatabaseError:
            return True
        time.sleep(0.05)
    return False


def test_the_locale_is_ours_not_the_environments(server: EmbeddedServer) -> None:
    plain, other = server.create_database("locale c"), server.create_database("locale 2", locale="C.UTF-8")
    query = (
        "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()"
    )
    found = []
    for url in (plain, other):
        with connect(url) as connection:
            found.append(connection.execute(query).fetchone())
    assert found == [("UTF8", "C"), ("UTF8", "C.UTF-8")]


def test_its_programs_are_there_and_match_the_server(server: EmbeddedServer) -> None:
    shown = subprocess.run([server.bin / "pg_dump", "--version"], capture_output=True, text=True, check=True)
    with connect(server.url()) as connection:
        major = connection.info.server_version // 10000
    assert f" {major}." in shown.stdout
    answer = subprocess.run(
        [server.bin / "psql", "-Atc", "SELECT 1", server.url()], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "1\n"


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught, embedded_server():
        pass
    assert "octavo[demo]" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the data to another user")
def test_a_folder_that_the_servers_user_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(UsageError, match="cannot enter"), embedded_server(closed / "cluster"):
        pass
