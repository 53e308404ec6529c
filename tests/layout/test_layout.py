"""A layout is checked against its Datamodel: each rule, one planted error, its sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.errors import LayoutError, SchemaError
from octavo.layout import load as layout_file
from octavo.layout.layout import FileFamily, Kind, Layout
from octavo.layout.load import flat_layout, frozen_layout, layout_for, parse_layout
from octavo.schema.datamodel import Datamodel
from octavo.schema.parser import parse_schema
from schema_gen import generate

HEAD = 'datasource db {\n provider = "postgresql"\n url = ""\n}\n'
SCHEMA = (
    HEAD
    + """
model User {
  id String @id
  name String
  posts Post[]
  drafts Post[] @relation("drafts")
  groups Group[]
  home Home?
  @@unique([id, name])
  badges Badge[]
}
model Post {
  id String @id
  userId String
  user User @relation(fields: [userId], references: [id])
  drafterId String?
  drafter User? @relation("drafts", fields: [drafterId], references: [id])
  tags PostTag[]
  filepath String
  paths String[]
  size Int
  note String?
}
model PostTag {
  postId String
  tag String
  post Post @relation(fields: [postId], references: [id])
  marks Mark[]
  @@id([postId, tag])
}
model Mark {
  id Int @id
  postId String
  tag String
  on PostTag @relation(fields: [postId, tag], references: [postId, tag])
}
model Home {
  userId String @id
  user User @relation(fields: [userId], references: [id])
}
model Badge {
  id Int @id
  userId String
  name String
  user User @relation(fields: [userId, name], references: [id, name])
}
model Group {
  id Int @id
  members User[]
}
view Seen {
  id Int
}
generator client {
  provider = "prisma-client-js"
  previewFeatures = ["views"]
}
"""
)
GOOD = """
version = 1
[documents]
"settings/all.json" = { groups = "Group", homes = "Home" }
[files]
"users/{id}.json" = "User"
[logs]
"posts/index.jsonl" = ["Post", "Badge", "_GroupToUser"]
[logs_per_parent]
"tags/{postId}.jsonl" = "PostTag"
[embedded]
Mark = "PostTag.marks"
[payloads]
folder = "posts"
path = { Post = "filepath" }
size = { Post = "size" }
"""


@pytest.fixture(scope="module")
def datamodel() -> Datamodel:
    return parse_schema(SCHEMA, "test.prisma")


def test_the_one_to_be_damaged_is_sound(datamodel: Datamodel) -> None:
    layout = parse_layout(GOOD, datamodel)
    assert [p.model.name for p in layout.places] == [m.name for m in datamodel.tables]
    assert {p.kind for p in layout.places} == set(Kind)
    post = layout.place("Post")
    assert (post.path, post.payload, post.payload_size) == ("posts/index.jsonl", "filepath", "size")
    assert [f.name for f in layout.place("Mark").fields] == ["id"]
    assert layout.host("Mark") is layout.place("PostTag")
    assert layout.embedded("PostTag") == (layout.place("Mark"),)
    assert layout.place("PostTag").file_for(["A/b"]) == "tags/%41%2Fb.jsonl"
    assert layout.folders == ("cache", "journal", "posts", "schema", "settings", "tags", "users")


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


WRONG: dict[str, tuple[Callable[[str], str], str]] = {
    "placed twice": (
        replaced("[logs]\n", '[logs]\n"home.jsonl" = ["Home"]\n'),
        "Home: is placed twice: settings/all.json and home.jsonl",
    ),
    "placed twice in one file": (replaced('"Badge",', '"Badge", "Badge",'), "Badge: is placed twice"),
    "unknown model": (replaced('"Badge"', '"Badges"'), "the schema has no model 'Badges'"),
    "model that is no name": (replaced('"Badge"', "5"), "the schema has no model 5"),
    "view": (replaced('"Badge"', '"Badge", "Seen"'), "Seen: is a view: it has no records of its own"),
    "optional parent": (
        replaced('tags/{postId}.jsonl" = "PostTag"', 'tags/{drafterId}.jsonl" = "Post"'),
        "Post: its parent by drafterId must be required",
    ),
    "optional parent of what is embedded": (
        replaced("Mark =", 'Post = "User.drafts"\nMark ='),
        "Post: its parent by drafterId must be required",
    ),
    "parent that is none": (
        replaced("tags/{postId}.jsonl", "tags/{tag}.jsonl"),
        "PostTag: 'tags/{tag}.jsonl': no relation has the fields tag",
    ),
    "parent not named": (
        replaced("tags/{postId}.jsonl", "tags/all.jsonl"),
        "no relation has the fields (none)",
    ),
    "relation that is none": (
        replaced("PostTag.marks", "PostTag.Marks"),
        "Mark: 'PostTag.Marks' is not a relation of this model",
    ),
    "relation on the wrong side": (replaced("PostTag.marks", "Mark.on"), "is not a relation of this model"),
    "relation without a name": (
        lambda text: text.replace(', "_GroupToUser"', "").replace(
            "[embedded]\n", '[embedded]\n_GroupToUser = "User."\n'
        ),
        "_GroupToUser: 'User.' is not a relation of this model",
    ),
    "relation to what is no key": (
        lambda text: text.replace('"Badge", ', "").replace("Mark =", 'Badge = "User.badges"\nMark ='),
        "Badge: must point at the key of User",
    ),
    "embedded in embedded": (
        replaced('"tags/{postId}.jsonl" = "PostTag"\n[embedded]', '[embedded]\nPostTag = "Post.tags"'),
        "Mark: its parent PostTag is embedded itself",
    ),
    "log per parent of what is embedded": (
        lambda text: text.replace(
            '"tags/{postId}.jsonl" = "PostTag"', '"marks/{postId,tag}.jsonl" = "Mark"'
        ).replace('Mark = "PostTag.marks"', 'PostTag = "Post.tags"'),
        "Mark: its parent PostTag is embedded itself",
    ),
    "log per parent of what has one": (
        replaced('[embedded]\nMark = "PostTag.marks"', '"marks/{postId,tag}.jsonl" = "Mark"'),
        "Mark: its parent PostTag has a log per parent itself",
    ),
    "family without its key": (replaced("users/{id}.json", "users/user.json"), "lower-case folders and {id}"),
    "family by another field": (replaced("users/{id}", "users/{name}"), "must name its file by {id}"),
    "family with a prefix": (replaced("users/{id}", "users/u-{id}"), "lower-case folders and {id}"),
    "field in a folder": (replaced("users/{id}", "{id}/user"), "lower-case folders and {id}"),
    "field in a fixed file": (replaced("settings/all", "settings/{id}"), "is not a path of lower-case names"),
    "wrong ending of a log": (replaced("posts/index.jsonl", "posts/index.json"), "that ends in .jsonl"),
    "wrong ending of a document": (replaced("settings/all.json", "settings/all.jsonl"), "that ends in .json"),
    "no ending": (replaced("settings/all.json", "settings/all"), "that ends in .json"),
    "capitals": (replaced("settings/all.json", "settings/All.json"), "is not a path of lower-case names"),
    "capitals inside": (replaced("settings/all.json", "settings/aLL.json"), "is not a path of lower-case"),
    "traversal": (replaced("settings/all", "../all"), "is not a path of lower-case names"),
    "traversal inside": (replaced("settings/all", "settings/../all"), "is not a path of lower-case names"),
    "from the root": (replaced("settings/all", "/all"), "is not a path of lower-case names"),
    "here": (replaced("settings/all", "./all"), "is not a path of lower-case names"),
    "empty folder": (replaced("settings/all", "settings//all"), "is not a path of lower-case names"),
    "backslash": (replaced("settings/all", "settings\\\\all"), "is not a path of lower-case names"),
    "trailing dot": (replaced("settings/all", "settings./all"), "is not a path of lower-case names"),
    "hidden": (replaced("settings/all", "settings/.all"), "is not a path of lower-case names"),
    "device": (replaced("settings/all", "settings/con"), "con.json is a device on Windows"),
    "device as a folder": (replaced("settings/all", "aux/all"), "aux is a device on Windows"),
    "journal": (
        replaced("settings/all", "journal/all"),
        "Group: 'journal/all.json': journal/ is Octavo's own",
    ),
    "cache": (replaced("users/{id}", "cache/{id}"), "User: 'cache/{id}.json': cache/ is Octavo's own"),
    "among the payloads": (
        replaced("settings/all", "posts/0f/all"),
        "posts/0f/all.json lies among the payloads",
    ),
    "two families in one folder": (
        replaced(', homes = "Home" }\n[files]\n', ' }\n[files]\n"users/{userId}.json" = "Home"\n'),
        "users/{id}.json and users/{userId}.json can be the same file",
    ),
    "one file in two ways": (replaced(', "_GroupToUser"]', "]\n[logs.x]"), "x: must be a list of models"),
    "fixed against varying": (
        replaced("settings/all", "users/all"),
        "users/{id}.json and users/all.json can be the same file",
    ),
    "file against folder": (
        replaced("posts/index.jsonl", "settings/all.json/index.jsonl"),
        "can be the same file",
    ),
    "family against folder": (replaced("posts/index", "users/x.json/index"), "can be the same file"),
    "own key": (replaced("groups =", "_groups ="), "the key '_groups' must be a name"),
    "key to be escaped": (replaced("groups =", "'a\"b' ="), "must be a name of letters"),
    "empty key": (replaced("groups =", '"" ='), "must be a name of letters"),
    "document without models": (replaced("[files]", '"x.json" = {}\n[files]'), "x.json: holds no model"),
    "log without models": (replaced("[logs]\n", '[logs]\n"x.jsonl" = []\n'), "x.jsonl: holds no model"),
    "log that is no list": (
        replaced('"Badge", "_GroupToUser"]', '"_GroupToUser"]\n"b.jsonl" = "Badge"'),
        "b.jsonl: must be a list of models",
    ),
    "document that is no table": (
        replaced("[files]", '"x.json" = "Home"\n[files]'),
        "x.json: must be a table of keys and models",
    ),
    "section that is no table": (lambda _: "version = 1\nlogs = 5", "logs must be a table"),
    "unknown section": (replaced("[logs]", "[log]"), "unknown table log; there are documents"),
    "no version": (replaced("version = 1", ""), "version must be 1, not None"),
    "newer version": (replaced("version = 1", "version = 2"), "version must be 1, not 2"),
    "version that is no number": (replaced("version = 1", "version = true"), "version must be 1, not True"),
    "no TOML": (replaced("[logs]", "[logs"), "is not TOML: "),
    "one key twice": (replaced("groups = ", 'homes = "Home", groups = '), "is not TOML: "),
    "payload of a model not in a log": (
        replaced('{ Post = "filepath" }\nsize = { Post = "size" }', '{ Home = "userId" }'),
        "Home: only a model in a log can have payloads",
    ),
    "payload of no model": (
        replaced('Post = "filepath"', 'Post = "filepath", X = "y"'),
        "X: only a model in a log",
    ),
    "payload without a field": (
        replaced('"filepath"', '"path"'),
        "Post: payloads: 'path' is not a field of type String",
    ),
    "payload by a list": (
        replaced('"filepath"', '"paths"'),
        "Post: payloads: 'paths' is not a field of type String",
    ),
    "size that is no number": (replaced('"size"', '"note"'), "'note' is not a field of type BigInt or Int"),
    "size without a path": (
        replaced('Post = "size"', 'Badge = "id"'),
        "Badge: has the size of a payload, but no path",
    ),
    "paths that are no table": (
        replaced('{ Post = "filepath" }', '"filepath"'),
        "path and size must be tables",
    ),
    "payloads in the cache": (
        replaced('folder = "posts"', 'folder = "cache"'),
        "cache/ cannot be their folder",
    ),
    "payloads outside": (
        replaced('folder = "posts"', 'folder = "../posts"'),
        "folder must be one lower-case name",
    ),
    "payloads nowhere": (replaced('folder = "posts"', ""), "folder must be one lower-case name"),
    "unknown key of payloads": (replaced("folder =", "fodler ="), "payloads: unknown key fodler"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused(datamodel: Datamodel, name: str) -> None:
    change, sentence = WRONG[name]
    with pytest.raises(LayoutError, match=re.escape(sentence)) as caught:
        parse_layout(change(GOOD), datamodel, source="my.toml")
    assert caught.value.file == "my.toml"
    assert caught.value.exit_code == 2


SEARCHED = (
    GOOD
    + """
[search]
Post = ["note"]
# the names
"User" = ["name"]
"""
)


def test_a_layout_names_the_texts_that_are_searched(datamodel: Datamodel) -> None:
    layout = parse_layout(SEARCHED, datamodel)
    assert {p.model.name: p.search for p in layout.places if p.search} == {
        "Post": ("note",),
        "User": ("name",),
    }
    assert {p.model.name: p.search for p in frozen_layout().places if p.search} == {
        "Message": ("content",),
        "Chat": ("title",),
        "Character": ("name", "description"),
        "Persona": ("name", "description"),
    }


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ('Post = ["note"]', 'Post = ["nope"]', 19, "Post: search: the model has no field 'nope'"),
        ('Post = ["note"]', 'Post = ["size"]', 19, "Post: search: size is not a field of text"),
        ('Post = ["note"]', 'Post = ["paths"]', 19, "Post: search: paths is not a field of text"),
        ('Post = ["note"]', "Post = []", 19, "Post: search: must be a list of fields"),
        ('Post = ["note"]', 'Post = "note"', 19, "Post: search: must be a list of fields"),
        ('Post = ["note"]', "Post = [3]", 19, "Post: search: the model has no field 3"),
        ('Post = ["note"]', 'Post = ["note", "note"]', 19, "Post: search: note is named twice"),
        ('"User" = ["name"]', '"User" = ["posts"]', 21, "User: search: the model has no field 'posts'"),
        ('"User" = ["name"]', 'Used = ["name"]', 21, "the schema has no model 'Used'"),
        ('"User" = ["name"]', 'Seen = ["id"]', 21, "the schema has no model 'Seen'"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_line(
    datamodel: Datamodel, old: str, new: str, line: int, sentence: str
) -> None:
    with pytest.raises(LayoutError, match=re.escape(sentence)) as caught:
        parse_layout(SEARCHED.replace(old, new), datamodel, source="my.toml")
    assert caught.value.file == f"my.toml:{line}"


def test_a_secret_is_not_searched() -> None:
    text = Path(layout_file.__file__).with_name("layout-0.7.toml").read_text("utf-8")
    text = text.replace('Chat = ["title"]', 'User = ["passwordHash"]')
    with pytest.raises(LayoutError, match="User: search: passwordHash is a secret"):
        parse_layout(text, frozen_layout().datamodel)


def test_an_index_stands_beside_the_files_it_is_named_apart_from(datamodel: Datamodel) -> None:
    layout = parse_layout(GOOD.replace("settings/all", "users/index"), datamodel)
    assert layout.family("users/index.json") == FileFamily(
        "users/index.json", Kind.DOCUMENT, (layout.place("Home"), layout.place("Group"))
    )
    family = layout.family("users/%49ndex.json")
    assert family is not None
    assert family.kind is Kind.FILE
    for stray in (
        "users/Index.json",
        "users/a b.json",
        "users/index.jsonl",
        "users/a/b.json",
        "users/.json",
        "users/a.b.json",
        "users/A.json",
        "users/%4a.json",
        "users/~a.json",
    ):
        assert layout.family(stray) is None, stray


def test_a_layout_is_read_from_a_file(datamodel: Datamodel, tmp_path: Path) -> None:
    file = tmp_path / "layout.toml"
    file.write_text(GOOD)
    assert layout_for(datamodel, file).source == str(file)
    file.write_bytes(b"# \xff")
    with pytest.raises(LayoutError, match=r"layout\.toml: is not UTF-8 \(byte 2\)"):
        layout_for(datamodel, file)
    with pytest.raises(LayoutError, match=r"cannot be read: No such file"):
        layout_for(datamodel, tmp_path / "none.toml")
    with pytest.raises(LayoutError, match=r"cannot be read: Is a directory"):
        layout_for(datamodel, tmp_path)


def test_the_frozen_layout_is_the_tree_of_the_contract() -> None:
    layout = frozen_layout()
    tree = {
        "settings/general.json": ["User", "ChatSettings"],
        "settings/connection-profiles.json": ["ApiKey", "ConnectionProfile"],
        "characters/{id}.json": ["Character"],
        "personas/{id}.json": ["Persona"],
        "chats/index.jsonl": ["Chat"],
        "chats/{chatId}.jsonl": ["Message"],
        "binaries/index.jsonl": ["Image", "ChatFile"],
        "auth/accounts.json": ["Account"],
        "auth/sessions.jsonl": ["Session"],
        "auth/verification-tokens.jsonl": ["VerificationToken"],
        "tags/tags.json": ["Tag"],
        "image-profiles/image-profiles.json": ["ImageProfile"],
    }
    assert {f.path: {p.model.name for p in f.places} for f in layout.families} == {
        path: set(models) for path, models in tree.items()
    }
    embedded = {
        "Character": ["personas", "tags"],
        "Persona": ["tags"],
        "Chat": ["tags", "avatarOverrides"],
        "ConnectionProfile": ["tags"],
        "Image": ["tags"],
        "ImageProfile": ["tags"],
    }
    for model in layout.datamodel.tables:
        assert {p.array for p in layout.embedded(model.name)} == set(embedded.get(model.name, []))
    keys = {p.array for p in layout.places if p.kind is Kind.DOCUMENT}
    assert keys == {
        *("users", "chatSettings", "apiKeys", "connectionProfiles", "accounts", "tags", "imageProfiles")
    }
    assert layout.payload_folder == "binaries"
    assert {p.model.name for p in layout.places if p.payload} == {"Image", "ChatFile"}
    assert {f.folder for f in layout.families} | {"journal", "cache", "schema"} == set(layout.folders)


def names_models_once(layout: Layout) -> None:
    assert [p.model for p in layout.places] == list(layout.datamodel.tables)
    assert len({p.path.casefold() for p in layout.places}) == len(layout.places)
    for place in layout.places:
        found = layout.family(place.path)
        assert found is not None
        assert found.places == (place,)


def test_the_default_layout_fits_any_schema() -> None:
    fitted = 0
    for seed in range(60):
        try:
            datamodel = parse_schema(generate(seed, 0.0), f"seed {seed}")
        except SchemaError:
            continue
        names_models_once(flat_layout(datamodel))
        fitted += 1
    assert fitted > 20


def test_the_default_layout_keeps_awkward_table_names_apart() -> None:
    tables = ["A", "a", "a-", "index", "con", "../x", "_", "journal", "é", "x" * 63, "X" * 63, "a b"]
    models = "".join(f'model M{n} {{\n id Int @id\n @@map("{t}")\n}}\n' for n, t in enumerate(tables))
    layout = flat_layout(parse_schema(HEAD + models, "names.prisma"))
    names_models_once(layout)
    assert all(".." not in p.path.split("/") for p in layout.places)
    assert layout.place("M0").path == "a.jsonl"


def test_what_nothing_identifies_has_no_place() -> None:
    datamodel = parse_schema(HEAD + "model A {\n id Int\n @@ignore\n}\n", "keyless.prisma")
    with pytest.raises(LayoutError, match="A: has nothing that identifies a record"):
        flat_layout(datamodel)
    with pytest.raises(LayoutError, match="A: has nothing that identifies a record"):
        parse_layout('version = 1\n[logs]\n"a.jsonl" = ["A"]', datamodel)
