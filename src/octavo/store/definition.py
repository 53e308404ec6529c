"""The schema and the layout that a command or a client works with: those of the store, named, or found.

A store says itself what it is (:mod:`octavo.store.identity`), and what is named beside it is compared with
that.  One from before it did is *taken over*: where its records fit what is named (or, if nothing is, what
older versions took), ``schema/`` is written.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

from octavo.backend import PathName
from octavo.errors import DamagedError, LayoutError, OctavoError, SchemaMismatch
from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout, given_text, layout_for
from octavo.schema.datamodel import Datamodel, Source
from octavo.schema.meaning import fingerprint
from octavo.schema.named import Named, found_schema, named
from octavo.schema.texts import frozen_source, is_frozen, schema_source
from octavo.store.decoded import Cached
from octavo.store.identity import (
    FOLDER,
    LAYOUT,
    Identity,
    SchemaName,
    has_texts,
    other_layout,
    other_schema,
    read_identity,
    read_layout_text,
    read_source,
    require_same,
    same_places,
)


class Definition:
    """A Datamodel, and the layout that goes with it."""

    def __init__(
        self,
        datamodel: Datamodel,
        data_dir: PathName | None = None,
        layout_path: PathName | None = None,
        found: str = "",
    ) -> None:
        self.datamodel, self.layout_path = datamodel, layout_path
        self.found = found
        """the schema, where none was named and one was found"""
        self._data_dir = data_dir

    @cached_property
    def layout(self) -> Layout:
        """Raises LayoutError, DamagedError, DiskError."""
        return layout_in(self._data_dir, self.datamodel, self.layout_path)

    @property
    def models(self) -> Datamodel:
        """The schema without the models that the layout excludes.  Raises DamagedError, DiskError."""
        try:
            return self.layout.datamodel
        except LayoutError:
            # A backend that needs the layout says so.
            return self.datamodel


def layout_in(data_dir: PathName | None, datamodel: Datamodel, path: PathName | None) -> Layout:
    """The layout in a file; without one the store's in a folder, if it has this schema; else the one that
    goes with the schema.  Raises LayoutError, DamagedError, DiskError."""
    if path is None and data_dir is not None:
        identity = read_identity(data_dir)
        if identity is not None and identity.schema.fingerprint == fingerprint(datamodel):
            return own_layout(data_dir, datamodel)
    made = layout_for(datamodel, path)
    if path is None and data_dir is not None and not is_frozen(datamodel) and not _stands(data_dir, made):
        # Older versions made another one up.
        flat = flat_layout(datamodel)
        return flat if _stands(data_dir, flat) else made
    return made


def _stands(data_dir: PathName, layout: Layout) -> bool:
    """Whether a folder has all files that a store of this layout has."""
    fixed = (family.path for family in layout.families if not family.varies)
    return all(os.path.isfile(os.path.join(data_dir, path)) for path in fixed)


def own_layout(data_dir: PathName, datamodel: Datamodel) -> Layout:
    """The layout of a store of this schema.  Raises LayoutError, DamagedError, DiskError."""
    return layout_for(datamodel, _own_path(data_dir, is_frozen=is_frozen(datamodel)))


def _own_path(data_dir: PathName, *, is_frozen: bool) -> PathName | None:
    """The file of a store's layout; None: it is the one that goes with the frozen schema."""
    text = read_layout_text(data_dir)
    return None if is_frozen and text == given_text(None, None) else os.path.join(data_dir, LAYOUT)


def layout_of_store(data_dir: PathName, layout: Layout) -> Layout:
    """The layout of the store in a folder: its own, where it says that it has another one than this."""
    with suppress(OctavoError):
        try:
            require_same(data_dir, layout)
        except SchemaMismatch:
            identity = read_identity(data_dir)
            if identity is not None:
                return own_layout(data_dir, _own(data_dir, identity).datamodel)
    return layout


def define(
    data_dir: PathName | None,
    schema: PathName | None = None,
    layout: PathName | None = None,
    *,
    named_wins: bool = False,
    elsewhere: bool = True,
) -> Definition:
    """What to work with in a data folder, by what is named, given here or elsewhere (see
    :mod:`octavo.schema.named`).

    ``named_wins``: what is named is not compared with the store, as it is to be replaced, or is not used.
    Without ``elsewhere`` nothing counts that is named in the environment, or in a file.
    Raises SchemaMismatch, SchemaError, LayoutError, UsageError, DamagedError, DiskError.
    """
    wanted = named(schema, layout, elsewhere=elsewhere)
    if data_dir is not None:
        try:
            identity = read_identity(data_dir)
        except DamagedError:
            # Nothing is asked of a store that is to be replaced, if its successor's schema is named.
            if not (named_wins and wanted.schema is not None):
                raise
        else:
            if identity is not None:
                return _of_store(data_dir, identity, wanted, named_wins=named_wins)
        if not named_wins and os.path.isdir(os.path.join(data_dir, "journal")):
            return _from_before(data_dir, wanted)
    found = "" if wanted.schema is not None else found_schema() or ""
    path = wanted.schema or found
    source = schema_source(path) if path else frozen_source()
    return Definition(Cached(data_dir, source, wanted.layout).datamodel, data_dir, wanted.layout, found)


def _own(data_dir: PathName, identity: Identity) -> Cached:
    """The store's own schema.  Raises SchemaMismatch if its text was changed."""
    source = read_source(data_dir, identity.schema.name)
    if of_frozen := source.files == frozen_source().files:
        source = frozen_source()
    found = Cached(data_dir, source, _own_path(data_dir, is_frozen=of_frozen))
    if fingerprint(found.datamodel) != identity.schema.fingerprint:
        edited = f"{FOLDER}/{source.files[0][0]}" if len(source.files) == 1 else f"the files in {FOLDER}/"
        raise SchemaMismatch(
            f"records of the {identity.schema}",
            f"{edited} as changed by hand ({fingerprint(found.datamodel)[:19]}…)",
            hint="put the text back as it was; a copy of the changed one is what to migrate to",
        )
    return found


def _of_store(data_dir: PathName, identity: Identity, wanted: Named, *, named_wins: bool) -> Definition:
    own = _own(data_dir, identity)
    datamodel = own.datamodel
    if wanted.schema is not None:
        source = schema_source(wanted.schema)
        if source.files != (datamodel.source or source).files:
            given = Cached(data_dir, source, os.path.join(data_dir, LAYOUT)).datamodel
            if fingerprint(given) != identity.schema.fingerprint:
                if named_wins:
                    return Definition(given, None, wanted.layout)
                raise other_schema(data_dir, identity, given)
            # It says the same in other words: documentation and secrets are taken from it.
            datamodel = given
    if wanted.layout is not None:
        if named_wins:
            return Definition(datamodel, None, wanted.layout)
        if given_text(None, wanted.layout) != read_layout_text(data_dir):
            given_layout, stored = layout_for(datamodel, wanted.layout), own_layout(data_dir, datamodel)
            if not same_places(stored, given_layout):
                raise other_layout(stored, given_layout)
            # It may search other texts.
            return Definition(identity.as_found(datamodel), data_dir, wanted.layout)
    own.keep()
    return Definition(identity.as_found(datamodel), data_dir)


def _from_before(data_dir: PathName, wanted: Named) -> Definition:
    """Take a store over that does not say what it is.  Raises SchemaMismatch if its records do not fit."""
    from octavo.store.takeover import Fit, Verdict, take_over

    tried: list[tuple[Cached, str, Layout, Fit]] = []
    for source, found in _candidates(data_dir, wanted):
        cached = Cached(data_dir, source, wanted.layout)
        layout = layout_in(data_dir, cached.datamodel, wanted.layout)
        tried.append((cached, found, layout, Fit(data_dir, layout)))
        if tried[-1][3].verdict is Verdict.FITS:
            break
    for verdict in (Verdict.FITS, Verdict.DAMAGED):
        for cached, found, layout, fit in tried:
            if fit.verdict is verdict:
                if verdict is Verdict.FITS:
                    take_over(data_dir, layout)
                cached.keep()
                return Definition(cached.datamodel, data_dir, wanted.layout, found)
    cached, _, _, fit = tried[0]
    raise SchemaMismatch(
        "records of a schema that it does not name",
        f"the {SchemaName.of(cached.datamodel)}",
        fit.reasons,
        hint="name the schema that it was made with: --schema FILE",
    )


def _candidates(data_dir: PathName, wanted: Named) -> Iterator[tuple[Source, str]]:
    """The schemas that a store may be of, and by which path one of them was found."""
    if wanted.schema is not None:
        yield schema_source(wanted.schema), ""
    elif has_texts(data_dir):
        yield read_source(data_dir), ""
    else:
        if (found := found_schema()) is not None:
            yield schema_source(found), found
        yield frozen_source(), ""
