"""The inventory counts everything in one snapshot, describes how it is built, and tells what changed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from octavo.cli.fold import inventory
from octavo.demo.sample import SampleSummary, load_sample
from octavo.errors import DamagedError, DatabaseError, DiskError, DriftError, UsageError
from octavo.fold import generate_prisma_metadata, save_prisma_metadata
from octavo.fold.inventory import (
    SavedInventory,
    compare_metadata,
    deleted_with,
    describe,
    newest_baseline,
    save_inventory,
)
from octavo.layout.layout import Kind
from octavo.layout.load import flat_layout, frozen_layout
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.schema.texts import FINGERPRINT, VERSION, frozen_schema

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def sample_template(server: Any, schema_template: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A database with sample data, to be copied, and what is in it."""
    with connect(server.create_database("inventory_sample", template=schema_template)) as connection:
        summary = load_sample(connection, tmp_path_factory.mktemp("public"), messages=150)
    return "inventory_sample", summary


@pytest.fixture
def sample(new_database: Callable[..., str], sample_template: tuple[str, SampleSummary]) -> str:
    return new_database(sample_template[0])


@pytest.fixture
def metadata(sample: str) -> Facts:
    return generate_prisma_metadata(sample)


def by_name(things: list[Facts]) -> dict[str, Facts]:
    return {thing["name"]: thing for thing in things}


def test_every_model_is_counted(metadata: Facts, sample_template: tuple[str, SampleSummary]) -> None:
    assert metadata["counts"] == sample_template[1].counts
    assert metadata["totalRecords"] == sample_template[1].rows
    assert [model["name"] for model in metadata["models"]] == [m.name for m in frozen_schema().tables]


def test_an_empty_table_counts_nothing(schema_database: str) -> None:
    found = generate_prisma_metadata(schema_database)
    assert set(found["counts"].values()) == {0}
    assert found["totalRecords"] == 0


def test_schema_and_server_are_named(metadata: Facts) -> None:
    assert metadata["schema"] == {"version": VERSION, "fingerprint": FINGERPRINT}
    database = metadata["database"]
    assert database["serverVersion"].startswith("18")
    assert database["encoding"] == "UTF8"
    assert database["collation"] == "C"
    assert database["schemas"] == ["public"]
    assert metadata["drift"] == []


def test_fields_have_types_defaults_and_secrets(metadata: Facts) -> None:
    models = by_name(metadata["models"])
    for model in frozen_schema().tables:
        fields = by_name(models[model.name]["fields"])
        assert list(fields) == [f.name for f in model.scalars]
        for f in model.scalars:
            assert fields[f.name]["nullable"] == f.nullable
            assert fields[f.name]["json"] == f.is_json
            assert (fields[f.name]["secret"] is not None) == (f.secret is not None)
    user = by_name(models["User"]["fields"])
    assert user["createdAt"]["postgres"] == "TIMESTAMP(3)"
    assert (user["createdAt"]["default"], user["createdAt"]["defaultBy"]) == ("now()", "database")
    assert (user["id"]["default"], user["id"]["defaultBy"]) == ("uuid()", "client")
    assert (user["updatedAt"]["default"], user["updatedAt"]["defaultBy"]) == ("@updatedAt", "client")
    assert (user["totpEnabled"]["default"], user["totpEnabled"]["defaultBy"]) == ("false", "database")
    assert (user["email"]["default"], user["email"]["defaultBy"]) == (None, None)
    assert user["totpSecret"]["secret"]["scheme"] == "aes-256-gcm"
    assert user["passwordHash"]["secret"] == {"scheme": "bcrypt"}
    assert models["ConnectionProfile"]["jsonFields"] == ["parameters"]
    assert by_name(models["ConnectionProfile"]["fields"])["parameters"]["default"] == '"{}"'
    assert by_name(models["ChatSettings"]["fields"])["avatarDisplayMode"]["default"] == "ALWAYS"


def test_constraints_relations_and_cascades_are_told(metadata: Facts) -> None:
    datamodel, models = frozen_schema(), by_name(metadata["models"])
    for model in datamodel.tables:
        facts = models[model.name]
        assert [u["name"] for u in facts["uniques"]] == [u.constraint for u in model.uniques]
        assert [i["name"] for i in facts["indexes"]] == [i.constraint for i in model.indexes]
        assert [k["name"] for k in facts["foreignKeys"]] == [
            k.constraint for k in datamodel.parents(model.name)
        ]
        assert [r["name"] for r in facts["relations"]] == [r.name for r in model.relations]
    profile = by_name(models["Chat"]["foreignKeys"])["chats_connectionProfileId_fkey"]
    assert (profile["onDelete"], profile["onUpdate"]) == ("Restrict", "Cascade")
    assert by_name(models["User"]["relations"])["chatSettings"]["kind"] == "1-1"
    assert by_name(models["User"]["relations"])["chats"]["kind"] == "1-n"
    assert models["VerificationToken"]["primaryKey"] is None
    assert models["VerificationToken"]["key"] == ["token"]
    assert len(metadata["relations"]) == len(datamodel.relations)


def test_what_a_delete_takes_along_is_followed_to_the_end() -> None:
    datamodel = frozen_schema()
    assert deleted_with(datamodel, "Chat") == {"Message", "ChatFile", "ChatTag", "ChatAvatarOverride"}
    assert deleted_with(datamodel, "User") == {m.name for m in datamodel.tables} - {
        "User",
        "VerificationToken",
    }
    assert deleted_with(datamodel, "ApiKey") == set()


def test_every_model_has_a_home_and_checks(metadata: Facts) -> None:
    layout = frozen_layout()
    checked = {check["model"] for check in metadata["integrityChecks"]}
    for model in metadata["models"]:
        place = layout.place(model["name"])
        assert model["home"]["kind"] == place.kind
        assert model["home"]["file"] == layout.host(model["name"]).path
        assert ("leftOut" in model["home"]) == (place.kind is Kind.EMBEDDED)
        assert model["name"] in checked
    sentences = [f"{c['model']}: {c['check']}" for c in metadata["integrityChecks"]]
    assert "Message: chatId names a Chat that exists" in sentences
    assert "ChatFile: messageId names a Message that exists, or is null" in sentences
    assert "ApiKey: keyEncrypted decrypts with keyIv and keyAuthTag under the key of userId" in sentences
    assert "Message: role is one of SYSTEM, USER, ASSISTANT, TOOL" in sentences


MANY = """
datasource db {
  provider = "postgresql"
  url = ""
}
model Post {
  id Int @id @default(autoincrement())
  tags Label[]
  scores Int[] @default([1, 2])
  made DateTime @default(dbgenerated("now()"))
}
model Label {
  name String @id @default(uuid(7))
  posts Post[]
}
"""


def test_any_schema_has_an_inventory(database: str, tmp_path: Path) -> None:
    datamodel = parse_schema(MANY, "many.prisma")
    with connect(database) as connection:
        connection.execute(ddl(datamodel).script().encode())
        connection.execute('INSERT INTO "Post" DEFAULT VALUES; INSERT INTO "Label" VALUES (\'a|b\')')
        connection.execute("INSERT INTO \"_LabelToPost\" VALUES ('a|b', 1)")
    found = generate_prisma_metadata(database, layout=flat_layout(datamodel), schema_text=MANY)
    assert found["counts"] == {"Post": 1, "Label": 1, "_LabelToPost": 1}
    assert found["schema"]["version"] is None
    assert found["schema"]["fingerprint"] not in (FINGERPRINT, None)
    (relation,) = found["relations"]
    assert relation["kind"] == "n-n"
    fields = by_name(by_name(found["models"])["Post"]["fields"])
    assert (fields["id"]["default"], fields["id"]["defaultBy"]) == ("autoincrement()", "database")
    assert fields["scores"]["default"] == "[1, 2]"
    assert fields["made"]["default"] == 'dbgenerated("now()")'
    page = save_inventory(found, tmp_path).report.read_text()
    assert "checklist of all 3 models" in page


HOSTILE = (
    *("*bold*", "_italic_", "`code`", "``", "<b>html</b>", "<!--", "[link](https://example.org)", "![](x)"),
    *(
        "~~gone~~",
        "a|b",
        "|",
        "\\",
        "\\*",
        "&amp;",
        "# head",
        "- item",
        "1. item",
        "```",
        "a_b_c",
        "<x@y.example>",
    ),
)


def test_the_report_shows_every_name_as_it_is(database: str, tmp_path: Path) -> None:
    """Labels and names from the schema are text: Markdown makes nothing of them."""
    quoted = [label.replace("\\", "\\\\").replace('"', '\\"') for label in HOSTILE]
    labels = "\n".join(f'L{n} @map("{label}")' for n, label in enumerate(quoted))
    models = "\n".join(
        f'model M{n} {{\n id Int @id\n kind Kind @default(L{n})\n note String @default("{label}")\n'
        f' @@unique([note], map: "u{n}{label}")\n @@map("t{n}{label}")\n}}'
        for n, label in enumerate(quoted)
    )
    text = f'{MANY.partition("model")[0]}\nenum Kind {{\n{labels}\n @@map("k*|`_")\n}}\n{models}\n'
    datamodel = parse_schema(text, "hostile.prisma")
    with connect(database) as connection:
        connection.execute(ddl(datamodel).script().encode())
    found = generate_prisma_metadata(database, layout=flat_layout(datamodel), schema_text=text)
    page = save_inventory(found, tmp_path).report.read_text()
    shown, kinds = "", set()
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page):
        kinds.add(token.type)
        for inner in token.children or ():
            kinds.add(inner.type)
            shown += inner.content
        shown += "\n"
    structure = {
        "heading",
        "paragraph",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "bullet_list",
        "list_item",
    }
    made = {f"{name}_{end}" for name in (*structure, "strong") for end in ("open", "close")}
    assert kinds <= {*made, "inline", "text", "text_special", "code_inline", "softbreak"}
    assert f"kind is one of {', '.join(HOSTILE)}" in shown
    for number, label in enumerate(HOSTILE):
        assert f"t{number}{label}" in shown
        assert f"u{number}{label}" in shown


def test_it_is_saved_with_a_report(metadata: Facts, tmp_path: Path) -> None:
    saved = save_inventory(metadata, tmp_path / "new" / "data")
    day = metadata["generatedAt"][:10]
    assert saved.json == tmp_path / "new" / "data" / "cache" / f"prisma-metadata-{day}.json"
    assert json.loads(saved.json.read_text()) == metadata
    assert saved.report == saved.json.with_suffix(".md")
    assert (saved.baseline, saved.changes) == (None, ())
    for path, mode in ((saved.json, 0o600), (saved.report, 0o600), (saved.json.parent, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700
    assert len(list(saved.json.parent.glob("prisma-metadata-*"))) == 2


def test_the_report_holds_every_field_and_a_checklist_of_every_model(metadata: Facts, tmp_path: Path) -> None:
    page = save_inventory(metadata, tmp_path).report.read_text()
    for model in frozen_schema().tables:
        section = page.split(f"\n### {model.name}\n")[1].split("\n## ")[0].split("\n### ")[0]
        for f in model.scalars:
            (line,) = [line for line in section.splitlines() if line.startswith(f"| `{f.name}` |")]
            requirement = line.rstrip(" |").rpartition("| ")[2]
            assert (requirement == "none") == (f.secret is None)
        for constraint in (*model.uniques, *model.indexes):
            assert f"`{constraint.constraint}`" in section
        assert f"- [ ] **{model.name}**: {metadata['counts'][model.name]} record" in page
    assert page.count("- [ ] ") == len(frozen_schema().tables)
    assert "`users[].email`" in page
    for heading in ("Integrity checks", "Relationships and cascade rules", "Secrets", "Drift", "Records"):
        assert f"\n## {heading}\n" in page


def test_no_value_of_the_data_is_in_it(sample: str, metadata: Facts, tmp_path: Path) -> None:
    saved = save_inventory(metadata, tmp_path)
    text = saved.json.read_text() + saved.report.read_text()
    with connect(sample) as connection:
        for query in (
            'SELECT "passwordHash" FROM users',
            "SELECT email FROM users",
            'SELECT "keyEncrypted" FROM api_keys',
            'SELECT "sessionToken" FROM sessions',
        ):
            for (value,) in connection.execute(query.encode()):
                assert value is None or value not in text


def saved_at(metadata: Facts, when: str, folder: Path) -> SavedInventory:
    return save_inventory({**metadata, "generatedAt": when}, folder)


def test_a_later_run_is_compared_with_the_newest_before(metadata: Facts, tmp_path: Path) -> None:
    first = saved_at(metadata, "2025-11-01T10:00:00Z", tmp_path)
    changed = deepcopy(metadata)
    changed["counts"]["Message"] += 5
    second = saved_at(changed, "2025-11-02T10:00:00Z", tmp_path)
    count = metadata["counts"]["Message"]
    assert second.baseline == first.json
    assert second.changes == (f"Message: {count} → {count + 5} records (+5)",)
    assert second.changes[0] in second.report.read_text()
    third = saved_at(changed, "2025-11-03T10:00:00Z", tmp_path)
    assert (third.baseline, third.changes) == (second.json, ())
    assert f"None since `{second.json.name}`" in third.report.read_text()
    assert json.loads(first.json.read_text())["counts"]["Message"] == count


def test_an_inventory_is_not_overwritten_by_another_of_the_day(metadata: Facts, tmp_path: Path) -> None:
    saved = [saved_at(metadata, "2025-11-01T10:00:00Z", tmp_path)]
    for number in range(2, 12):
        changed = deepcopy(metadata)
        changed["counts"]["User"] = 1000 + number
        saved.append(saved_at(changed, f"2025-11-01T10:00:{number:02}Z", tmp_path))
        assert saved[-1].json.name == f"prisma-metadata-2025-11-01-{number}.json"
        assert saved[-1].baseline == saved[-2].json
    again = saved_at(changed, "2025-11-01T23:00:00Z", tmp_path)
    assert (again.json, again.changes) == (saved[-1].json, ())
    earlier = saved_at(metadata, "2025-10-31T10:00:00Z", tmp_path)
    assert earlier.json.name == "prisma-metadata-2025-11-01-12.json", "a clock that went back"
    assert newest_baseline(tmp_path / "cache") == earlier.json


def test_every_kind_of_change_is_named(metadata: Facts) -> None:
    changed = deepcopy(metadata)
    models = by_name(changed["models"])
    by_name(models["User"]["fields"])["email"]["nullable"] = True
    models["Chat"]["fields"] = [f for f in models["Chat"]["fields"] if f["name"] != "title"]
    models["Tag"]["uniques"] = []
    by_name(models["Chat"]["foreignKeys"])["chats_userId_fkey"]["onDelete"] = "SetNull"
    models["Persona"]["home"]["file"] = "elsewhere.json"
    by_name(changed["enums"])["Role"]["values"].append("CRITIC")
    changed["database"]["serverVersion"] = "19.1"
    changed["database"]["encoding"] = "LATIN1"
    changed["schema"]["fingerprint"] = "sha256:0"
    changed["drift"] = ["extra table notes"]
    changes = "\n".join(compare_metadata(metadata, changed))
    for expected in (
        "User fields email nullable: false → true",
        "Chat fields title: no longer there",
        "Tag uniques tags_userId_nameLower_key: no longer there",
        "Chat foreignKeys chats_userId_fkey onDelete: Cascade → SetNull",
        "Persona home file: personas/{id}.json → elsewhere.json",
        'enum Role values: ["SYSTEM", "USER", "ASSISTANT", "TOOL"] →',
        "database serverVersion: 18",
        "database encoding: UTF8 → LATIN1",
        "schema fingerprint: ",
        'drift "extra table notes": new',
    ):
        assert expected in changes
    assert compare_metadata(metadata, deepcopy(metadata)) == ()


def test_models_that_come_and_go_are_named(metadata: Facts) -> None:
    changed = deepcopy(metadata)
    changed["models"] = changed["models"][1:]
    assert "User: no longer there" in compare_metadata(metadata, changed)
    assert "User: new" in compare_metadata(changed, metadata)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": "1"}', b'{"version": 2}', b"\xff", b"[" * 100_000]
)
def test_an_unreadable_baseline_is_not_taken_for_none(
    metadata: Facts, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "cache").mkdir()
    broken = tmp_path / "cache" / "prisma-metadata-2025-01-01.json"
    broken.write_bytes(content)
    with pytest.raises(DamagedError, match=r"cache/prisma-metadata-2025-01-01\.json"):
        save_inventory(metadata, tmp_path)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [broken.name]
    assert broken.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(metadata: Facts, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DiskError, match="data"):
        save_inventory(metadata, tmp_path / "data")


def test_both_work_from_the_environment(sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sample)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    path = save_prisma_metadata()
    assert path.parent == tmp_path / "cache"
    assert json.loads(path.read_text())["counts"] == generate_prisma_metadata()["counts"]
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(UsageError, match="DATABASE_URL"):
        generate_prisma_metadata()


def test_tables_that_are_missing_are_named(database: str, schema_database: str) -> None:
    with pytest.raises(DriftError, match="users"):
        generate_prisma_metadata(database)
    with connect(schema_database) as connection:
        connection.execute("DROP TABLE image_tags")
    with pytest.raises(DriftError) as caught:
        generate_prisma_metadata(schema_database)
    (finding,) = caught.value.findings
    assert "image_tags" in finding


def test_rows_that_a_policy_hides_are_not_counted_as_absent(
    server: Any, new_database: Callable[..., str]
) -> None:
    url = new_database(template=None)
    with connect(url) as connection:
        connection.execute(ddl(frozen_schema()).script().encode())
        connection.execute("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        connection.execute("ALTER TABLE messages ENABLE ROW LEVEL SECURITY")
    try:
        with pytest.raises(DatabaseError, match="row-level security"):
            generate_prisma_metadata(url.replace("postgres@", "reader@"))
    finally:
        with connect(url) as connection:
            connection.execute("DROP OWNED BY reader; DROP ROLE reader")


@pytest.fixture
def run() -> Callable[..., Any]:
    return lambda *arguments: CliRunner().invoke(inventory, [str(a) for a in arguments])


def test_the_command_counts_saves_and_says_so(sample: str, tmp_path: Path, run: Callable[..., Any]) -> None:
    result = run("--database-url", sample, "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert "23 models" in result.output
    assert str(next((tmp_path / "cache").glob("*.json"))) in result.output
    with connect(sample) as connection:
        connection.execute("DELETE FROM verification_tokens")
    again = run("--database-url", sample, "--data-dir", tmp_path)
    assert "VerificationToken: 4 → 0 records (-4)" in again.output


def test_the_command_answers_machines(sample: str, tmp_path: Path, run: Callable[..., Any]) -> None:
    result = run("--database-url", sample, "--data-dir", tmp_path, "--json")
    answer = json.loads(result.stdout)
    assert answer["counts"]["Message"] == 150
    assert Path(answer["files"]["json"]).exists()
    assert (answer["baseline"], answer["changes"]) == (None, [])
    assert run("--database-url", sample, "--data-dir", tmp_path, "--quiet").output == ""


def test_the_command_ends_with_1_where_there_is_drift(
    sample: str, tmp_path: Path, run: Callable[..., Any]
) -> None:
    with connect(sample) as connection:
        connection.execute("ALTER TABLE users ADD COLUMN nickname text")
    result = run("--database-url", sample, "--data-dir", tmp_path, "--quiet")
    assert result.exit_code == 1
    assert "users.nickname" in result.stderr
    assert "users.nickname" in next((tmp_path / "cache").glob("*.md")).read_text()


def test_the_description_is_plain_json() -> None:
    facts = describe(frozen_layout())
    assert json.loads(json.dumps(facts)) == facts
