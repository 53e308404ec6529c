"""How a client comes to be."""

from __future__ import annotations

import subprocess
import sys

import pytest

import octavo
from octavo.client import snake_name
from octavo.errors import UsageError


def test_importing_octavo_loads_next_to_nothing() -> None:
    script = "import sys, octavo; print(sorted({'msgspec', 'psycopg', 'lark', 'rich'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_what_octavo_exports_is_there() -> None:
    assert all(getattr(octavo, name) is not None for name in octavo.__all__)
    with pytest.raises(AttributeError):
        octavo.nothing  # noqa: B018
    assert repr(octavo.DbNull) == "octavo.DbNull"


def test_its_modules_need_not_be_imported() -> None:
    script = "import octavo; print(octavo.backend.DataBackend, octavo.app.tag, octavo.errors.OctavoError)"
    subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=True)


def test_an_unknown_backend_is_an_error_that_lists_the_three() -> None:
    with pytest.raises(UsageError, match="prisma, json, dual"):
        octavo.connect("mysql")


@pytest.mark.parametrize(
    ("model", "accessor"),
    [
        ("User", "user"),
        ("ConnectionProfileTag", "connection_profile_tag"),
        ("ApiKey", "api_key"),
        ("APIKey", "api_key"),
        ("Oauth2Token", "oauth2_token"),
        ("already_snake", "already_snake"),
    ],
)
def test_accessors_are_in_snake_case(model: str, accessor: str) -> None:
    assert snake_name(model) == accessor
