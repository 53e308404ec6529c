"""The sample data without its messages: people, keys, profiles, characters, pictures, chats and their links.

Everything comes from one random generator, so the same seed gives the same world, its secrets included.
"""

from __future__ import annotations

import json
import random
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from octavo.crypto import Sealed, encrypt, hash_password
from octavo.demo.conversation import TEXTS, Cast, Person, Plan, new_id, stamp

Row = Mapping[str, object]
Item = TypeVar("Item")

_DAY: Final = 86_400_000
_START: Final = 1_709_251_200_000  # 2024-03-01
_IDLE_CHATS: Final = 1


class World:
    """All rows but the messages, by model; ``plans`` says which messages, ``payloads`` which files."""

    def __init__(self, rng: random.Random, messages: int, pepper: str) -> None:
        self.rng = rng
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)
        self.payloads: dict[str, bytes] = {}
        self.plans: list[Plan] = []
        self._pepper = pepper
        self._attachments: list[tuple[str, str, int]] = []
        self._attachment_limit = max(8, min(600, messages // 80))
        self._now = _START
        chats = max(8, messages // 180)
        self._step = 600 * _DAY // (8 * chats + 100)
        self._people()
        for person, user in zip(TEXTS.people, list(self.rows["User"]), strict=True):
            if person.share:
                self._belongings(str(user["id"]), person, chats)
        self._plan(messages)

    def attach(self, chat: str, message: str, when: int) -> None:
        """Take note of a message that a file could hang on; kept in number."""
        if len(self._attachments) < self._attachment_limit:
            self._attachments.append((chat, message, when))

    def _later(self) -> int:
        """A moment after the last one; now and then the same."""
        if self.rng.random() > 0.1:
            self._now += self.rng.randrange(1, self._step)
        return self._now

    def _put(self, model: str, **values: object) -> dict[str, object]:
        row: dict[str, object] = {"id": new_id(self.rng), **values}
        self.rows[model].append(row)
        return row

    def _dates(self, updated: bool = True) -> dict[str, object]:
        made = self._later()
        dates: dict[str, object] = {"createdAt": stamp(made)}
        if updated:
            dates["updatedAt"] = stamp(made + self.rng.choice((0, 1, self.rng.randrange(90 * _DAY))))
        return dates

    def _people(self) -> None:
        for person in TEXTS.people:
            rng, user = self.rng, new_id(self.rng)
            dates = self._dates()
            secret = self._seal("".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=32)), user)
            codes = [f"{rng.getrandbits(16):04X}-{rng.getrandbits(16):04X}" for _ in range(8)]
            backup = self._seal(json.dumps(codes), user)
            begun, confirmed = person.totp is not None, bool(person.totp)
            self.rows["User"].append(
                {
                    "id": user,
                    "email": person.email,
                    "name": person.name,
                    "image": "/uploads/me.png" if confirmed else None,
                    "emailVerified": stamp(self._now + 61_007) if person.share else None,
                    "passwordHash": hash_password(person.password, salt=rng.randbytes(16))
                    if person.password
                    else None,
                    "totpSecret": secret.ciphertext if begun else None,
                    "totpSecretIv": secret.iv if begun else None,
                    "totpSecretAuthTag": secret.tag if begun else None,
                    "totpEnabled": confirmed,
                    "totpVerifiedAt": stamp(self._now + 3_600_000) if confirmed else None,
                    "backupCodes": backup.ciphertext if confirmed else None,
                    "backupCodesIv": backup.iv if confirmed else None,
                    "backupCodesAuthTag": backup.tag if confirmed else None,
                    **dates,
                }
            )
            self.rows["VerificationToken"].append(
                {
                    "identifier": person.email,
                    "token": rng.randbytes(32).hex(),
                    "expires": stamp(self._now + _DAY),
                }
            )

    def _seal(self, plaintext: str, user: str) -> Sealed:
        return encrypt(plaintext, user, self._pepper, iv=self.rng.randbytes(16))

    def _belongings(self, user: str, person: Person, chats: int) -> None:
        self._sign_ins(user, person)
        profiles = self._profiles(user, person.share)
        image_profiles = self._image_profiles(user, person.share)
        tags = self._tags(user, person.share)
        images = self._images(user, max(3, min(40 * person.share, chats * person.share // 10)))
        cast = self._characters(
            user, max(2 + person.share, min(400, chats // 12) * person.share // 7), images
        )
        personas = self._personas(user, images, min(5, person.share + 1))
        for place, (character, _) in enumerate(cast):
            for rank, persona in enumerate(self._some(personas, 2)):
                self.rows["CharacterPersona"].append(
                    {
                        "characterId": character,
                        "personaId": persona["id"],
                        "isDefault": rank == 0 and place % 2 == 0,
                    }
                )
        count = max(2, chats * person.share // 10)
        spoken = [
            self._chat(user, person.name or "", self.rng.choice(cast), profiles, image_profiles, personas)
            for _ in range(count)
        ]
        self._label("CharacterTag", "characterId", [c for c, _ in cast], tags)
        self._label("PersonaTag", "personaId", [str(p["id"]) for p in personas], tags)
        self._label("ChatTag", "chatId", spoken, tags)
        self._label("ConnectionProfileTag", "connectionProfileId", [str(p["id"]) for p in profiles], tags)
        self._label("ImageProfileTag", "imageProfileId", image_profiles, tags)
        self._show(images, [c for c, _ in cast], [str(p["id"]) for p in personas], spoken)
        self._overrides(spoken, [c for c, _ in cast], images)

    def _sign_ins(self, user: str, person: Person) -> None:
        rng = self.rng
        style = (
            ("CIRCULAR", "ALWAYS")
            if person.share > 2
            else ("RECTANGULAR", rng.choice(("GROUP_ONLY", "NEVER")))
        )
        self._put(
            "ChatSettings",
            userId=user,
            avatarDisplayMode=style[1],
            avatarDisplayStyle=style[0],
            **self._dates(),
        )
        google = person.password is None
        self._put(
            "Account",
            userId=user,
            type="oidc" if google else "oauth",
            provider="google" if google else "github",
            providerAccountId=str(rng.randrange(10**20, 10**21) if google else rng.randrange(10**6, 10**8)),
            refresh_token=f"1//0{rng.randbytes(48).hex()}" if google else None,
            access_token=f"ya29.{rng.randbytes(60).hex()}" if google else f"gho_{rng.randbytes(18).hex()}",
            expires_at=rng.randrange(1_709_000_000, 2_147_483_647) if google else None,
            token_type="Bearer" if google else "bearer",
            scope="openid https://www.googleapis.com/auth/userinfo.email"
            if google
            else "read:user,user:email",
            id_token=f"eyJhbGciOiJSUzI1NiJ9.{rng.randbytes(90).hex()}.{rng.randbytes(64).hex()}"
            if google
            else None,
            session_state=rng.randbytes(20).hex() if person.totp is False else None,
        )
        if person.share > 2:
            blank = dict.fromkeys(
                (
                    "refresh_token",
                    "access_token",
                    "expires_at",
                    "token_type",
                    "scope",
                    "id_token",
                    "session_state",
                )
            )
            self._put(
                "Account",
                userId=user,
                type="email",
                provider="email",
                providerAccountId=person.email,
                **blank,
            )
        for _ in range(1 + person.share // 3):
            self._put(
                "Session",
                sessionToken=new_id(rng),
                userId=user,
                expires=stamp(self._later() + 30 * _DAY),
            )

    def _profiles(self, user: str, share: int) -> list[dict[str, object]]:
        rng, made = self.rng, []
        for rank, (provider, (begins, model, url)) in enumerate(list(TEXTS.keys.items())[: max(2, share)]):
            key = None
            if begins is not None:
                sealed = self._seal(begins + rng.randbytes(24).hex(), user)
                used = self._later()
                key = self._put(
                    "ApiKey",
                    userId=user,
                    provider=provider,
                    label=f'{provider.title()} "main" key' if rank else "Schlüssel №1",
                    keyEncrypted=sealed.ciphertext,
                    keyIv=sealed.iv,
                    keyAuthTag=sealed.tag,
                    isActive=provider != "GROK",
                    lastUsed=stamp(used + 77) if rank != 1 else None,
                    **self._dates(),
                )
            made.append(
                self._put(
                    "ConnectionProfile",
                    userId=user,
                    name=f"{provider.replace('_', ' ').title()} – {model}",
                    provider=provider,
                    apiKeyId=key["id"] if key else None,
                    baseUrl=url,
                    modelName=model,
                    parameters=TEXTS.parameters[rank % len(TEXTS.parameters)],
                    isDefault=rank == 0,
                    **self._dates(),
                )
            )
        return made

    def _image_profiles(self, user: str, share: int) -> list[str]:
        keys = [row for row in self.rows["ApiKey"] if row["userId"] == user]
        models = (
            ("OPENAI", "dall-e-3"),
            ("GROK", "grok-2-image"),
            ("GOOGLE_IMAGEN", "imagen-3.0-generate-002"),
        )
        return [
            str(
                self._put(
                    "ImageProfile",
                    userId=user,
                    name=f"{model} #{rank + 1}",
                    provider=provider,
                    apiKeyId=keys[0]["id"] if keys and rank != 1 else None,
                    baseUrl="https://api.x.ai/v1" if provider == "GROK" else None,
                    modelName=model,
                    parameters=TEXTS.image_parameters[rank],
                    isDefault=rank == 0,
                    **self._dates(),
                )["id"]
            )
            for rank, (provider, model) in enumerate(models[: max(1, share // 2)])
        ]

    def _tags(self, user: str, share: int) -> list[str]:
        return [
            str(self._put("Tag", userId=user, name=name, nameLower=name.lower(), **self._dates())["id"])
            for name in TEXTS.tags[: 5 + share]
        ]

    def _images(self, user: str, count: int) -> list[str]:
        made: list[str] = []
        for rank in range(count):
            rng, width, height = (
                self.rng,
                self.rng.choice((16, 32, 48, 64, 96)),
                self.rng.choice((16, 32, 64)),
            )
            generated = rank % 3 == 1
            filename = f"{'generated' if generated else 'Foto é'}_{rank:04}.png"
            path, body = f"uploads/images/{user}/{new_id(rng)}.png", png(rng, width, height)
            if rank % 9 == 5:  # the same file uploaded twice: two paths, one content
                body = self.payloads[str(self.rows["Image"][-1]["filepath"])]
            if rank % 9 == 7:  # two rows that point at one file
                path = str(self.rows["Image"][-1]["filepath"])
                body = self.payloads[path]
            width, height = int.from_bytes(body[16:20]), int.from_bytes(body[20:24])
            self.payloads[path] = body
            row = self._put(
                "Image",
                userId=user,
                filename=filename,
                filepath=path,
                url=f"https://example.org/cdn/{rank}?a=1&b=%2F" if rank % 5 == 2 else None,
                mimeType="image/png",
                size=len(body),
                width=width if rank % 7 != 3 else None,
                height=height if rank % 7 != 3 else None,
                source=("upload", "generated", "import")[rank % 3],
                generationPrompt=rng.choice(TEXTS.image_prompts) if generated else None,
                generationModel="dall-e-3" if generated else None,
                **self._dates(),
            )
            made.append(str(row["id"]))
        return made

    def _show(self, images: list[str], characters: list[str], personas: list[str], chats: list[str]) -> None:
        """Say what each image shows; some show several things, some nothing."""
        subjects = {
            "CHARACTER": characters,
            "PERSONA": personas,
            "CHAT": chats,
            "THEME": ["sunset", "雨", "noir & neon"],
        }
        for rank, image in enumerate(images):
            for kind in list(subjects)[: rank % 5] if rank else subjects:
                self._put(
                    "ImageTag",
                    imageId=image,
                    tagType=kind,
                    tagId=self.rng.choice(subjects[kind]),
                    **self._dates(updated=False),
                )

    def _overrides(self, chats: list[str], characters: list[str], images: list[str]) -> None:
        for chat in chats[::3]:
            for character in self._some(characters, 2):
                self._put(
                    "ChatAvatarOverride",
                    chatId=chat,
                    characterId=character,
                    imageId=self.rng.choice(images),
                    **self._dates(updated=False),
                )

    def files(self) -> Iterator[Row]:
        """The rows of the files in chats; their payloads are added as they are made."""
        rng = self.rng
        if not self._attachments:
            self._attachments.append((str(self.rows["Chat"][0]["id"]), "", self._now))
        for rank, (chat, message, when) in enumerate(self._attachments):
            text, width, height = rank % 4 == 3, rng.choice((24, 40, 80)), rng.choice((24, 40))
            body = (
                f"Notes {rank}\r\n\tGrüße, 你好\n".encode() * rng.randrange(1, 30)
                if text
                else png(rng, width, height)
            )
            path = f"uploads/chat-files/{chat}/{new_id(rng)}.{'txt' if text else 'png'}"
            self.payloads[path] = body
            yield {
                "id": new_id(rng),
                "chatId": chat,
                "messageId": message if message and rank % 6 else None,
                "filename": "notes (final) v2.txt" if text else f"Screenshot {rank}\u202fPM.png",
                "filepath": path,
                "mimeType": "text/plain; charset=utf-8" if text else "image/png",
                "size": len(body),
                "width": None if text else width,
                "height": None if text else height,
                "sentToProvider": rank % 3 != 0,
                "providerError": 'HTTP 413: {"error": "too large"}\n' if rank % 11 == 9 else None,
                "createdAt": stamp(when + rng.randrange(2)),
            }

    def _characters(self, user: str, count: int, images: list[str]) -> list[tuple[str, Cast]]:
        made = []
        before = len(self.rows["Character"])
        for rank in range(count):
            cast = TEXTS.cast[(before + rank) % len(TEXTS.cast)]
            generation = rank // len(TEXTS.cast)
            name = cast.name if not generation else f"{cast.name} ({generation + 1})"
            row = self._put(
                "Character",
                userId=user,
                name=name,
                title=cast.title or None,
                description=cast.description,
                personality=cast.personality,
                scenario=cast.scenario,
                firstMessage=cast.greeting,
                exampleDialogues=cast.examples or None,
                systemPrompt=TEXTS.system_notes[0] if rank % 3 == 0 else None,
                avatarUrl="https://example.org/a.webp" if rank % 4 == 1 else None,
                defaultImageId=self.rng.choice(images) if rank % 3 != 2 else None,
                sillyTavernData=_card(self.rng, cast, name) if rank % 5 != 4 else None,
                isFavorite=rank % 4 == 0,
                **self._dates(),
            )
            made.append((str(row["id"]), cast))
        return made

    def _personas(self, user: str, images: list[str], count: int) -> list[dict[str, object]]:
        return [
            self._put(
                "Persona",
                userId=user,
                name=persona.name,
                title=persona.title,
                description=persona.description,
                personalityTraits=persona.traits,
                avatarUrl=None if rank else "/uploads/me.png",
                defaultImageId=images[rank % len(images)] if rank % 2 == 0 else None,
                sillyTavernData=json.dumps(
                    {"persona": persona.name, "position": rank, "depth": 2}, ensure_ascii=False
                )
                if rank % 2
                else None,
                **self._dates(),
            )
            for rank, persona in enumerate(TEXTS.personas[:count])
        ]

    def _chat(
        self,
        user: str,
        you: str,
        character: tuple[str, Cast],
        profiles: list[dict[str, object]],
        image_profiles: list[str],
        personas: list[dict[str, object]],
    ) -> str:
        rng, (character_id, cast) = self.rng, character
        persona = rng.choice((None, *personas))
        profile = rng.choice(profiles)
        you = str(persona["name"]) if persona else you
        made, span = self._later(), rng.randrange(_DAY // 24, 120 * _DAY)
        title = rng.choice(TEXTS.chat_titles).replace("{me}", cast.name).replace("{you}", you)
        row = self._put(
            "Chat",
            userId=user,
            characterId=character_id,
            personaId=persona["id"] if persona else None,
            connectionProfileId=profile["id"],
            imageProfileId=rng.choice((None, *image_profiles)),
            title=title,
            contextSummary=" ".join(TEXTS.speech[cast.language].sentences[:4])
            if rng.random() < 0.3
            else None,
            sillyTavernMetadata=rng.choice(TEXTS.metadata),
            createdAt=stamp(made),
            updatedAt=stamp(made + span),
        )
        self.plans.append(
            Plan(
                chat_id=str(row["id"]),
                size=0,
                start=made,
                span=span,
                language=cast.language,
                you=you,
                me=cast.name,
                greeting=cast.greeting,
                provider=str(profile["provider"]),
                model=str(profile["modelName"]),
            )
        )
        return str(row["id"])

    def _plan(self, messages: int) -> None:
        """Share the messages out: a few very long chats, many short ones, and at least one without any."""
        talking = len(self.plans) - _IDLE_CHATS
        weights = [self.rng.lognormvariate(0, 1.2) for _ in range(talking)]
        sizes = [int(messages * weight / sum(weights)) for weight in weights]
        sizes[weights.index(max(weights))] += messages - sum(sizes)
        sizes += [0] * _IDLE_CHATS
        self.plans = [replace(plan, size=size) for plan, size in zip(self.plans, sizes, strict=True)]

    def _label(self, model: str, owner: str, owners: list[str], tags: list[str]) -> None:
        for rank, one in enumerate(owners):
            for tag in self._some(tags, (2, 0, 3, 1)[rank % 4]):
                self._put(model, **{owner: one}, tagId=tag, **self._dates(updated=False))

    def _some(self, choices: Sequence[Item], count: int) -> list[Item]:
        return self.rng.sample(choices, min(count, len(choices)))


_LITERAL = re.compile(r'"@([^@"]+)@"')


def _card(rng: random.Random, cast: Cast, name: str) -> str:
    """A character card as its editors export it (chara_card_v2), with numbers as they write them."""
    card = {
        "spec": "chara_card_v2",
        "spec_version": "2.0",
        "data": {
            "name": name,
            "description": cast.description,
            "first_mes": cast.greeting,
            "alternate_greetings": [cast.greeting[:40], "…"],
            "tags": ["oc", cast.language, ""],
            "creator_notes": 'Import with "keep ids".\r\n\t— thanks!',
            "character_book": {
                "name": None,
                "entries": [
                    {
                        "keys": [cast.name.split()[0], "\\bkey\\b"],
                        "content": cast.scenario,
                        "enabled": entry % 2 == 0,
                        "insertion_order": entry * 100,
                        "position": "before_char",
                        "extensions": {"probability": "@100.0@", "weight": "@0.50@"},
                    }
                    for entry in range(rng.randrange(4))
                ],
            },
            "extensions": {
                "talkativeness": "@0.50@",
                "fav": False,
                "world_size": "@1e400@",
                "chub": {"id": rng.getrandbits(70), "rating": "@-0.0@", "expires": None},
                "depth_prompt": {"depth": 4, "prompt": "", "role": "system"},
            },
        },
    }
    return _LITERAL.sub(r"\1", json.dumps(card, ensure_ascii=False))


def png(rng: random.Random, width: int, height: int) -> bytes:
    """A valid truecolour PNG: a tilted gradient of two colours with a little noise.

    The format is that of the PNG specification (third edition): the signature, then IHDR, IDAT and IEND, each
    with its length and CRC-32; every row starts with filter type 0.
    """
    start, end = rng.randbytes(3), rng.randbytes(3)
    reach = width + height
    ramp = b"".join(
        bytes((a * (reach - step) + b * step) // reach for a, b in zip(start, end, strict=True))
        for step in range(reach)
    )
    rows = bytearray()
    for y in range(height):
        row = bytearray(ramp[y * 3 : (y + width) * 3])
        for at in range(rng.randrange(7), len(row), 7):
            row[at] ^= rng.getrandbits(4)
        rows += b"\0" + row
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, body)
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
