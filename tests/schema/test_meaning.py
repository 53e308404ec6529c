"""The fingerprint of a schema is that of what it means, and two schemas that differ say in what."""

from __future__ import annotations

import pytest

from octavo.schema.meaning import differences, fingerprint
from octavo.schema.parser import parse_files, parse_schema

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
enum Mood {
  GLAD
  SAD
}
model Author {
  id    Int    @id
  name  String
  books Book[]
}
model Book {
  id       Int     @id
  title    String?
  mood     Mood    @default(GLAD)
  author   Author  @relation(fields: [authorId], references: [id])
  authorId Int
  @@index([title])
  @@index([mood])
}
"""


def changed(old: str, new: str) -> str:
    assert old in SCHEMA
    return SCHEMA.replace(old, new, 1)


@pytest.mark.parametrize(
    "text",
    [
        f"// a note\n{SCHEMA}\n/// another\n",
        SCHEMA + '\ngenerator client {\n  provider = "prisma-client-js"\n}\n',
        changed('  url      = env("DATABASE_URL")\n', '  url = "postgresql://localhost/x"\n'),
        changed("datasource db", "datasource pg"),
        changed("title    String?", "title String? @db.Text"),
        changed("name  String", 'name String @map("name")'),
        changed("  @@index([title])\n  @@index([mood])", "  @@index([mood])\n  @@index([title])"),
        changed("references: [id])", "references: [id], onDelete: Restrict, onUpdate: Cascade)"),
        SCHEMA.replace("\n", "\r\n"),
        # Enums may stand anywhere.
        changed("enum Mood {\n  GLAD\n  SAD\n}\n", "") + "enum Mood {\n  GLAD\n  SAD\n}\n",
    ],
)
def test_another_spelling_is_the_same_schema(text: str) -> None:
    one, other = parse_schema(SCHEMA), parse_schema(text)
    assert fingerprint(one) == fingerprint(other)
    assert differences(one, other) == []


def test_a_folder_of_files_means_what_one_file_does() -> None:
    head, tail = SCHEMA.split("enum Mood")
    parts = parse_files([("s/a.prisma", head), ("s/models/b.prisma", f"enum Mood{tail}")], root="s")
    assert fingerprint(parts) == fingerprint(parse_schema(SCHEMA))
    assert parts.source is not None
    assert parts.source.name == "s"
    assert [name for name, _ in parts.source.files] == ["a.prisma", "models/b.prisma"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title    String?", "title String", "Book.title differs (String?, given: String)"),
        ("title    String?", "title String? @db.VarChar(9)", "Book.title differs (String?, given: String?)"),
        ("name  String", "name String\n  born Int?", "Author.born is not in the store's"),
        ("  name  String\n", "", "Author.name is in the store's only"),
        ("SAD", "SAD\n  CALM", "Mood.CALM is not in the store's"),
        ("GLAD\n  SAD", "SAD\n  GLAD", "Mood has its labels in another order"),
        ("[id])", "[id], onDelete: Cascade)", "Book.author differs in its columns, actions or constraint"),
        ("@@index([mood])", "", "Book differs in its name, keys or indexes"),
        ("  id    Int    @id\n  name  String", "  name  String\n  id Int @id", "Author has its fields in"),
        ("  url ", '  relationMode = "prisma"\n  url ', "the datasource differs"),
    ],
)
def test_another_meaning_is_told(old: str, new: str, told: str) -> None:
    one, other = parse_schema(SCHEMA), parse_schema(changed(old, new))
    assert fingerprint(one) != fingerprint(other)
    assert told in "\n".join(differences(one, other))
