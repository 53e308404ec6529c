"""A small chat application, from signing up to saying goodbye, on whichever backend ``DATA_BACKEND`` names.

It is to be read from top to bottom: each function shows one part of the client.  All that it makes belongs to
one user, and is gone when it ends.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import octavo
from octavo import app
from octavo.crypto import hash_password
from octavo.errors import ForeignKeyViolation, RecordNotFound, UniqueViolation

if TYPE_CHECKING:
    from octavo.typed import Character, Chat, Client, User

EMAIL = "ada.example@octavo.invalid"


def sign_up(db: Client) -> User:
    """A user.  What belongs to it is made in the same call, by a nested write: all of it or nothing."""
    user = db.user.create(
        data={
            "email": EMAIL,
            "name": "Ada",
            "passwordHash": hash_password("correct horse"),
            "chatSettings": {"create": {"avatarDisplayMode": "GROUP_ONLY"}},
            "connectionProfiles": {
                "create": [
                    {"name": "At home", "provider": "OLLAMA", "modelName": "llama3.1"},
                    {"name": "In the cloud", "provider": "OPENAI", "modelName": "gpt-4o"},
                ]
            },
        }
    )
    # What a constraint refuses is an error with a name, the same on each backend.
    try:
        db.user.create(data={"email": EMAIL})
    except UniqueViolation as refused:
        print(f"signed up once only: {', '.join(refused.fields)} is taken")
    print("signed in:", app.check_password(app.AuthAdapter(db).get_user_by_email(EMAIL), "correct horse"))
    return user


def make_characters(db: Client, user: User) -> Character:
    """Characters and a persona, linked to each other and tagged."""
    persona = db.persona.create(
        data={"userId": user.id, "name": "The Traveller", "description": "Always on the road."}
    )
    for name, title in (("Mira", "Keeper of the lighthouse"), ("Tomas", None)):
        character = db.character.create(
            data={
                "userId": user.id,
                "name": name,
                "title": title,
                "description": f"{name} lives by the sea.",
                "personality": "Calm, and curious about strangers.",
                "scenario": "A stormy night at the coast.",
                "firstMessage": "Come in, before the wind takes you.",
                "personas": {"create": {"personaId": persona.id, "isDefault": True}},
            }
        )
        app.tag(db, "Character", character.id, "Sea")
    mira = db.character.find_first_or_raise(where={"userId": user.id, "name": "Mira"})
    app.tag(db, "Character", mira.id, "Slow Burn")
    print("tags of Mira:", ", ".join(app.tags_of(db, "Character", mira.id)))
    app.untag(db, "Character", mira.id, "slow burn")
    return db.character.update(where={"id": mira.id}, data={"isFavorite": True})


def begin_chat(db: Client, user: User, character: Character) -> Chat:
    """A chat with its first message, and the profile that it talks through as the user's default."""
    profile = db.connection_profile.find_first_or_raise(where={"userId": user.id, "provider": "OLLAMA"})
    app.set_default(db, "ConnectionProfile", profile.id)
    # In a transaction, all happens or nothing: an error anywhere takes everything back.
    with db.tx() as tx:
        chat = tx.chat.create(
            data={
                "title": f"A night with {character.name}",
                "user": {"connect": {"id": user.id}},
                "character": {"connect": {"id": character.id}},
                "connectionProfile": {"connect": {"id": profile.id}},
            }
        )
        app.append_message(tx, chat.id, {"role": "ASSISTANT", "content": character.firstMessage})
    return chat


def talk(db: Client, chat: Chat) -> None:
    """Questions and answers; of one answer, three alternatives."""
    for question in ("Have you seen the ferry?", "Then I shall stay."):
        app.append_message(db, chat.id, {"role": "USER", "content": question})
        reply = app.append_message(db, chat.id, {"role": "ASSISTANT", "content": answer(question)})
    for again in ("Stay as long as you like.", "There is soup."):
        app.append_swipe(db, reply.id, {"role": "ASSISTANT", "content": again})
    for turn in app.conversation(db, chat.id):
        others = f"  ({len(turn.swipes)} to choose from)" if len(turn.swipes) > 1 else ""
        print(f"  {turn.message.role.lower()}: {turn.message.content}{others}")


def answer(question: str) -> str:
    """Where an application would ask a language model."""
    return "Not since Tuesday." if "ferry" in question else "As you wish."


def search(db: Client, user: User) -> None:
    """Filters over relations, what is included, how many there are."""
    found = db.message.find_many(
        where={
            "chat": {"userId": user.id},
            "content": {"contains": "FERRY", "mode": "insensitive"},
        },
        include={"chat": {"include": {"character": True}}},
    )
    for message in found:
        print(f"found in {message.chat.title!r}, with {message.chat.character.name}: {message.content}")
    for character in db.character.find_many(
        where={"userId": user.id, "tags": {"some": {"tag": {"nameLower": "sea"}}}},
        order_by=[{"isFavorite": "desc"}, {"title": {"sort": "asc", "nulls": "last"}}],
        include={"_count": {"select": {"chats": True, "tags": True}}},
    ):
        print(f"{character.name}: {character._count.chats} chats, {character._count.tags} tags")
    last = db.message.find_many(
        where={"chat": {"userId": user.id}},
        order_by={"createdAt": "desc"},
        take=2,
        select={"content": True},
    )
    print("last said:", " / ".join(message.content for message in last))


def say_goodbye(db: Client, user: User, chat: Chat) -> None:
    """What is deleted takes with it what belongs to it, and what is still needed cannot go."""
    try:
        db.connection_profile.delete(where={"id": chat.connectionProfileId})
    except ForeignKeyViolation:
        print("a profile that a chat talks through stays")
    db.chat.delete(where={"id": chat.id})
    print("messages left:", db.message.count(where={"chatId": chat.id}))
    db.user.delete(where={"id": user.id})
    try:
        db.character.find_first_or_raise(where={"userId": user.id})
    except RecordNotFound:
        print("nobody is left")


def main() -> None:
    """The whole story."""
    with octavo.connect() as db:
        # What an earlier run that was broken off has left.
        db.chat.delete_many(where={"user": {"email": EMAIL}})
        db.user.delete_many(where={"email": EMAIL})
        user = sign_up(db)
        character = make_characters(db, user)
        chat = begin_chat(db, user, character)
        talk(db, chat)
        search(db, user)
        say_goodbye(db, user, chat)


if __name__ == "__main__":
    # The program that reads the output may end first, as head does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main()
