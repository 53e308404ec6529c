"""What Auth.js asks of a database, in Python's spelling and with its semantics.

A missing record is None.  As with Auth.js, the caller checks ``expires``: a session or token that has
run out is given like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octavo.typed import Models

if TYPE_CHECKING:
    from octavo.typed import (
        Account,
        AccountCreate,
        Session,
        SessionChanges,
        SessionCreate,
        User,
        UserCreate,
        UserUpdate,
        VerificationToken,
        VerificationTokenCreate,
        VerificationTokenWhere,
    )


class AuthAdapter:
    """The methods of Auth.js's ``Adapter``; each is one transaction, or part of the one it was given."""

    def __init__(self, db: Models) -> None:
        self._db = db

    # Users

    def create_user(self, data: UserCreate) -> User:
        """Raises UniqueViolation if the e-mail address is taken."""
        return self._db.user.create(data=data)

    def get_user(self, user_id: str) -> User | None:
        return self._db.user.find_unique(where={"id": user_id})

    def get_user_by_email(self, email: str) -> User | None:
        return self._db.user.find_unique(where={"email": email})

    def get_user_by_account(self, provider: str, provider_account_id: str) -> User | None:
        """Whose account with another service this is."""
        return self._db.user.find_first(
            where={"accounts": {"some": {"provider": provider, "providerAccountId": provider_account_id}}}
        )

    def update_user(self, user_id: str, data: UserUpdate) -> User:
        """Raises RecordNotFound, and UniqueViolation if the e-mail address is taken."""
        return self._db.user.update(where={"id": user_id}, data=data)

    def delete_user(self, user_id: str) -> User | None:
        """Delete a user with everything of theirs, and give the user as it was."""
        found = self.get_user(user_id)
        return found if self._db.user.delete_many(where={"id": user_id}) else None

    # Accounts with other services

    def link_account(self, data: AccountCreate) -> Account:
        """Raises UniqueViolation if it is linked already, ForeignKeyViolation if the user is not there."""
        return self._db.account.create(data=data)

    def unlink_account(self, provider: str, provider_account_id: str) -> Account | None:
        found = self._db.account.find_unique(
            where={
                "provider_providerAccountId": {
                    "provider": provider,
                    "providerAccountId": provider_account_id,
                }
            }
        )
        if found is None:
            return None
        return found if self._db.account.delete_many(where={"id": found.id}) else None

    # Sessions

    def create_session(self, data: SessionCreate) -> Session:
        """Raises UniqueViolation if the token is taken, ForeignKeyViolation if the user is not there."""
        return self._db.session.create(data=data)

    def get_session_and_user(self, session_token: str) -> tuple[Session, User] | None:
        session = self._db.session.find_unique(where={"sessionToken": session_token})
        user = None if session is None else self.get_user(session.userId)
        return None if session is None or user is None else (session, user)

    def update_session(self, session_token: str, data: SessionChanges) -> Session | None:
        changed = self._db.session.update_many_and_return(where={"sessionToken": session_token}, data=data)
        return changed[0] if changed else None

    def delete_session(self, session_token: str) -> Session | None:
        found = self._db.session.find_unique(where={"sessionToken": session_token})
        return found if self._db.session.delete_many(where={"sessionToken": session_token}) else None

    # Tokens sent by mail

    def create_verification_token(self, data: VerificationTokenCreate) -> VerificationToken:
        return self._db.verification_token.create(data=data)

    def use_verification_token(self, identifier: str, token: str) -> VerificationToken | None:
        """Give a token once: of two that use it at the same time, one gets it."""
        this: VerificationTokenWhere = {"identifier": identifier, "token": token}
        found = self._db.verification_token.find_first(where=this)
        return found if self._db.verification_token.delete_many(where=this) else None
