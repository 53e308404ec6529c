"""What Auth.js asks of a database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from octavo.app import AuthAdapter
from octavo.errors import ForeignKeyViolation, RecordNotFound, UniqueViolation
from octavo.typed import Client

SOON = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.fixture
def auth(db: Client) -> AuthAdapter:
    return AuthAdapter(db)


def test_users(auth: AuthAdapter) -> None:
    made = auth.create_user({"email": "new@example.org", "emailVerified": SOON})
    assert (made.name, made.emailVerified) == (None, SOON)
    assert auth.get_user(made.id) == made
    assert auth.get_user_by_email("new@example.org") == made
    assert auth.get_user("nobody") is None
    assert auth.get_user_by_email("nobody@example.org") is None
    with pytest.raises(UniqueViolation):
        auth.create_user({"email": "new@example.org"})
    assert auth.update_user(made.id, {"name": "New"}).name == "New"
    with pytest.raises(RecordNotFound):
        auth.update_user("nobody", {"name": "New"})


def test_a_user_goes_with_everything_of_theirs(db: Client, auth: AuthAdapter) -> None:
    auth.create_session({"sessionToken": "s", "userId": "bob", "expires": SOON})
    gone = auth.delete_user("bob")
    assert gone is not None
    assert gone.email == "bob@example.org"
    assert auth.delete_user("bob") is None
    assert db.session.count() == 0


def test_accounts(auth: AuthAdapter) -> None:
    google = {"type": "oauth", "provider": "google"}
    linked = auth.link_account(
        {"userId": "ada", "type": "oauth", "provider": "google", "providerAccountId": "1", "scope": "openid"}
    )
    assert linked.scope == "openid"
    found = auth.get_user_by_account(google["provider"], "1")
    assert found is not None
    assert found.id == "ada"
    assert auth.get_user_by_account("google", "2") is None
    assert auth.get_user_by_account("github", "1") is None
    with pytest.raises(UniqueViolation):
        auth.link_account({"userId": "bob", "type": "oauth", "provider": "google", "providerAccountId": "1"})
    with pytest.raises(ForeignKeyViolation):
        auth.link_account(
            {"userId": "nobody", "type": "oauth", "provider": "google", "providerAccountId": "2"}
        )
    assert auth.unlink_account("google", "1") == linked
    assert auth.unlink_account("google", "1") is None
    assert auth.get_user_by_account("google", "1") is None


def test_sessions(db: Client, auth: AuthAdapter) -> None:
    made = auth.create_session({"sessionToken": "s", "userId": "ada", "expires": SOON})
    assert auth.get_session_and_user("s") == (made, auth.get_user("ada"))
    assert auth.get_session_and_user("t") is None
    later = SOON + timedelta(days=1)
    changed = auth.update_session("s", {"expires": later})
    assert changed is not None
    assert (changed.id, changed.expires) == (made.id, later)
    assert auth.update_session("t", {"expires": later}) is None
    assert auth.delete_session("s") == changed
    assert auth.delete_session("s") is None
    assert "sessionToken='s'" not in repr(made)
    assert db.session.count() == 0


def test_a_session_that_has_run_out_is_given_all_the_same(auth: AuthAdapter) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    auth.create_session({"sessionToken": "s", "userId": "ada", "expires": past})
    found = auth.get_session_and_user("s")
    assert found is not None
    assert found[0].expires == past


def test_a_token_is_used_once(auth: AuthAdapter) -> None:
    made = auth.create_verification_token({"identifier": "a@x", "token": "t", "expires": SOON})
    assert auth.use_verification_token("b@x", "t") is None
    assert auth.use_verification_token("a@x", "t") == made
    assert auth.use_verification_token("a@x", "t") is None


def test_of_several_who_use_a_token_at_once_one_gets_it(auth: AuthAdapter) -> None:
    auth.create_verification_token({"identifier": "a@x", "token": "t", "expires": SOON})
    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(lambda _: auth.use_verification_token("a@x", "t"), range(8)))
    assert sum(token is not None for token in used) == 1


def test_within_a_transaction_nothing_that_is_missing_ends_it(db: Client) -> None:
    with db.tx() as tx:
        auth = AuthAdapter(tx)
        assert auth.delete_session("x") is None
        assert auth.unlink_account("x", "y") is None
        assert auth.use_verification_token("x", "y") is None
        assert auth.delete_user("x") is None
        auth.create_session({"sessionToken": "s", "userId": "ada", "expires": SOON})
    assert db.session.count() == 1
