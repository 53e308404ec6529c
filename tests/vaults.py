"""The sample's secrets on each backend, and what they say under a pepper."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from octavo.backend import DataBackend, Settings
from octavo.crypto import SecretError, decrypt, sealed_in
from octavo.demo.sample import DEMO_PEPPER
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema
from octavo.secrets.check import holders, opened, sides_of

VOCABULARY = Vocabulary(frozen_schema())
OLD, NEW = DEMO_PEPPER, "nouveau sel — 新しい塩"

Told = dict[tuple[str, str, str, str], str | None]
"""plaintexts by side, model, key and field; None for what does not open"""


class Vault(NamedTuple):
    """A backend with secrets."""

    kind: DataBackend
    settings: Settings

    @property
    def place(self) -> dict[str, Any]:
        """What names it to :func:`octavo.connect`."""
        return {"database_url": self.settings.database_url, "data_dir": self.settings.data_dir}

    @property
    def variables(self) -> dict[str, str]:
        """What names it to a process."""
        return {
            "DATA_BACKEND": self.kind.value,
            "DATABASE_URL": self.settings.database_url,
            "DATA_DIR": str(self.settings.data_dir),
        }

    def rows(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Every user and API key, by side, model and key."""
        with opened(self.kind, VOCABULARY, self.settings) as backend:
            return {
                (side, holder.terms.name, record.id): record.to_dict()
                for holder in holders(VOCABULARY)
                for side, reader in sides_of(backend).items()
                for page in holder.pages(reader)
                for record in page
            }

    def told(self, pepper: str) -> Told:
        """What every encrypted value says under a pepper."""
        found: Told = {}
        for (side, model, key), row in self.rows().items():
            for f in VOCABULARY.datamodel.model(model).scalars:
                if f.secret is None or f.secret.part or f.secret.scheme != "aes-256-gcm":
                    continue
                try:
                    sealed = sealed_in(f.secret, row[f.name], row)
                    if sealed is not None:
                        found[side, model, key, f.name] = decrypt(*sealed, pepper)
                except SecretError:
                    found[side, model, key, f.name] = None
        return found

    def values(self) -> set[str]:
        """Every text that is not to be seen: ciphertexts, tags, hashes, and what they say."""
        secret = {f.name for m in VOCABULARY.datamodel.models for f in m.scalars if f.secret is not None}
        stored = {str(row[n]) for row in self.rows().values() for n in secret & row.keys() if row[n]}
        plain = {text for pepper in (OLD, NEW) for text in self.told(pepper).values() if text}
        return stored | plain


def new_vault(
    kind: DataBackend, folder: Path, exported: Path, database: Callable[[], str], *, both: bool = False
) -> Vault:
    """A copy of the sample.  ``both``: the side that is not used is there too."""
    url, data = "", folder / "data"
    if both or kind is not DataBackend.JSON:
        url = database()
    if both or kind is not DataBackend.PRISMA:
        shutil.copytree(exported, data)
    return Vault(kind, Settings(database_url=url, data_dir=data, layout=None))
