"""Which fields are taken for secrets: by a line of the schema, by their names, by what they refer to."""

from __future__ import annotations

import pytest

from octavo.schema.parser import parse_schema
from octavo.schema.secret_fields import is_named_as_secret
from octavo.schema.secrets import named_secrets, told
from octavo.schema.texts import frozen_schema

SECRETS = """
    User.password User.passwordHash User.password_hash User.hashedPassword User.passwordSalt Password.hash
    User.token User.refresh_token Session.sessionToken User.passwordResetToken User.tokenHash User.resetTokens
    App.secret App.clientSecret App.apiKey App.api_key App.APIKey App.privateKey App.S3SecretKey App.keyHash
    App.hashedKey ApiKey.key Secret.value AccessToken.value User.backupCodes User.otp User.pinHash
    User.notesEncrypted User.encryptedNotes User.jwt
"""
OTHERS = """
    Account.token_type App.apiKeyId App.publicKey Commit.contentHash Commit.commitHash Setting.key
    Setting.value Key.credentialId Key.credentialPublicKey Session.tokenId User.passwordHint User.inviteCode
    User.name
"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_a_text_with_the_name_of_a_secret_is_one(name: str) -> None:
    assert is_named_as_secret(*name.split("."))


@pytest.mark.parametrize("name", OTHERS.split())
def test_a_text_with_another_name_is_none(name: str) -> None:
    assert not is_named_as_secret(*name.split("."))


def test_only_texts_are_secrets_by_their_names_and_a_line_overrules_the_name() -> None:
    found = parse_schema("""
        model User {
          id        Int      @id
          password  String?
          tokens    String[]
          /// @public
          hash      String
          /// @secret
          note      String
          /// @secret bcrypt
          secret    String
          token     Int
          otp       Json
        }
    """)
    assert named_secrets(found) == ["User.password", "User.tokens"]
    schemes = {f.name: f.secret.scheme for f in found.model("User").scalars if f.secret}
    assert schemes == {"password": "token", "tokens": "token", "note": "token", "secret": "bcrypt"}
    assert told(found).startswith(
        "taken for secrets by their names, and never shown: User.password, User.tok"
    )


def test_a_key_that_refers_to_a_secret_is_one() -> None:
    found = parse_schema("""
        model Session {
          token  String  @id
          visits Visit[]
          tags   Tag[]
        }
        model Visit {
          id      Int     @id
          of      String  @unique
          /// @public
          shown   String
          session Session @relation(fields: [of], references: [token])
          pages   Page[]
        }
        model Page {
          id    Int    @id
          visit String
          on    Visit  @relation(fields: [visit], references: [of])
        }
        model Tag {
          id       Int       @id
          sessions Session[]
        }
    """)
    assert named_secrets(found) == ["Session.token", "Visit.of", "Page.visit"]
    (join,) = found.join_tables
    assert [f.name for f in join.scalars if f.secret] == ["A"]


def test_schema_0_7_has_the_secrets_that_it_declares_and_no_more() -> None:
    assert named_secrets(frozen_schema()) == []
    assert told(frozen_schema()) == ""
