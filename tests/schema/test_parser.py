"""From a schema's text to the Datamodel: Prisma's defaults, comments, files, and what an error says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.errors import SchemaError
from octavo.schema.datamodel import Action, Datamodel, Number, RelationKind
from octavo.schema.parser import parse_schema
from octavo.store.decoded import load_datamodel

DATASOURCE = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'


PET = (
    "model Pet {\n  id Int @id\n  userId Int\n  user User @relation(fields: [userId], references: [id])\n}\n"
)


def relations(text: str) -> dict[str, tuple[RelationKind, str, str, Action, Action]]:
    return {
        r.name: (r.kind, r.child, r.parent, r.on_delete, r.on_update) for r in parse_schema(text).relations
    }


PEOPLE = """
model Person {
  id     Int     @id
  bossId Int?
  homeId Int
  boss   Person? @relation("boss", fields: [bossId], references: [id])
  staff  Person[] @relation("boss")
  home   Home    @relation(fields: [homeId], references: [id])
  badge  Badge?
  clubs  Club[]
}
model Home {
  id     Int @id
  people Person[]
}
model Badge {
  personId Int    @id
  person   Person @relation(fields: [personId], references: [id], onDelete: Cascade, onUpdate: NoAction)
}
model Club {
  id      String @id @db.Uuid
  members Person[]
}
"""


def test_relations_have_kind_sides_and_actions() -> None:
    assert relations(PEOPLE) == {
        "boss": (RelationKind.ONE_TO_MANY, "Person", "Person", Action.SET_NULL, Action.CASCADE),
        "HomeToPerson": (RelationKind.ONE_TO_MANY, "Person", "Home", Action.RESTRICT, Action.CASCADE),
        "BadgeToPerson": (RelationKind.ONE_TO_ONE, "Badge", "Person", Action.CASCADE, Action.NO_ACTION),
        "ClubToPerson": (RelationKind.MANY_TO_MANY, "Club", "Person", Action.CASCADE, Action.CASCADE),
    }


def test_an_implicit_many_to_many_relation_has_a_table() -> None:
    (table,) = parse_schema(PEOPLE).join_tables
    assert table.name == "_ClubToPerson"
    assert [(c.column, c.type, c.native and c.native.name) for c in table.scalars] == [
        ("A", "String", "Uuid"),
        ("B", "Int", None),
    ]


def test_an_optional_relation_over_a_required_column_restricts() -> None:
    found = relations(
        "model A {\n id Int @id\n x Int\n y Int?\n b B? @relation(fields: [x, y], references: [x, y])\n}\n"
        "model B {\n x Int\n y Int\n as A[]\n @@id([x, y])\n}\n"
    )
    assert found["AToB"][3] is Action.RESTRICT


def test_names_of_constraints_come_from_tables_and_columns() -> None:
    model = parse_schema(
        'model Order {\n id Int @id @map("order_id")\n a Int @map("first") @unique\n b Int\n'
        ' @@index([b, a])\n @@unique([a, b], map: "mine", name: "pair")\n @@map("orders")\n}\n'
    ).model("Order")
    assert [i.constraint for i in model.all_indexes] == [
        "orders_pkey",
        "orders_first_key",
        "orders_b_first_idx",
        "mine",
    ]
    assert model.uniques[1].client_name == "pair"


def test_long_names_are_cut_before_their_suffix_to_63_bytes() -> None:
    long = "ü" * 40
    model = parse_schema(f'model A {{\n id Int @id\n b Int @unique\n @@map("{long}")\n}}\n').model("A")
    names = [i.constraint for i in model.all_indexes]
    assert names == ["ü" * 29 + "_pkey", "ü" * 29 + "_key"]


def test_numbers_keep_their_digits() -> None:
    text = 'model A {\n id Int @id\n d Decimal @default("1.50")\n e Decimal @default(0.10)\n}\n'
    model = parse_schema(text).model("A")
    assert [f.default for f in model.scalars] == [None, Number("1.50"), Number("0.10")]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_comments_document_what_follows_and_what_stands_before(newline: str) -> None:
    text = (
        "/// One.\n// not this\n///   Two.\n"
        "model A { // opened\n  /// key\n  id Int @id /// of all\n\n"
        "  /* block */\n\n  b Int\n  // plain\n  c Int /* after */\n}\n\n"
        "/// free\n\nenum E {\n  /// v\n  V /// w\n}\n"
    )
    schema = parse_schema(text.replace("\n", newline))
    model = schema.model("A")
    assert model.documentation == "One.\nTwo."
    assert [f.documentation for f in model.fields] == ["key\nof all", "block", "after"]
    assert schema.enum("E").documentation is None
    assert schema.enum("E").members[0].documentation == "v\nw"


REFUSED = [
    ("model A {\n  id Int @id\n  b Nope\n}\n", 3, 5, "Nope"),
    ("model A {\n  id Int @id\n  @@index([nope])\n}\n", 3, 12, "nope"),
    ("model A {\n  id Int @id\n  bs B[]\n}\nmodel B {\n  id Int @id\n}\n", 3, 3, "other side"),
    (
        "model A {\n  id Int @id\n  b B @relation(fields: [nope], references: [id])\n}\n"
        "model B {\n  id Int @id\n  as A[]\n}\n",
        3,
        26,
        "nope",
    ),
    ("model A {\n  id Int @id,\n}\n", 2, 13, "end of the line"),
    ("model A {\n  id Int @id\n\n", 1, 1, "not closed"),
    ("model A {\n  id Int @id\nmodel B {\n  id Int @id\n}\n", 3, 1, "not closed before"),
    ("type T = String\n", 1, 6, "type alias"),
    ("type T {\n  a Int\n}\n", 1, 6, "composite"),
    ('model A {\n  id Int @id\n  s String @default("\\q")\n}\n', 3, 22, "escape"),
    ("\ufeffmodel A {\n  id Int @id\n}\n", 1, 1, "byte order mark"),
    ('datasource d {\n  provider = "mysql"\n  url = "x"\n}\n', 2, 14, "PostgreSQL"),
]


@pytest.mark.parametrize(("text", "line", "column", "about"), REFUSED)
def test_an_error_says_where_and_what(text: str, line: int, column: int, about: str) -> None:
    with pytest.raises(SchemaError, match=about) as caught:
        parse_schema(text, "my.prisma")
    assert (caught.value.file, caught.value.line, caught.value.column) == ("my.prisma", line, column)
    assert str(caught.value).startswith(f"my.prisma:{line}:{column}: ")


def test_an_error_says_what_was_expected() -> None:
    with pytest.raises(SchemaError) as caught:
        parse_schema("model A {\n  id Int @id(map:)\n}\n")
    assert caught.value.expected == ("'['", "'{'", "a name", "a number", "a quoted text")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.prisma").write_text(DATASOURCE)
    (tmp_path / "sub" / "user.prisma").write_text("model User {\n  id Int @id\n  pets Pet[]\n}\n")
    (tmp_path / "zoo.prisma").write_text(PET)
    (tmp_path / "notes.txt").write_text("not a schema")
    return tmp_path


def test_a_folder_is_one_schema(folder: Path) -> None:
    schema: Datamodel = load_datamodel(None, folder)
    assert [m.name for m in schema.models] == ["User", "Pet"]


def test_symbolic_links_in_a_folder_are_followed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("sub", "zoo.prisma"):
        (folder / name).rename(elsewhere / name)
    (folder / "models").symlink_to(elsewhere / "sub")
    # As in Prisma, what a link leads to counts, and not what it is called.
    (folder / "zoo").symlink_to(elsewhere / "zoo.prisma")
    (folder / "more.prisma").symlink_to(folder / "notes.txt")
    (folder / "named.prisma").mkdir()
    assert sorted(m.name for m in load_datamodel(None, folder).models) == ["Pet", "User"]
    (elsewhere / "linked").symlink_to(folder)
    assert [m.name for m in load_datamodel(None, elsewhere / "linked").models] == ["User", "Pet"]


def link_twice(folder: Path) -> None:
    (folder / "again.prisma").symlink_to("zoo.prisma")


def link_nowhere(folder: Path) -> None:
    (folder / "gone.prisma").symlink_to("nowhere.prisma")


def link_to_itself(folder: Path) -> None:
    (folder / "loop.prisma").symlink_to("loop.prisma")


def link_upwards(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to("..")


def close_folder(folder: Path) -> None:
    (folder / "sub").chmod(0)
    if os.access(folder / "sub", os.R_OK):
        pytest.skip("this user may read everything")


@pytest.mark.parametrize(
    ("spoil", "file", "reason"),
    [
        (link_twice, "zoo.prisma", "Pet"),
        (link_nowhere, "gone.prisma", "No such file"),
        (link_to_itself, "loop.prisma", "symbolic links"),
        (link_upwards, "sub/up", "a folder that it lies in"),
        (close_folder, "sub", "Permission denied"),
    ],
)
def test_what_cannot_be_read_of_a_folder_is_an_error(
    folder: Path, spoil: Callable[[Path], None], file: str, reason: str
) -> None:
    spoil(folder)
    try:
        with pytest.raises(SchemaError, match=reason) as caught:
            load_datamodel(None, folder)
    finally:
        (folder / "sub").chmod(0o700)
    assert caught.value.file.endswith(file)


def test_an_error_in_a_folder_names_its_file(folder: Path) -> None:
    (folder / "zoo.prisma").write_text("\nmodel Pet {\n  id Int @id\n  what Nope\n}\n")
    with pytest.raises(SchemaError) as caught:
        load_datamodel(None, folder)
    assert caught.value.file.endswith("zoo.prisma")
    assert caught.value.line == 4


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="No such file"):
        load_datamodel(None, tmp_path / "none.prisma")
    with pytest.raises(SchemaError, match=r"no \.prisma file"):
        load_datamodel(None, tmp_path)
    (tmp_path / "latin.prisma").write_bytes(b"// \xff")
    with pytest.raises(SchemaError, match="not UTF-8"):
        load_datamodel(None, tmp_path / "latin.prisma")


def secret(line: str) -> Datamodel:
    return parse_schema(
        "model User {\n  id Int @id\n  ///  Hidden.\n"
        f"  /// {line}\n  code String\n  iv String\n  tag String\n  pets Pet[]\n}}\n{PET}"
    )


def test_a_secret_line_marks_the_field_and_its_parts() -> None:
    user = secret("@secret aes-256-gcm(owner: id, iv: iv, tag: tag)").model("User")
    found = user.scalar("code").secret
    assert found is not None
    assert (found.scheme, found.owner, found.iv, found.tag) == ("aes-256-gcm", "id", "iv", "tag")
    assert not found.part
    assert [f.name for f in user.scalars if f.secret and f.secret.part] == ["iv", "tag"]
    assert user.scalar("code").documentation == ("Hidden.\n@secret aes-256-gcm(owner: id, iv: iv, tag: tag)")


@pytest.mark.parametrize("scheme", ["bcrypt", "token"])
def test_a_secret_may_stand_alone(scheme: str) -> None:
    found = secret(f"@secret {scheme}").model("User").scalar("code").secret
    assert found is not None
    assert found.scheme == scheme


@pytest.mark.parametrize(
    "line",
    [
        "@secret rot13",
        "@secret bcrypt(owner: id)",
        "@secret aes-256-gcm",
        "@secret aes-256-gcm(owner: id, iv: iv)",
        "@secret aes-256-gcm(owner: id, iv: iv, tag: nope)",
        "@secret aes-256-gcm(owner: id, iv: iv, tag: pets)",
        "@secret aes-256-gcm(owner: id, iv: iv, tag: iv)",
        "@secret aes-256-gcm(owner: id, iv: code, tag: tag)",
        "@secret aes-256-gcm(owner id, iv: iv, tag: tag)",
        "@secret token\n  /// @secret bcrypt",
        "@secret\n  /// @public",
    ],
)
def test_a_malformed_secret_line_is_refused(line: str) -> None:
    with pytest.raises(SchemaError, match="secret"):
        secret(line)


def test_other_documentation_is_no_secret() -> None:
    assert secret("a @secret token in a sentence, or @secretary").model("User").scalar("code").secret is None


@pytest.mark.parametrize("brackets", [("[", "]"), ("{ id: ", " }")])
def test_what_is_nested_too_deeply_is_refused(brackets: tuple[str, str]) -> None:
    opened, closed = (sign * 5000 for sign in brackets)
    with pytest.raises(SchemaError, match="nested too deeply"):
        parse_schema(f"model A {{\n  id Int @id\n  @@index([id], where: {opened}1{closed})\n}}\n")
