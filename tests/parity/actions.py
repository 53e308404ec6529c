"""A schema with every referential action, on delete and on update, over records that live in every way.

For each action there are three models: one whose records are embedded in their parent's, one with a log for
each parent, and one that may do without a parent.
"""

from __future__ import annotations

from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Action
from octavo.schema.parser import parse_schema

_REQUIRED = [action for action in Action if action is not Action.SET_NULL]


def _child(action: Action, kind: str) -> str:
    parent, key = ("Parent?", "name") if kind == "Loose" else ("Parent", "id")
    optional = "?" if kind == "Loose" else ""
    return f"""
model {kind}{action} {{
  id       String  @id
  note     String?
  parentId String{optional} @default("a")
  parent   {parent} @relation(fields: [parentId], references: [{key}], onDelete: {action}, onUpdate: {action})
  {"leaves Leaf[]" if (kind, action) == ("Tied", Action.CASCADE) else ""}
}}"""


_CHILDREN = [
    *((action, "Loose") for action in Action),
    *((action, kind) for action in _REQUIRED for kind in ("Tied", "Filed")),
]
SCHEMA = f"""
datasource db {{
  provider = "postgresql"
  url      = env("DATABASE_URL")
}}

model Parent {{
  id   String @id
  name String @unique
  note String?
  {
    "".join(
        f'''
  {kind.lower()}{action} {kind}{action}[]'''
        for action, kind in _CHILDREN
    )
}
}}
{"".join(_child(action, kind) for action, kind in _CHILDREN)}

model Leaf {{
  id      String @id
  tiedId  String?
  tied    TiedCascade? @relation(fields: [tiedId], references: [id])
}}
"""
VOCABULARY = Vocabulary(parse_schema(SCHEMA))

_LAYOUT = f"""
version = 1
[documents]
"loose.json" = {{ {", ".join(f'loose{action} = "Loose{action}"' for action in Action)}, leaves = "Leaf" }}
[files]
"parents/{{id}}.json" = "Parent"
[logs_per_parent]
{
    "".join(
        f'''"{action.lower()}/{{parentId}}.jsonl" = "Filed{action}"
'''
        for action in _REQUIRED
    )
}
[embedded]
{
    "".join(
        f'''Tied{action} = "Parent.tied{action}"
'''
        for action in _REQUIRED
    )
}
"""


def layout() -> Layout:
    """Every way to live but the logs, which the default layout has."""
    return parse_layout(_LAYOUT, VOCABULARY.datamodel)
