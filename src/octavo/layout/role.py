"""The role of a model, as far as a schema tells: a join, a timeline, a catalogue, a piece of writing.

Relations, keys and types come first.  Where they leave it open, the words of names decide, as they would for
a person who reads the schema.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from octavo.layout.naming import Names, singular, words, words_of
from octavo.schema.datamodel import Action, Datamodel, Function, Model, Relation, ScalarField, ScalarKind
from octavo.schema.native import DEFAULT_NATIVE
from octavo.values.registry import value_type

_OWNERS = words_of(
    """
    account company customer environment member org organisation organization person profile project
    site team tenant user website workspace
    """
)
"""above nearly everything, and so no folder for it"""
_BUSY = words_of("booking contact conversion invoice job lead order payment request session visit")
"""so many that each is too small for a file"""
_TIMELINES = words_of(
    """
    activity answer attempt call change chunk entry event execution history log measurement message
    metric observation point reading response result revision run sample score signal span trace
    transaction version visit
    """
)
_REMARKS = words_of("comment item note post reaction reply review")
_UNBOUNDED = words_of(
    """
    bookmark enrollment favorite favourite follow follower like participation reaction read receipt
    redemption response subscription view visit vote watch
    """
)
"""joins that grow with the number of users"""
_NAMES = words_of("code key label name reason slug")
_PROSE = 200
"""characters that a text of a declared length has at least if it is one to read"""
_LONG = words_of(
    """
    about answer bio body content css description draft examples greeting html instructions
    introduction markdown message notes prompt script story summary template text transcript
    """
)
_NOT_PROSE = words_of(
    """
    address agent algorithm avatar checksum city code color colour country currency digest domain
    email file filename format hash host hostname icon id identifier image ip key kind language
    locale logo mime mode model path phone pin provider region role secret slug source state status
    theme timezone token type uid unit uri url username uuid version zone
    """
)
_SIGNING_IN = words_of(
    """
    account authenticator jwks passkey password-reset-token reset-password-request session two-
    factor verification verification-token
    """
)
_APART = words_of("archived credential credentials deleted deprecated password retired secret session token")
"""what is not for reading, or was once"""
_SETTINGS = words_of("config configs configuration feature flag option override preference setting settings")
_FAMILY = 3
"""models that begin alike have a folder, from this number on"""
_PEOPLE = words_of("account contact customer member person user")
_BACK = words_of("by in of on to")
"""how the field of the other side of a relation ends: ``likedBy``"""
_SMALL, _TINY = 9, 5
"""columns of what is a catalogue, if many refer to it or in any case"""
_MUCH_TEXT = 7
_SURE = 6


def is_told_by_its_text(model: Model, names: Sequence[str], datamodel: Datamodel) -> bool:
    """Whether different values of what names a file or a parent can be equal: then no name is found by it."""
    return any(value_type(model.scalar(n), datamodel).identity is not None for n in names)


class Roles(dict[str, "Role"]):
    """The role of each model, worked out when it is first asked for."""

    def __init__(self, datamodel: Datamodel, names: Names) -> None:
        super().__init__()
        self.datamodel, self.names = datamodel, names

    def __missing__(self, name: str) -> Role:
        found = self[name] = Role(self.datamodel.model(name), self)
        return found

    @cached_property
    def themes(self) -> dict[str, list[str]]:
        """The words with which models begin that have no owner, where enough of them begin alike to share a
        folder."""
        heads = [m.name for m in self.datamodel.tables if self[m.name].is_head]
        every = {name: tuple(self.names[name]) for name in heads}
        chosen: dict[str, tuple[str, ...]] = {}
        for length in range(max(map(len, every.values()), default=0), 0, -1):
            left = {n: w for n, w in every.items() if n not in chosen and len(w) > length}
            begun = {n: w[:length] for n, w in left.items()}
            number = Counter(begun.values())
            chosen |= {n: w for n, w in begun.items() if number[w] >= _FAMILY}
        return {name: list(found) for name, found in chosen.items()}


class Role:
    """Of one model."""

    def __init__(self, model: Model, all_of_them: Roles) -> None:
        self.model, self.others = model, all_of_them
        self.datamodel = all_of_them.datamodel
        self.words = all_of_them.names[model.name]
        self.noun = singular(self.words[-1])
        self.parents = list(self.datamodel.parents(model.name))

    # Relations

    @cached_property
    def children(self) -> list[Relation]:
        return [r for r in self.datamodel.children(self.model.name) if r.child != self.model.name]

    @cached_property
    def referred_to(self) -> int:
        """How many models refer to it; those that only join it to others count twice."""
        names = {r.child for r in self.children}
        return sum(2 if self.others[name].is_join else 1 for name in names)

    @cached_property
    def is_owner(self) -> bool:
        """Whether nearly everything is below it."""
        if self.noun in _OWNERS:
            return True
        below = {r.child for r in self.children if r.required and r.on_delete is Action.CASCADE}
        return sum(not self.others[name].is_join for name in below) > _SURE

    @cached_property
    def is_join(self) -> bool:
        """Whether each record says no more than that two others belong together."""
        return bool(self.model.is_join or self._joined)

    @cached_property
    def _joined(self) -> list[Relation]:
        required = [r for r in self.parents if r.required]
        if len(required) != 2 or self.children or self.model.is_join:
            return []
        fields = {name for r in required for name in r.fields}
        keys = [set(index.field_names) for index in self.model.all_indexes if index.kind != "normal"]
        own = [f for f in self.rest if f.name not in fields and not _is_time(f)]
        small = len(own) <= 3 and not any(f.is_json or f.is_list for f in own)
        return required if fields in keys and small else []

    @cached_property
    def rest(self) -> list[ScalarField]:
        """The columns but the key."""
        return [f for f in self.model.scalars if f.name not in self.model.key.field_names]

    @cached_property
    def hosts(self) -> list[Relation]:
        """The parents that it may be embedded in, the best first; of what is no part of another, none."""
        if self._joined:
            bounded = _UNBOUNDED.isdisjoint(self.words)
            return sorted(self._joined, key=self._host_rank, reverse=True) if bounded else []
        if self.model.is_join:
            return sorted(self.parents, key=self._host_rank, reverse=True)
        whole = [r for r in self.parents if self._is_part_of(r)]
        return whole if len(whole) == 1 else []

    def _is_part_of(self, relation: Relation) -> bool:
        """Whether the parent's key is the beginning of its own: an order's line."""
        key = self.model.key.field_names
        return (
            relation.required
            and relation.on_delete is Action.CASCADE
            and len(key) > len(relation.fields)
            and set(relation.fields) <= set(key)
            and not self.others[relation.parent].is_owner
            and not self.is_timeline_by_name
        )

    def _host_rank(self, relation: Relation) -> tuple[int, int, int]:
        host = self.others[relation.parent]
        points = 0
        if not self.model.is_join:
            if _follows_on(self.model.name, relation.parent):
                points += 4
            if self.words[: len(host.words)] == host.words:
                points += 3
            if host.noun in _PEOPLE:
                points -= 2
        if host.document_because:
            points -= 3
        if words(relation.parent_field)[-1] in _BACK:
            points -= 3
        return points, len(host.model.scalars), -self.parents.index(relation)

    def embedded_because(self, relation: Relation) -> str:
        if not self.is_join:
            return f"part of its {relation.parent}, whose key is in its own"
        other = next((r for r in self.parents if r is not relation and r.required), relation)
        if self.model.is_join:
            return f"an implicit many-to-many relation: the keys of {other.parent}"
        return f"joins {relation.parent} to {other.parent}"

    @cached_property
    def is_single(self) -> bool:
        """Whether each user, team or the like has one of it at most."""
        uniques = {index.field_names for index in self.model.all_indexes if index.kind != "normal"}
        above = [r for r in self.parents if r.required and self.others[r.parent].is_owner]
        return any(r.fields in uniques for r in above)

    # Time

    @cached_property
    def grows(self) -> bool:
        """Whether records are added as time passes: each has the time when it was."""
        return any(
            _is_time(f) and f.default == Function("now") and not f.updated_at for f in self.model.scalars
        )

    @property
    def is_timeline_by_name(self) -> bool:
        return self.noun in _TIMELINES

    @cached_property
    def timelines(self) -> list[Relation]:
        """The parents below which it accumulates, the nearest first."""
        found = [r for r in self.parents if self._accumulates(r)]
        return sorted(found, key=lambda r: (not self._is_named_after(r.parent), self.parents.index(r)))

    def _accumulates(self, relation: Relation) -> bool:
        parent = self.others[relation.parent]
        if not (relation.required and relation.on_delete is Action.CASCADE) or not self.grows:
            return False
        if parent.is_owner or parent.is_join or parent.noun in _BUSY or parent.is_single or self.is_join:
            return False
        points = 2 + 3 * self.is_timeline_by_name + (self.noun in _REMARKS)
        points += not any(f.updated_at for f in self.model.scalars)
        points += any(f.is_json or _is_long(f) for f in self.rest)
        for index in self.model.all_indexes:
            names = index.field_names
            if index.kind == "normal":
                points += 2 * (
                    names[: len(relation.fields)] == relation.fields and len(names) > len(relation.fields)
                )
            elif set(names) <= set(relation.fields):
                return False
            elif set(relation.fields) < set(names) and len(names) == len(relation.fields) + 1:
                (other,) = (self.model.scalar(n) for n in names if n not in relation.fields)
                points -= 2 * (other.type != "Int")
        return points >= _SURE

    def _is_named_after(self, other: str) -> bool:
        theirs = self.others.names[other]
        return len(self.words) > len(theirs) and self.words[: len(theirs)] == theirs

    @cached_property
    def owner(self) -> str:
        """The parent that it is named after, in whose folder it lies; empty: there is none."""
        named = [
            r.parent for r in self.parents if r.parent != self.model.name and self._is_named_after(r.parent)
        ]
        return max(named, key=lambda name: len(self.others.names[name]), default="")

    @property
    def is_head(self) -> bool:
        """Whether its file lies in no other model's folder, nor among those for signing in."""
        return not (self.owner or self.is_join or self.is_of_signing_in)

    # Size

    @cached_property
    def document_because(self) -> str:
        """Why it is a catalogue, small and hardly ever changed; empty: it is none."""
        model = self.model
        if self.is_owner or self.is_timeline_by_name or self.is_join or model.is_join:
            return ""
        if any(r.required and not self.others[r.parent].may_be_above_a_catalogue for r in self.parents):
            return ""
        small = len(model.scalars) <= (_TINY if self.referred_to < 2 else _SMALL)
        has_text = any(_is_long(f) for f in self.rest if f.name != "description")
        natural = self._natural
        if not self.referred_to and not self.parents and len(model.scalars) <= _SMALL:
            if natural and model.key.field_names == (natural,):
                return f"a few settings, each by its {natural}"
            return "a few settings" if self.noun in _SETTINGS else ""
        if not (small and natural and self.referred_to) or has_text or any(f.is_json for f in self.rest):
            return ""
        who = {r.child for r in self.children if not self.others[r.child].is_join}
        who |= {
            r.parent
            for c in self.children
            for r in self.datamodel.parents(c.child)
            if self.others[c.child].is_join
        }
        said = " and ".join(sorted(who - {model.name})[:2]) + (
            " and others" if len(who - {model.name}) > 2 else ""
        )
        verb = "refer" if " and " in said else "refers"
        return f"small, and {said} {verb} to it" if said else ""

    @cached_property
    def may_be_above_a_catalogue(self) -> bool:
        return self.is_owner or bool(self._natural and len(self.model.scalars) <= _SMALL)

    @cached_property
    def _natural(self) -> str:
        """The field by which people name a record; empty: there is none."""
        for index in self.model.all_indexes:
            if index.kind == "normal":
                continue
            keys = {name for r in self.parents for name in r.fields}
            own = [self.model.scalar(name) for name in index.field_names if name not in keys]
            if len(own) == 1 and own[0].type == "String" and own[0].default is None:
                word = words(own[0].name)[-1]
                if word in _NAMES:
                    return own[0].name
        return ""

    # Texts

    @cached_property
    def file_because(self) -> str:
        """Why a record is a piece of writing; empty: it is none."""
        if self.is_owner or self.is_timeline_by_name or self.is_join or self.noun in _BUSY | _REMARKS:
            return ""
        above = [self.others[r.parent] for r in self.parents if r.required and r.on_delete is Action.CASCADE]
        if not all(parent.is_owner for parent in above) or not _APART.isdisjoint(self.words):
            return ""
        keys = {
            name for index in self.model.all_indexes if index.kind != "normal" for name in index.field_names
        }
        keys |= {name for r in self.parents for name in r.fields}
        rest = [f for f in self.model.scalars if f.name not in keys or f.name in ("name", "title")]
        texts = [f for f in rest if _is_prose(f)]
        long = [f for f in texts if _is_long(f)]
        parts = [f for f in rest if f.is_json]
        points = len(texts) + len(long) + 2 * len(parts)
        if points < _MUCH_TEXT or not (long or len(parts) > 2):
            return ""
        told = ", ".join(f.name for f in [*long, *parts][:3])
        return f"a record of much text ({told}), to be read and edited by itself"

    # What is left

    @cached_property
    def is_of_signing_in(self) -> bool:
        """Whether it is one of the tables that libraries for signing in ask for."""
        if "-".join(self.words) not in _SIGNING_IN:
            return False
        fields = {f.name.lower() for f in self.model.scalars}
        return any(
            word in name
            for name in fields
            for word in ("token", "provider", "credential", "identifier", "key")
        )

    @property
    def log_because(self) -> str:
        if self.grows:
            return "one line a record, added as time passes"
        return "one line a record"


def _is_time(f: ScalarField) -> bool:
    return f.kind is ScalarKind.SCALAR and f.type == "DateTime"


def _is_prose(f: ScalarField) -> bool:
    if f.kind is not ScalarKind.SCALAR or f.type != "String" or f.is_list or f.secret is not None:
        return False
    if f.native not in (None, DEFAULT_NATIVE["String"]) and sum(f.native.args) < _PROSE:
        return False
    found = words(f.name)
    return bool(found) and found[-1] not in _NOT_PROSE and "id" not in found


def _is_long(f: ScalarField) -> bool:
    if not _is_prose(f):
        return False
    return words(f.name)[-1] in _LONG or f.native == DEFAULT_NATIVE["String"]


def _follows_on(join: str, parent: str) -> bool:
    """Whether a join is called ``TagsOnPosts``, after the parent that is the second."""
    _, found, last = join.rpartition("On")
    return bool(found) and last.lower() in (parent.lower(), parent.lower() + "s", parent.lower() + "es")
