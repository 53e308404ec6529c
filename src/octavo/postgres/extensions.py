"""Which extension has what PostgreSQL does not find: a type, an operator class, a function.

A server cannot tell what the extensions hold that it does not have.  These are the ones that Prisma's schemas
name, from PostgreSQL's own (its documentation, appendix F) to the widespread ones of others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TYPES: Mapping[str, str] = {
    "citext": "citext|citexts",
    "cube": "cube",
    "hstore": "hstore",
    "intarray": "query_int",
    "isn": "ean13|isbn|isbn13|ismn|ismn13|issn|issn13|upc",
    "ltree": "ltree|lquery|ltxtquery",
    "postgis": "geometry|geography|box2d|box3d",
    "postgis_raster": "raster",
    "seg": "seg",
    "vector": "vector|halfvec|sparsevec",
}
_OPERATOR_CLASSES: Mapping[str, str] = {
    "citext": "citext_(pattern_)?ops",
    "cube": "(gist_)?cube_ops",
    "hstore": "(gin|gist|hash|btree)_hstore_ops",
    "intarray": "gi(n|st)__int(big)?_ops",
    "ltree": "(gist_|hash_)?_?ltree_ops",
    "pg_trgm": "gi(n|st)_trgm_ops",
    "postgis": "(gist|spgist|brin)_geo(metry|graphy)\\w*",
    "seg": "(gist_)?seg_ops",
    "vector": "(bit|vector|halfvec|sparsevec)_(l1|l2|ip|cosine|hamming|jaccard)_ops",
}
_FUNCTIONS: Mapping[str, str] = {
    "fuzzystrmatch": "soundex|levenshtein|metaphone|dmetaphone|daitch_mokotoff",
    "pg_trgm": "(word_|strict_word_)?similarity|show_trgm",
    "pgcrypto": "gen_random_uuid|gen_random_bytes|gen_salt|crypt|digest|hmac",
    "unaccent": "unaccent",
    "uuid-ossp": "uuid_(nil|ns_\\w+|generate_v\\w+)",
}
_DEFAULT_CLASSES: Mapping[str, str] = {"gin": "btree_gin", "gist": "btree_gist"}
"""by access method, the extension that has classes for PostgreSQL's plain types"""

_MISSING = (
    (_TYPES, re.compile(r'type "(?:[^"]*\.)?([^".]+)" does not exist')),
    (_OPERATOR_CLASSES, re.compile(r'operator class "(?:[^"]*\.)?([^".]+)" does not exist')),
    (_FUNCTIONS, re.compile(r'function (?:[^(]*\.)?"?([^(."]+)"?\(.*\) does not exist')),
    (
        {extension: method for method, extension in _DEFAULT_CLASSES.items()},
        re.compile(r'has no default operator class for access method "(\w+)"'),
    ),
)
_REFUSED = re.compile(
    r'extension "([^"]+)" is not available|permission denied to create extension "([^"]+)"'
    r'|could not open extension control file ".*/([^/"]+)\.control"'
)


def remedy(message: str) -> str:
    """What helps where a server's message says that something of an extension is missing; empty: it does not
    say so."""
    if refused := _REFUSED.search(message):
        name = next(filter(None, refused.groups()))
        needed = "a superuser has to run" if refused[2] else "install it on the server, then run"
        return f"{needed} {_create(name)} in this database"
    for names, said in _MISSING:
        if found := said.search(message):
            for extension, pattern in names.items():
                if re.fullmatch(pattern, found[1]):
                    return f"run {_create(extension)} in this database first"
            if names is not _FUNCTIONS:
                return (
                    f"{found[1]} may belong to an extension: run CREATE EXTENSION in this database first, of"
                    " those that \\dx of psql lists in a database that has it"
                )
    return ""


def _create(extension: str) -> str:
    name = extension if re.fullmatch(r"[a-z_][a-z0-9_]*", extension) else f'"{extension}"'
    return f"CREATE EXTENSION {name}"
