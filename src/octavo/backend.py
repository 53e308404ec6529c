"""Where the application's data lives: the feature flag ``DATA_BACKEND``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum

from octavo.errors import UsageError


class DataBackend(StrEnum):
    """The values of ``DATA_BACKEND``."""

    PRISMA = "prisma"
    """PostgreSQL at ``DATABASE_URL``"""
    JSON = "json"
    """the files at ``DATA_DIR``"""
    DUAL = "dual"
    """both"""


def get_data_backend(environ: Mapping[str, str] | None = None) -> DataBackend:
    """The backend that ``DATA_BACKEND`` names; ``prisma`` where it is unset or empty.

    Raises UsageError for any other value.
    """
    value = (os.environ if environ is None else environ).get("DATA_BACKEND", "").strip()
    try:
        return DataBackend(value or DataBackend.PRISMA)
    except ValueError as error:
        known = ", ".join(DataBackend)
        raise UsageError(f"DATA_BACKEND is {value!r}; it must be one of {known}") from error
