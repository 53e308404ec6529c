"""With ``relationMode = "prisma"`` a record may point at a missing one, which is reported and no damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from command import octavo
from octavo.errors import LayoutError
from octavo.layout.load import parse_layout
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider     = "postgresql"
  relationMode = "prisma"
}
model Chat {
  id    Int       @id
  posts Post[]
  tags  Tag[]
}
model Post {
  id     Int  @id
  chatId Int
  chat   Chat @relation(fields: [chatId], references: [id], onDelete: Cascade)
  @@index([chatId])
}
model Tag {
  id    Int    @id
  chats Chat[]
}
"""


def test_a_life_with_orphans(new_database: Callable[..., str], tmp_path: Path) -> None:
    source, target = new_database(), new_database()
    script = ddl(parse_schema(SCHEMA)).script()
    assert "FOREIGN KEY" not in script
    with connect(source) as connection:
        connection.execute(script.encode())
        connection.execute(
            b'INSERT INTO "Chat" VALUES (1); INSERT INTO "Tag" VALUES (1);'
            b'INSERT INTO "Post" VALUES (1, 1), (2, 7), (3, 8);'
            b'INSERT INTO "_ChatToTag" VALUES (1, 1), (9, 1)'
        )
    schema = tmp_path / "schema.prisma"
    schema.write_text(SCHEMA)
    given = ["--schema", str(schema), "--data-dir", str(tmp_path / "data"), "--json"]
    orphans = ["2 rows of Post by chatId: no such Chat", "1 row of _ChatToTag by A: no such Chat"]

    def run(command: str, url: str) -> list[str]:
        done = octavo(command, "--database-url", url, *given)
        assert done.code == 0, done.err
        return [text for text in done.answer["notes"] if "no such" in text]

    assert run("export", source) == orphans
    assert run("verify", source) == orphans
    done = octavo("doctor", *given)
    assert done.code == 0
    found = [f for f in done.answer["findings"] if f["kind"] == "orphan"]
    assert [(f["model"], f["damage"]) for f in found] == [("Post", False)] * 2 + [("_ChatToTag", False)]
    assert run("restore", target) == orphans
    assert run("verify", target) == orphans
    with connect(source) as connection:
        connection.execute(b'DELETE FROM "Post" WHERE id = 3')
    done = octavo("verify", "--database-url", source, *given)
    assert (done.code, done.answer["integrity"]) == (1, [])


@pytest.mark.parametrize(
    "place", ['[logs_per_parent]\n"chats/{chatId}.jsonl" = "Post"', '[embedded]\nPost = "Chat.posts"']
)
def test_no_record_lives_with_a_parent_that_may_be_missing(place: str) -> None:
    layout = f'version = 1\n[logs]\n"chats.jsonl" = ["Chat"]\n"tags.jsonl" = ["Tag", "_ChatToTag"]\n{place}\n'
    with pytest.raises(LayoutError, match="its parent may be missing"):
        parse_layout(layout, parse_schema(SCHEMA))
