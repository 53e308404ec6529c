"""A layout is proposed for any schema, as a person would fold it."""

from __future__ import annotations

import os
import re

import pytest
from msgspec.structs import replace

from applications.schemas import APPLICATIONS, FOLDER, datamodel_of
from octavo.errors import LayoutError, SchemaError
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.load import default_layout, parse_layout
from octavo.layout.naming import Names, camel, kebab, many, words
from octavo.layout.propose import propose
from octavo.layout.written import layout_text
from octavo.schema.datamodel import Datamodel, RelationField
from octavo.schema.parser import parse_schema
from schema_cases import HEAD
from schema_gen import generate

CHATS = """
model User {
  id String @id
  email String @unique
  chats Chat[]
  likes MessageLike[]
}
model Chat {
  id String @id
  title String
  userId String
  user User @relation(fields: [userId], references: [id], onDelete: Cascade)
  messages Message[]
  tags Tag[]
}
model Message {
  id String @id
  chatId String
  content String
  createdAt DateTime @default(now())
  chat Chat @relation(fields: [chatId], references: [id], onDelete: Cascade)
  likes MessageLike[]
}
model MessageLike {
  messageId String
  userId String
  message Message @relation(fields: [messageId], references: [id], onDelete: Cascade)
  user User @relation(fields: [userId], references: [id], onDelete: Cascade)
  @@id([messageId, userId])
}
model Tag {
  id Int @id @default(autoincrement())
  name String @unique
  chats Chat[]
}
model Prompt {
  id String @id
  name String
  description String
  content String
  notes String?
  greeting String?
}
"""


def chats() -> Datamodel:
    return parse_schema(HEAD + CHATS, "chats.prisma")


def where(layout: Layout) -> dict[str, str]:
    return {p.model.name: p.path or f"{p.relation and p.relation.parent}.{p.array}" for p in layout.places}


def without(datamodel: Datamodel, *names: str) -> Datamodel:
    """The schema before these models were added."""
    made = datamodel.without(names)
    return replace(made, whole=None)


def test_each_model_lives_as_what_it_is() -> None:
    assert where(propose(chats()).layout) == {
        "User": "users.jsonl",
        "Chat": "chats.jsonl",
        "Message": "chats/messages/{chatId}.jsonl",
        "MessageLike": "chats/messages-likes.jsonl",
        "Tag": "tags.json",
        "Prompt": "prompts/{id}.json",
        "_ChatToTag": "Chat.tags",
    }


def test_each_place_has_its_reason() -> None:
    found = propose(chats())
    assert found.reasons.keys() == {p.model.name for p in found.layout.places}
    assert found.reasons["Message"] == "accumulates below its Chat, and goes with it"
    assert found.reasons["_ChatToTag"] == "an implicit many-to-many relation: the keys of Tag"


def test_real_numbers_overrule_what_a_schema_makes_likely() -> None:
    few = propose(chats(), counts={"Chat": 1000, "Message": 2500, "Tag": 5000, "_ChatToTag": 900_000})
    assert few.layout.place("Message").kind is Kind.LOG
    assert few.layout.place("Tag").kind is Kind.LOG
    assert few.layout.place("_ChatToTag").kind is Kind.LOG
    many_of = propose(chats(), counts={"Chat": 10, "Message": 200_000})
    assert "200,000 of Message, 10 of Chat" in many_of.reasons["Message"]
    assert many_of.layout.place("User").kind is Kind.LOG
    few_users = propose(chats(), counts={"User": 3, "Chat": 5000, "Message": 200_000})
    assert few_users.reasons["User"] == "few, and 5,000 records refer to them (3 of User)"


def test_a_database_in_which_nearly_nothing_is_says_nothing() -> None:
    bare = propose(chats()).layout
    tried = propose(chats(), counts={m.name: 5 for m in bare.datamodel.tables}).layout
    assert where(tried) == where(bare)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_the_proposal_for_an_application_is_as_recorded(application: str) -> None:
    """After an intended change, ``OCTAVO_RECORD=1`` records all of them anew: look at them."""
    found = propose(datamodel_of(application))
    text = layout_text(found.layout, found.reasons)
    recorded = FOLDER / f"{application}.layout.toml"
    if os.environ.get("OCTAVO_RECORD"):
        recorded.write_text(text)
    assert text == recorded.read_text()
    again = parse_layout(text, datamodel_of(application))
    assert (again.places, again.datamodel) == (found.layout.places, found.layout.datamodel)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_models_that_stay_keep_their_places(application: str) -> None:
    whole = propose(datamodel_of(application)).layout
    names = [m.name for m in whole.datamodel.models if not m.is_view]
    for added in (names[::3], names[1::3], names[2::3]):
        before = propose(without(whole.datamodel, *added)).layout
        after = propose(whole.datamodel, keep=before).layout
        kept = {name: place for name, place in where(after).items() if name in where(before)}
        assert kept == where(before)
        assert parse_layout(layout_text(after), whole.datamodel).places == after.places


def test_any_schema_has_a_proposal() -> None:
    fitted = 0
    for seed in range(40):
        try:
            datamodel = parse_schema(generate(seed, 0.0), f"seed {seed}")
        except SchemaError:
            continue
        found = propose(datamodel)
        text = layout_text(found.layout, found.reasons)
        assert parse_layout(text, datamodel).places == found.layout.places
        assert propose(datamodel) == found
        fitted += 1
    assert fitted > 10


def test_names_that_mean_something_else_are_not_taken() -> None:
    names = ["Cache", "Caches", "cachesModel", "Journal", "Schema", "Con", "Index", "Aux", "CON", "Com1"]
    models = "".join(f"model {name} {{\n id Int @id\n}}\n" for name in names)
    layout = default_layout(parse_schema(HEAD + models, "names.prisma"))
    paths = [p.path for p in layout.places]
    assert len(set(paths)) == len(names)
    assert parse_layout(layout_text(layout), layout.datamodel).places == layout.places


def test_any_name_that_prisma_takes_gives_a_path() -> None:
    long = "Very" * 70
    relations = ["ü", "-", "a b/c", "A" * 90, "___"]
    lists = "".join(f'  a{n} B[] @relation("{name}")\n' for n, name in enumerate(relations))
    text = f"model A {{\n id Int @id\n{lists}}}\nmodel B {{\n id Int @id\n{lists.replace(' B[]', ' A[]')}}}\n"
    long_one = f'model {long} {{\n id Int @id\n text String\n @@map("long")\n}}\n'
    layout = default_layout(parse_schema(HEAD + text + long_one, "names.prisma"))
    assert parse_layout(layout_text(layout), layout.datamodel).places == layout.places
    counts = {m.name: 1_000_000 for m in layout.datamodel.join_tables} | {"A": 10, "B": 10}
    logs = propose(layout.datamodel, counts=counts).layout
    assert {p.kind for p in logs.places if p.model.is_join} == {Kind.LOG}
    assert parse_layout(layout_text(logs), logs.datamodel).places == logs.places
    assert all(len(part) < 120 for p in logs.places for part in p.path.split("/"))


def test_a_partial_layout_is_completed() -> None:
    text = 'version = 1\n[logs]\n"all/chats.jsonl" = ["Chat"]\n[embedded]\nMessageLike = "Message.likes"\n'
    layout = parse_layout(text, chats())
    places = where(layout)
    assert (places["Chat"], places["MessageLike"]) == ("all/chats.jsonl", "Message.likes")
    assert places["Message"] == "all/chats/messages/{chatId}.jsonl"
    assert layout.text == "", "what is kept with a store is the whole layout"


def test_what_nothing_identifies_is_left_out_by_the_proposal_and_named_by_all_else() -> None:
    datamodel = parse_schema(HEAD + "model A {\n id Int\n @@ignore\n}\n" + CHATS, "keyless.prisma")
    found = propose(datamodel)
    assert 'exclude = ["A"]  # A has nothing that identifies a record' in layout_text(
        found.layout, found.reasons
    )
    with pytest.raises(LayoutError, match="A: has nothing that identifies a record"):
        default_layout(datamodel)
    with pytest.raises(LayoutError, match="A: has nothing that identifies a record"):
        parse_layout("version = 1\n", datamodel)


def test_the_shape_of_an_order() -> None:
    """A part of another record is embedded; what can be equal by another spelling names no file."""
    text = """
model Order {
  id Decimal @id
  lines OrderLine[]
  notes Entry[]
}
model OrderLine {
  orderId Decimal
  position Int
  order Order @relation(fields: [orderId], references: [id], onDelete: Cascade)
  @@id([orderId, position])
}
model Entry {
  id Int @id
  orderId Decimal
  text String
  createdAt DateTime @default(now())
  order Order @relation(fields: [orderId], references: [id], onDelete: Cascade)
}
"""
    by_number = propose(parse_schema(HEAD + text, "orders.prisma")).layout
    assert {p.kind for p in by_number.places} == {Kind.LOG}
    by_text = propose(parse_schema(HEAD + text.replace("Decimal", "String"), "orders.prisma")).layout
    assert where(by_text)["OrderLine"] == "Order.lines"


@pytest.mark.parametrize(
    ("name", "path", "array"),
    [
        ("EmailTemplate", "email-templates", "emailTemplates"),
        ("OAuthClient", "oauth-clients", "oauthClients"),
        ("user_profile", "user-profiles", "userProfiles"),
        ("Category", "categories", "categories"),
        ("Address", "addresses", "addresses"),
        ("Analysis", "analyses", "analyses"),
        ("UserData", "user-data", "userData"),
        ("S3Object", "s3-objects", "s3Objects"),
        ("Person", "people", "people"),
        ("Settings", "settings", "settings"),
    ],
)
def test_names_are_those_that_a_person_would_choose(name: str, path: str, array: str) -> None:
    assert (kebab(many(words(name))), camel(many(words(name)))) == (path, array)


def test_what_all_models_begin_with_is_left_away() -> None:
    names = Names(["App_UserTable", "App_Post", "App_Tag"])
    assert [names[n] for n in ("App_UserTable", "App_Post")] == [["user"], ["post"]]


def test_a_place_says_what_it_is() -> None:
    place: Place = propose(chats()).layout.place("_ChatToTag")
    assert place.is_array_of_keys
    assert not any(isinstance(f, RelationField) for f in place.fields)


def test_without_foreign_keys_no_record_lives_with_its_parent() -> None:
    loose = HEAD.replace('provider = "postgresql"', 'provider = "postgresql"\n  relationMode = "prisma"', 1)
    layout = propose(parse_schema(loose + CHATS, "loose.prisma")).layout
    assert layout.datamodel.datasource.relation_mode == "prisma"
    assert {p.kind for p in layout.places if p.relation} == set()


def test_the_page_shows_what_is_proposed() -> None:
    page = (FOLDER.parent.parent / "docs" / "layout.md").read_text()
    schema, toml = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)[0] for kind in ("prisma", "toml"))
    found = propose(parse_schema(HEAD + schema, "page.prisma"))
    assert layout_text(found.layout, found.reasons) == toml
