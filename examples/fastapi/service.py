"""A small chat service with FastAPI and asyncio, on whichever backend ``DATA_BACKEND`` names.

    uvicorn service:app --app-dir examples/fastapi

The schema says what a request may bring and what a response looks like: no model is written a second time.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

import octavo
from octavo import aio
from octavo.app import append_message
from octavo.errors import ConstraintError, OctavoError, RecordNotFound, UniqueViolation, ValidationError
from octavo.typed import (
    AsyncClient,
    Character,
    CharacterCreate,
    Chat,
    ChatCreate,
    ChatUpdate,
    Message,
    MessageCreate,
    User,
    UserCreate,
)


@asynccontextmanager
async def lifespan(service: FastAPI) -> AsyncIterator[None]:
    async with octavo.connect_async() as db:
        service.state.db = db
        yield


app = FastAPI(title="Chats", lifespan=lifespan)


def client(request: Request) -> AsyncClient:
    db: AsyncClient = request.app.state.db
    return db


Db = Annotated[AsyncClient, Depends(client)]


async def signed_in(db: Db, given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> User:
    session = await db.session.find_unique(where={"sessionToken": given.credentials}, include={"user": True})
    if session is None or session.expires < datetime.now(UTC):
        raise HTTPException(401, "sign in first")
    return session.user


Me = Annotated[User, Depends(signed_in)]

STATUS: dict[type[OctavoError], int] = {
    ValidationError: 422,
    RecordNotFound: 404,
    UniqueViolation: 409,
    ConstraintError: 422,
}


@app.exception_handler(OctavoError)
async def refused(_: Request, error: OctavoError) -> JSONResponse:
    """What the schema refuses is the caller's mistake; anything else is ours."""
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 503)
    return JSONResponse({"detail": error.message}, status)


@app.post("/users", status_code=201)
async def sign_up(db: Db, body: UserCreate) -> dict[str, Any]:
    async with db.tx() as tx:
        user = await tx.user.create(data={"email": body["email"], "name": body.get("name")})
        await tx.connection_profile.create(
            data={"userId": user.id, "name": "default", "provider": "OLLAMA", "modelName": "any"}
        )
        session = await tx.session.create(
            data={
                "userId": user.id,
                "sessionToken": secrets.token_urlsafe(),
                "expires": datetime.now(UTC) + timedelta(days=30),
            },
            # A secret is in no response, unless it is asked for by its name.
            select={"sessionToken": True, "expires": True},
        )
    return {"user": user, "session": session}


@app.get("/me")
async def me(user: Me) -> User:
    return user


@app.post("/characters", status_code=201)
async def new_character(db: Db, user: Me, body: CharacterCreate) -> Character:
    return await db.character.create(data={**body, "userId": user.id})


@app.get("/chats", response_model=list[Chat])
async def chats(
    db: Db, user: Me, take: Annotated[int, Query(ge=1, le=100)] = 20, skip: int = 0
) -> list[Chat]:
    return await db.chat.find_many(
        where={"userId": user.id},
        include={"character": True, "_count": {"select": {"messages": True}}},
        order_by={"updatedAt": "desc"},
        take=take,
        skip=skip,
    )


@app.post("/chats", status_code=201)
async def new_chat(db: Db, user: Me, body: ChatCreate) -> Chat:
    character = await db.character.find_unique_or_raise(
        where={"id": body.get("characterId", ""), "userId": user.id}
    )
    profile = await db.connection_profile.find_first_or_raise(where={"userId": user.id})
    return await db.chat.create(
        data={
            **body,
            "userId": user.id,
            "characterId": character.id,
            "connectionProfileId": profile.id,
        }
    )


@app.get("/chats/{chat}")
async def one_chat(db: Db, user: Me, chat: str) -> Chat:
    return await db.chat.find_unique_or_raise(
        where={"id": chat, "userId": user.id},
        include={"character": True, "messages": {"order_by": {"createdAt": "asc"}}},
    )


@app.patch("/chats/{chat}")
async def change_chat(db: Db, user: Me, chat: str, body: ChatUpdate) -> Chat:
    """Title, summary and the like; whose it is and what it is called by stay."""
    data: ChatUpdate = {**body, "id": chat, "userId": user.id}
    return await db.chat.update(where={"id": chat, "userId": user.id}, data=data)


@app.delete("/chats/{chat}", status_code=204)
async def delete_chat(db: Db, user: Me, chat: str) -> None:
    await db.chat.delete(where={"id": chat, "userId": user.id})


@app.post("/chats/{chat}/messages", status_code=201)
async def say(db: Db, user: Me, chat: str, body: MessageCreate) -> Message:
    found = await db.chat.find_unique_or_raise(where={"id": chat, "userId": user.id})
    data: MessageCreate = {"chatId": found.id, "role": body["role"], "content": body["content"]}
    return await aio.call(db, append_message, found.id, data)


@app.get("/search")
async def search(
    db: Db, user: Me, words: Annotated[str, Query(min_length=1, max_length=200)]
) -> list[dict[str, Any]]:
    """The messages that have every word, best first; in a snippet, the words stand between ``**``."""
    hits = await db.message.search(
        words,
        where={"chat": {"userId": user.id}},
        include={"chat": {"select": {"title": True}}},
        take=20,
    )
    return [{"message": hit.record, "snippet": hit.snippet} for hit in hits]
