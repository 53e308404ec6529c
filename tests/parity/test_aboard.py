"""A record embedded in its parent points at it by a second foreign key, too: the order of both counts."""

from __future__ import annotations

from itertools import product

from octavo.layout.load import parse_layout
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Action
from octavo.schema.parser import parse_schema
from parity.alike import Alike, place_of
from parity.coverage import Coverage
from parity.programs import Call, Reopen

CASES = [
    (f"{when}{host}{other}", when, host, other)
    for when, host, other in product(("Before", "After"), (Action.CASCADE, Action.RESTRICT), Action)
]
"""the name of a model, and whether its second foreign key is made before or after that of its host"""


def _child(name: str, when: str, host: Action, other: Action) -> str:
    embedding = f'host Parent @relation("{name}1", fields: [hostId], references: [id], onDelete: {host})'
    second = f'other Parent? @relation("{name}2", fields: [otherId], references: [id], onDelete: {other})'
    relations = [second, embedding] if when == "Before" else [embedding, second]
    return f"""
model {name} {{
  id      String  @id
  hostId  String
  otherId String? @default("default")
  {relations[0]}
  {relations[1]}
}}
"""


SCHEMA = (
    'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
    + "model Parent {\n  id String @id\n"
    + "".join(f'  {n}1 {n}[] @relation("{n}1")\n  {n}2 {n}[] @relation("{n}2")\n' for n, *_ in CASES)
    + "}\n"
    + "".join(_child(*case) for case in CASES)
)
LAYOUT = 'version = 1\n[logs]\n"parents.jsonl" = ["Parent"]\n[embedded]\n' + "".join(
    f'{name} = "Parent.{name}1"\n' for name, *_ in CASES
)


def test_deleting_the_host_gives_the_same_everywhere(server: EmbeddedServer) -> None:
    datamodel = parse_schema(SCHEMA)
    with place_of(server, Vocabulary(datamodel), parse_layout(LAYOUT, datamodel)) as place:
        alike = Alike(place, Coverage(place.vocabulary))
        try:
            alike.do(Call("Parent", "create", {"data": {"id": "default"}}))
            for name, *_ in CASES:
                for own, other in ((f"{name} a", f"{name} a"), (f"{name} b", f"{name} c")):
                    parents = [{"id": parent} for parent in dict.fromkeys([own, other])]
                    alike.do(Call("Parent", "create_many", {"data": parents}))
                    child = {"id": own, "hostId": own, "otherId": other}
                    alike.do(Call(name, "create", {"data": child}))
                for parent in "acb":
                    alike.do(Call("Parent", "delete", {"where": {"id": f"{name} {parent}"}}))
            alike.do(Reopen())
            alike.conclude()
        finally:
            alike.close()
