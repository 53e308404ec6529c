"""The feature flag ``DATA_BACKEND``, and what the environment is told about."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from octavo import backend
from octavo.errors import UsageError

ROOT = Path(__file__).parents[1]
SECRET = "hunter2"


@pytest.mark.parametrize(
    ("value", "prisma", "files", "dual"),
    [
        (None, True, False, False),
        ("", True, False, False),
        ("prisma", True, False, False),
        ("json", False, True, False),
        (" dual ", True, True, True),
    ],
)
def test_what_each_value_means(
    monkeypatch: pytest.MonkeyPatch, value: str | None, prisma: bool, files: bool, dual: bool
) -> None:
    if value is None:
        monkeypatch.delenv("DATA_BACKEND", raising=False)
    else:
        monkeypatch.setenv("DATA_BACKEND", value)
    assert backend.get_data_backend() == ((value or "").strip() or "prisma")
    assert (backend.use_prisma(), backend.use_json_store()) == (prisma, files)
    assert backend.is_dual_mode() == backend.is_migration_mode() == dual


@pytest.mark.parametrize(
    "function",
    [
        backend.get_data_backend,
        backend.use_prisma,
        backend.use_json_store,
        backend.is_dual_mode,
        backend.is_migration_mode,
        backend.log_backend_config,
    ],
)
def test_an_unknown_value_is_an_error_that_lists_the_three(function: object) -> None:
    with pytest.raises(UsageError, match=r"'mysql'.*prisma, json, dual"):
        function({"DATA_BACKEND": "mysql"})  # type: ignore[operator]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"DATABASE_URL": f"postgresql://me:{SECRET}@db:5433/app?sslpassword={SECRET}"},
            "DATA_BACKEND=prisma, DATABASE_URL=postgresql://me@db:5433/app",
        ),
        ({}, "DATA_BACKEND=prisma, DATABASE_URL=(not set)"),
        ({"DATABASE_URL": f"mysql://me:{SECRET}@db"}, "DATA_BACKEND=prisma, DATABASE_URL=(cannot be read)"),
        ({"DATA_BACKEND": "json", "DATA_DIR": "/srv/data"}, "DATA_BACKEND=json, DATA_DIR=/srv/data"),
        ({"DATA_BACKEND": "json"}, f"DATA_BACKEND=json, DATA_DIR={Path.cwd() / 'data'}"),
        (
            {"DATA_BACKEND": "dual", "DATABASE_URL": f"postgres://me:{SECRET}@db/app", "DATA_DIR": "/d"},
            "DATA_BACKEND=dual, DATABASE_URL=postgresql://me@db:5432/app, DATA_DIR=/d",
        ),
    ],
)
def test_the_log_is_told_where_the_data_lies_and_no_secret(
    caplog: pytest.LogCaptureFixture, environ: dict[str, str], said: str
) -> None:
    with caplog.at_level(logging.INFO, "octavo"):
        backend.log_backend_config(environ)
    assert caplog.messages == [said]
    assert SECRET not in caplog.text


def test_the_example_names_every_setting_that_is_read() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    read = set(re.findall(r'(?:envvar=|\.get\(|_VARIABLE: Final = )"([A-Z]+_[A-Z_]+)"', source))
    assert {"DATA_BACKEND", "DATABASE_URL", "DATA_DIR", "FILES_ROOT", "ENCRYPTION_MASTER_PEPPER"} <= read
    example = (ROOT / ".env.example").read_text("utf-8")
    # What a terminal says of itself is no setting.
    assert set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)) == read - {"NO_COLOR"}
