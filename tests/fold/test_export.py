"""What an export writes, line by line of the format; and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from awkward import load_awkward
from folders import records, tree
from octavo.errors import DatabaseError, DifferenceError, DriftError, OctavoError, UsageError
from octavo.fold import export as export_module
from octavo.fold.export import ExportOptions, ExportReport, export
from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Kind, Place
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.datamodel import ScalarField
from octavo.store.identity import is_identity
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
SHA256 = re.compile(r"[0-9a-f]{64}")


def run(url: str, target: Path, files_root: Path | None = None, **options: object) -> ExportReport:
    chosen = ExportOptions(files_root or target.parent / "no-files", **options)  # type: ignore[arg-type]
    return export(DatabaseUrl.parse(url), target, LAYOUT, chosen)


def hosts(kind: Kind) -> list[Place]:
    return [place for place in LAYOUT.places if place.kind is kind]


def keys_of(place: Place) -> list[str]:
    return [f.name for f in place.fields] + [p.array for p in LAYOUT.embedded(place.model.name)]


def lines(root: Path, place: Place) -> list[tuple[str, dict[str, Any]]]:
    """Every line of a model's logs, raw and decoded."""
    family = LAYOUT.family(place.path) or next(f for f in LAYOUT.families if f.path == place.path)
    found = []
    for path in tree(root):
        if family.pattern.fullmatch(path):
            for line in (root / path).read_text("utf-8").splitlines():
                data = json.loads(line)
                if data["_model"] == place.model.name:
                    found.append((line, data))
    return found


def optional(f: ScalarField) -> bool:
    return f.is_json and f.nullable


JSON = {f.name for place in LAYOUT.places for f in place.fields if f.is_json}


def marked(data: Any) -> Any:
    """The same, with a mark where a Json field has its value."""
    if isinstance(data, dict):
        return {key: "…" if key in JSON else marked(value) for key, value in data.items()}
    return [marked(value) for value in data] if isinstance(data, list) else data


def indented(text: str) -> str:
    """The text with a mark for each Json value, which stands on one line as PostgreSQL prints it."""
    return re.sub(rf'^( +"(?:{"|".join(JSON)})": ).*?(,?)$', r'\1"…"\2', text, flags=re.MULTILINE)


class TestFormat:
    @pytest.mark.parametrize("place", hosts(Kind.DOCUMENT), ids=lambda p: p.model.name)
    def test_documents(self, exported: Path, place: Place) -> None:
        text = (exported / place.path).read_text("utf-8")
        data = json.loads(text)
        family = next(f for f in LAYOUT.families if f.path == place.path)
        assert list(data) == ["_version", *(p.array for p in family.places)]
        assert data["_version"] == 1
        assert indented(text) == json.dumps(marked(data), indent=2, ensure_ascii=False) + "\n"
        assert data[place.array]
        for record in data[place.array]:
            assert list(record) == [k for k in keys_of(place) if k in record]
            assert {k for k in keys_of(place) if k not in record} <= {
                f.name for f in place.fields if optional(f)
            }

    @pytest.mark.parametrize("place", hosts(Kind.FILE), ids=lambda p: p.model.name)
    def test_record_files(self, exported: Path, place: Place) -> None:
        family = next(f for f in LAYOUT.families if f.path == place.path)
        paths = [path for path in tree(exported) if family.pattern.fullmatch(path)]
        assert paths
        for path in paths:
            text = (exported / path).read_text("utf-8")
            data = json.loads(text)
            assert next(iter(data.items())) == ("_version", 1)
            assert list(data)[1:] == [k for k in keys_of(place) if k in data]
            assert indented(text) == json.dumps(marked(data), indent=2, ensure_ascii=False) + "\n"
            assert place.file_for([data[n] for n in place.name_fields]) == path

    @pytest.mark.parametrize(
        "place", [*hosts(Kind.LOG), *hosts(Kind.LOG_PER_PARENT)], ids=lambda p: p.model.name
    )
    def test_logs(self, exported: Path, place: Place) -> None:
        found = lines(exported, place)
        assert found
        for line, data in found:
            assert next(iter(data.items())) == ("_model", place.model.name)
            own = {"_model", "_sha256"} if place.payload else {"_model"}
            assert [k for k in data if k not in own] == [k for k in keys_of(place) if k in data]
            # PostgreSQL prints Json with blanks; all around it is compact.
            for f in place.fields:
                if f.is_json and f.name in data:
                    data[f.name] = None
            if not any(f.is_json for f in place.fields):
                assert line == json.dumps(data, separators=(",", ":"), ensure_ascii=False)

    def test_a_key_stands_once_in_an_export(self, exported: Path) -> None:
        for place in [*hosts(Kind.LOG), *hosts(Kind.LOG_PER_PARENT)]:
            names = place.model.key.field_names
            keys = [tuple(data[n] for n in names) for _, data in lines(exported, place)]
            assert len(keys) == len(set(keys))

    def test_embedded_records_leave_out_their_parent_and_stand_as_arrays(self, exported: Path) -> None:
        for place in hosts(Kind.EMBEDDED):
            assert place.relation is not None
            host = LAYOUT.host(place.model.name)
            family = next(f for f in LAYOUT.families if f.path == host.path)
            found = [
                data
                for path, content in tree(exported).items()
                if content and family.pattern.fullmatch(path)
                for data in self.every(content)
                if place.array in data and data.get("_model", host.model.name) == host.model.name
            ]
            inner = [record for data in found for record in data[place.array] if isinstance(record, dict)]
            assert found
            assert all(isinstance(data[place.array], list) for data in found)
            assert inner
            assert all(list(record) == [f.name for f in place.fields] for record in inner)

    def every(self, content: bytes) -> list[dict[str, Any]]:
        """Every object in a file that is a record."""
        text = content.decode()
        if not text.startswith("{\n"):
            return [json.loads(line) for line in text.splitlines()]
        data = json.loads(text)
        arrays = [record for value in data.values() if isinstance(value, list) for record in value]
        return [data, *(record for record in arrays if isinstance(record, dict))]

    def test_records_stand_in_order(self, exported: Path) -> None:
        for place in LAYOUT.places:
            names = place.model.key.field_names
            order = (["createdAt"] if "createdAt" in {f.name for f in place.fields} else []) + [
                n for n in names if n in {f.name for f in place.fields}
            ]
            for path, content in tree(exported).items():
                if content is None or not path.endswith((".json", ".jsonl")):
                    continue
                groups: list[list[dict[str, Any]]] = []
                if place.kind in (Kind.LOG, Kind.LOG_PER_PARENT):
                    groups.append([d for d in self.every(content) if d.get("_model") == place.model.name])
                elif place.kind is Kind.DOCUMENT and path == place.path:
                    groups.append(json.loads(content)[place.array])
                elif place.kind is Kind.EMBEDDED:
                    host = LAYOUT.host(place.model.name)
                    family = next(f for f in LAYOUT.families if f.path == host.path)
                    if family.pattern.fullmatch(path):
                        groups += [
                            d[place.array]
                            for d in self.every(content)
                            if place.array in d and not isinstance(d[place.array], str)
                        ]
                for group in groups:
                    keys = [tuple(str(r[n]).encode() for n in order) for r in group if order[-1] in r]
                    assert keys == sorted(keys)

    def test_models_of_one_log_stand_in_the_order_of_the_schema(self, exported: Path) -> None:
        order = [m.name for m in LAYOUT.datamodel.models]
        for family in LAYOUT.families:
            if family.kind is Kind.LOG:
                models = [order.index(data["_model"]) for data in records(exported, family.path)]
                assert models == sorted(models)

    def test_dates_have_three_digits_and_a_zone(self, exported: Path) -> None:
        found = re.findall(r'"createdAt": ?"([^"]*)"', (exported / "tags/tags.json").read_text())
        assert found
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) for value in found)

    def test_folders_and_files_are_the_owners_alone(
        self, sample_database: str, sample: tuple[str, Path], tmp_path: Path
    ) -> None:
        before = os.umask(0)
        try:
            run(sample_database, tmp_path / "data", sample[1])
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        for path in (tmp_path / "data").rglob("*"):
            wanted = 0o700 if path.is_dir() else 0o600
            assert (path, stat.S_IMODE(path.lstat().st_mode)) == (path, wanted)

    def test_every_folder_of_the_layout_is_there_and_the_journal_is_empty(self, exported: Path) -> None:
        assert all((exported / folder).is_dir() for folder in LAYOUT.folders)
        assert os.listdir(exported / "journal") == []

    def test_the_report_counts(self, sample_database: str, sample: tuple[str, Path], tmp_path: Path) -> None:
        report = run(sample_database, tmp_path / "data", sample[1])
        files = [p for p in tree(tmp_path / "data") if p.endswith((".json", ".jsonl"))]
        assert report.files == len([file for file in files if not is_identity(file)])
        with connect(sample_database) as connection:
            for model in LAYOUT.datamodel.tables:
                row = connection.execute(f'SELECT count(*) FROM "{model.table}"'.encode()).fetchone()
                assert row == (report.counts[model.name],)


class TestEmpty:
    def test_a_database_without_rows_gives_the_files_of_scaffold(
        self, schema_database: str, tmp_path: Path
    ) -> None:
        run(schema_database, tmp_path / "data")
        scaffold(tmp_path / "made", LAYOUT)
        assert tree(tmp_path / "data") == tree(tmp_path / "made")

    def test_a_chat_without_messages_has_an_empty_log(
        self, sample_database: str, sample: tuple[str, Path], tmp_path: Path
    ) -> None:
        with connect(sample_database) as connection:
            row = connection.execute('SELECT "chatId" FROM messages LIMIT 1').fetchone()
            assert row is not None
            connection.execute('DELETE FROM messages WHERE "chatId" = %s', row)
        run(sample_database, tmp_path / "data", sample[1])
        assert (tmp_path / "data" / "chats" / f"{row[0]}.jsonl").read_bytes() == b""


class TestSameBytes:
    def test_run_again(self, exported: Path, sample_database: str, sample: tuple[str, Path]) -> None:
        target = exported.parent / "again"
        run(sample_database, target, sample[1])
        assert tree(target) == tree(exported)

    @pytest.mark.parametrize("jobs", [1, 2, 5])
    def test_by_any_number_of_workers(
        self,
        exported: Path,
        sample_database: str,
        sample: tuple[str, Path],
        tmp_path: Path,
        jobs: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(export_module, "_WORTH_SLICING", 1)
        run(sample_database, tmp_path / "data", sample[1], jobs=jobs)
        assert tree(tmp_path / "data") == tree(exported)

    def test_from_rows_in_another_order(
        self, exported: Path, sample_database: str, sample: tuple[str, Path], tmp_path: Path
    ) -> None:
        with connect(sample_database) as connection:
            for model in LAYOUT.datamodel.tables:
                column = f'"{model.scalars[0].column}"'
                connection.execute(
                    f'UPDATE "{model.table}" SET {column} = {column}'
                    f' WHERE ctid IN (SELECT ctid FROM "{model.table}" ORDER BY random() LIMIT 50)'.encode()
                )
        run(sample_database, tmp_path / "data", sample[1])
        assert tree(tmp_path / "data") == tree(exported)

    @pytest.mark.parametrize("locale", ["C.UTF-8", "en_US.utf8"])
    def test_whatever_the_collation(
        self, new_database: Callable[..., str], tmp_path: Path, locale: str
    ) -> None:
        from octavo.schema.ddl import ddl

        found = []
        for name, chosen in (("one", None), ("other", locale)):
            try:
                url = new_database(locale=chosen)
            except DatabaseError:
                pytest.skip(f"the system has no locale {chosen}")
            with connect(url) as connection:
                connection.execute(ddl(LAYOUT.datamodel).script().encode())
                connection.execute(
                    'INSERT INTO users (id, email, "createdAt", "updatedAt")'
                    " SELECT x, x, 'epoch', 'epoch' FROM unnest(%s::text[]) AS x",
                    [["a", "B", "b", "ä", "z", "Z", "_", "-", "a b", "ab", "1", "10", "2", "ß", "ss"]],
                )
            run(url, tmp_path / name)
            found.append(tree(tmp_path / name))
        assert found[0] == found[1]

    def test_whatever_the_settings_of_the_role_and_the_database(
        self, exported: Path, sample_database: str, sample: tuple[str, Path], tmp_path: Path
    ) -> None:
        database = DatabaseUrl.parse(sample_database).conninfo()["dbname"]
        with connect(sample_database) as connection:
            for setting in (
                "timezone = 'Asia/Kathmandu'",
                "datestyle = 'German, DMY'",
                "extra_float_digits = -5",
                "bytea_output = 'escape'",
                "search_path = 'pg_catalog'",
                "standard_conforming_strings = 'off'",
                "client_encoding = 'LATIN1'",
                "enable_hashjoin = 'off'",
            ):
                connection.execute(f"ALTER DATABASE {database} SET {setting}".encode())
        run(sample_database, tmp_path / "data", sample[1])
        assert tree(tmp_path / "data") == tree(exported)


class TestPayloads:
    @pytest.fixture
    def rows(self, schema_database: str, tmp_path: Path) -> Callable[..., ExportReport]:
        """Exports images with these paths (and sizes)."""

        def images(*paths: str, size: int = 5, **options: object) -> ExportReport:
            with connect(schema_database) as connection:
                connection.execute(
                    "INSERT INTO users (id, email, \"updatedAt\") VALUES ('u', 'u', 'epoch')"
                    " ON CONFLICT DO NOTHING"
                )
                connection.execute("DELETE FROM images")
                for number, path in enumerate(paths):
                    connection.execute(
                        'INSERT INTO images (id, "userId", filename, filepath, "mimeType", size, "updatedAt")'
                        " VALUES (%s, 'u', 'x', %s, 'image/png', %s, 'epoch')",
                        [f"i{number}", path, size],
                    )
            return run(schema_database, tmp_path / "data", tmp_path / "public", replace=True, **options)

        (tmp_path / "public").mkdir()
        (tmp_path / "public" / "a.png").write_bytes(b"image")
        return images

    def image(self, tmp_path: Path, number: int = 0) -> dict[str, Any]:
        found = records(tmp_path / "data", "binaries/index.jsonl")[number]
        assert isinstance(found, dict)
        return found

    def test_is_kept_by_its_content(self, rows: Callable[..., ExportReport], tmp_path: Path) -> None:
        report = rows("a.png")
        digest = hashlib.sha256(b"image").hexdigest()
        assert self.image(tmp_path)["_sha256"] == digest
        assert list(self.image(tmp_path))[-1] == "_sha256"
        assert (tmp_path / "data" / "binaries" / digest[:2] / digest).read_bytes() == b"image"
        assert (report.payloads, report.payload_bytes, report.payload_problems) == (1, 5, [])

    def test_is_kept_once_however_many_rows_have_it(
        self, rows: Callable[..., ExportReport], tmp_path: Path
    ) -> None:
        (tmp_path / "public" / "b.png").write_bytes(b"image")
        report = rows("a.png", "b.png", "a.png")
        kept = [p for p in (tmp_path / "data" / "binaries").rglob("*") if SHA256.fullmatch(p.name)]
        assert len(kept) == 1
        assert (report.payloads, report.payload_bytes) == (3, 5)

    def test_may_be_empty(self, rows: Callable[..., ExportReport], tmp_path: Path) -> None:
        (tmp_path / "public" / "a.png").write_bytes(b"")
        assert rows("a.png", size=0).payload_problems == []
        assert self.image(tmp_path)["_sha256"] == hashlib.sha256(b"").hexdigest()

    def test_may_be_large(self, rows: Callable[..., ExportReport], tmp_path: Path) -> None:
        body = os.urandom(3_000_001)
        (tmp_path / "public" / "a.png").write_bytes(body)
        rows("a.png", size=len(body))
        assert self.image(tmp_path)["_sha256"] == hashlib.sha256(body).hexdigest()

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("missing.png", "is missing"),
            ("", "names no file"),
            ("../secret", "by .."),
            ("x/../../secret", "by .."),
            ("/etc/hostname", "absolute"),
            ("link.png", "symbolic link"),
            ("folder/secret", "symbolic link"),
            ("loop", "symbolic link"),
            ("pipe", "no regular file"),
            ("directory", "no regular file"),
            ("a.png/", "names no file"),
            ("a.png/below", "is missing"),
            ("n" * 300, "cannot be read"),
        ],
    )
    def test_that_cannot_be_had_is_reported_and_its_row_kept(
        self, rows: Callable[..., ExportReport], tmp_path: Path, path: str, reason: str
    ) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        public = tmp_path / "public"
        (public / "link.png").symlink_to(tmp_path / "secret")
        (public / "folder").symlink_to(tmp_path)
        (public / "loop").symlink_to("loop")
        (public / "directory").mkdir()
        os.mkfifo(public / "pipe")
        report = rows(path)
        assert self.image(tmp_path)["filepath"] == path
        assert "_sha256" not in self.image(tmp_path)
        (problem,) = report.payload_problems
        assert (problem.model, problem.key, problem.path, problem.kept) == ("Image", "i0", path, False)
        assert reason in problem.reason
        assert report.payloads == 0
        assert not any(content == b"secret" for content in tree(tmp_path / "data").values())
        assert not list((tmp_path / "data" / "binaries").glob(".*"))

    def test_of_another_size_is_kept_and_reported(
        self, rows: Callable[..., ExportReport], tmp_path: Path
    ) -> None:
        (problem,) = rows("a.png", size=7).payload_problems
        assert problem.kept
        assert problem.reason == "is 5 bytes, the row says 7"
        assert SHA256.fullmatch(str(self.image(tmp_path)["_sha256"]))

    def test_a_files_root_that_is_missing_is_said(
        self, rows: Callable[..., ExportReport], tmp_path: Path
    ) -> None:
        (tmp_path / "public" / "a.png").unlink()
        (tmp_path / "public").rmdir()
        report = rows("a.png")
        assert report.files_root_missing
        assert len(report.payload_problems) == 1


class TestRefusals:
    def refused(self, url: str, tmp_path: Path, kind: type[OctavoError], words: str) -> None:
        with pytest.raises(kind, match=words):
            run(url, tmp_path / "data")
        assert not any(name.startswith((".data", "data")) for name in os.listdir(tmp_path))

    @pytest.mark.parametrize(
        ("statement", "words"),
        [
            ("CREATE TABLE notes (id text)", "notes"),
            ("ALTER TABLE tags ADD COLUMN colour text", "colour"),
            ("ALTER TABLE tags DROP COLUMN name", "name"),
            ("DROP TABLE tags CASCADE", "tags"),
            ('ALTER TABLE messages ALTER COLUMN "tokenCount" TYPE bigint', "tokenCount"),
            ("ALTER TYPE \"Role\" ADD VALUE 'JUDGE'", "JUDGE"),
            ('ALTER TABLE messages ALTER COLUMN "createdAt" TYPE timestamp(6)', "createdAt"),
        ],
    )
    def test_what_the_schema_does_not_know(
        self, schema_database: str, tmp_path: Path, statement: str, words: str
    ) -> None:
        with connect(schema_database) as connection:
            connection.execute(statement.encode())
        self.refused(schema_database, tmp_path, DriftError, words)

    def test_rows_hidden_by_row_level_security(
        self, server: EmbeddedServer, sample_database: str, tmp_path: Path
    ) -> None:
        database = DatabaseUrl.parse(sample_database).conninfo()["dbname"]
        with connect(sample_database) as connection:
            connection.execute("DROP ROLE IF EXISTS reader")
            connection.execute("CREATE ROLE reader LOGIN")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
            connection.execute("ALTER TABLE messages ENABLE ROW LEVEL SECURITY")
        try:
            url = server.url(database, schema="public", user="reader")
            with pytest.raises(OctavoError, match="messages"):
                run(url, tmp_path / "data")
            assert os.listdir(tmp_path) == []
        finally:
            with connect(sample_database) as connection:
                connection.execute("DROP OWNED BY reader")
                connection.execute("DROP ROLE reader")

    def test_rows_whose_parent_is_not_there(self, schema_database: str, tmp_path: Path) -> None:
        with connect(schema_database) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(
                "INSERT INTO messages (id, \"chatId\", role, content) VALUES (1, 2, 'USER', '')"
            )
            connection.execute('INSERT INTO chat_tags (id, "chatId", "tagId") VALUES (1, 2, 3)')
        self.refused(schema_database, tmp_path, DifferenceError, "ChatTag.*Message|Message.*ChatTag")

    def test_a_database_that_cannot_be_reached(self, tmp_path: Path) -> None:
        self.refused("postgresql://x@localhost:1/x", tmp_path, DatabaseError, "localhost")

    def test_a_target_that_is_a_file(self, schema_database: str, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("x")
        with pytest.raises(UsageError, match="is not a folder"):
            run(schema_database, tmp_path / "data")
        assert (tmp_path / "data").read_text() == "x"

    def test_a_store_stands_there(self, sample_database: str, exported: Path) -> None:
        before = tree(exported, cache=True)
        with pytest.raises(UsageError, match="already holds a store"):
            run(sample_database, exported)
        assert tree(exported, cache=True) == before

    def test_a_dry_run_writes_nothing(self, sample_database: str, tmp_path: Path) -> None:
        report = run(sample_database, tmp_path / "a" / "data", dry_run=True)
        assert report.dry_run
        assert report.counts["Message"] > 0
        assert os.listdir(tmp_path) == []

    def test_a_backend_that_is_terminated_leaves_nothing(
        self, sample_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from octavo.fold.writer import Writer

        write = Writer.write

        def ended(self: Writer, connection: object, task: object) -> object:
            with connect(sample_database) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            return write(self, connection, task)  # type: ignore[arg-type]

        monkeypatch.setattr(Writer, "write", ended)
        self.refused(sample_database, tmp_path, DatabaseError, "ended the connection|lost|closed")


def test_a_relative_target_and_a_trailing_slash(
    sample_database: str, sample: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(sample_database, Path("data/"), sample[1]).target == tmp_path / "data"
    assert (tmp_path / "data" / "tags" / "tags.json").exists()


def test_replacing_keeps_the_old_store(sample_database: str, exported: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(exported, tmp_path / "data")
    (tmp_path / "data" / "auth" / "sessions.jsonl").write_text("of the old one")
    before = tree(tmp_path / "data", cache=True)
    report = run(sample_database, tmp_path / "data", replace=True)
    assert report.kept is not None
    assert tree(report.kept, cache=True) == before


def test_writers_during_an_export_do_not_show(
    server: EmbeddedServer, sample_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every transaction moves two counters in two tables together, and adds a message to two chats."""
    monkeypatch.setattr(export_module, "_WORTH_SLICING", 1)
    with connect(sample_database) as connection:
        chats = [r[0] for r in connection.execute("SELECT id FROM chats ORDER BY id LIMIT 2").fetchall()]
        connection.execute("UPDATE tags SET name = '0'")
        connection.execute("UPDATE characters SET title = '0'")
    stop = threading.Event()

    def work(worker: int) -> None:
        with connect(sample_database) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                with connection.transaction():
                    # One writer after the other: both update every row, in no order.
                    connection.execute("SELECT pg_advisory_xact_lock(1)")
                    connection.execute("UPDATE tags SET name = (name::int + 1)::text")
                    for chat in chats:
                        connection.execute(
                            'INSERT INTO messages (id, "chatId", role, content) VALUES (%s, %s, %s, %s)',
                            [f"w{worker}-{number}-{chat}", chat, "USER", "both"],
                        )
                    connection.execute("UPDATE characters SET title = (title::int + 1)::text")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        seen = set()
        for number in range(4):
            target = tmp_path / str(number)
            run(sample_database, target, jobs=2)
            tags = {t["name"] for t in json.loads((target / "tags/tags.json").read_text())["tags"]}
            titles = {json.loads(p.read_text())["title"] for p in (target / "characters").iterdir()}
            both = [
                {
                    m["id"].removesuffix(chat)
                    for m in records(target, f"chats/{chat}.jsonl")
                    if m["content"] == "both"
                }
                for chat in chats
            ]
            assert len(tags) == 1
            assert tags == titles
            assert both[0] == both[1]
            assert len(both[0]) == int(next(iter(tags)))
            seen |= tags
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) > 1


def test_awkward_rows_keep_their_names_apart(schema_database: str, tmp_path: Path) -> None:
    with connect(schema_database) as connection:
        counts = load_awkward(connection)
    report = run(schema_database, tmp_path / "data")
    assert report.counts == counts
    assert len(os.listdir(tmp_path / "data" / "characters")) == counts["Character"]
    assert len(os.listdir(tmp_path / "data" / "chats")) == counts["Chat"] + 1
    names = list(tree(tmp_path / "data"))
    assert len({name.casefold() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9%_~./-]+", name) for name in names)
