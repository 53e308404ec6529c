"""What is said in the sample data, in several languages, and its messages in the order of a real database.

People and what they say come from ``texts.json``.  ``{you}`` stands for the user's name in a chat, ``{me}``
for the character's.  Quotes, backslashes, tabs, emoji and right-to-left text are there on purpose: real
messages are full of them.  Many chats are under way at once, so their messages lie mixed in the table.  Only
the chats under way are in memory, whatever the number of messages.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct


class Cast(Struct, frozen=True):
    """A character as its author wrote it, and the language it speaks (a key of :attr:`Texts.speech`)."""

    name: str
    title: str
    language: str
    description: str
    personality: str
    scenario: str
    greeting: str
    examples: str


class Speech(Struct, frozen=True):
    """What is said in one language: short answers, sentences, and gestures between asterisks."""

    short: tuple[str, ...]
    sentences: tuple[str, ...]
    gestures: tuple[str, ...]


class Person(Struct, frozen=True):
    """A user of the application."""

    email: str
    name: str | None
    password: str | None
    totp: bool | None
    """True: in use; False: begun, not confirmed; None: no secret"""
    share: int
    """how much of the world is theirs"""


class Persona(Struct, frozen=True, array_like=True):
    """Who a user can be in a chat."""

    name: str
    title: str | None
    description: str
    traits: str | None


class Texts(Struct, frozen=True, rename="camel"):
    """All of it."""

    cast: tuple[Cast, ...]
    speech: dict[str, Speech]
    with_markup: tuple[str, ...]
    system_notes: tuple[str, ...]
    chat_titles: tuple[str, ...]
    tags: tuple[str, ...]
    image_prompts: tuple[str, ...]
    personas: tuple[Persona, ...]
    people: tuple[Person, ...]
    keys: dict[str, tuple[str | None, str, str | None]]
    """by provider: how its keys begin (None: it takes none), a model, a base URL"""
    parameters: tuple[str, ...]
    image_parameters: tuple[str, ...]
    metadata: tuple[str | None, ...]


TEXTS: Final = msgspec.json.decode(Path(__file__).with_name("texts.json").read_bytes(), type=Texts)


_UNDER_WAY: Final = 16
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

MESSAGE_FIELDS: Final = (
    "id",
    "chatId",
    "role",
    "content",
    "rawResponse",
    "tokenCount",
    "swipeGroupId",
    "swipeIndex",
    "createdAt",
)
"""The fields of a message row, in the order of :func:`conversation`'s tuples."""

MessageRow = tuple[str, str, str, str, str | None, int | None, str | None, int | None, str]


def new_id(rng: random.Random) -> str:
    """A version 4 UUID from ``rng``."""
    bits = rng.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def stamp(milliseconds: int) -> str:
    """Milliseconds since 1970 as PostgreSQL reads a timestamp, in UTC."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.replace(tzinfo=None).isoformat(" ", "milliseconds")


@dataclass(frozen=True, slots=True)
class Plan:
    """A chat that is to be filled: who talks, when (milliseconds since 1970), and how many messages."""

    chat_id: str
    size: int
    start: int
    span: int
    language: str
    you: str
    me: str
    greeting: str
    provider: str
    model: str


def conversation(
    rng: random.Random, plans: Sequence[Plan], attach: Callable[[str, str, int], None]
) -> Iterator[MessageRow]:
    """Every message of the plans.  ``attach`` hears chat, message and time of what could carry a file."""
    waiting = iter(plans)
    under_way: list[_Talk] = []
    while True:
        while len(under_way) < _UNDER_WAY and (plan := next(waiting, None)) is not None:
            if plan.size:
                under_way.append(_Talk(rng, plan, attach))
        if not under_way:
            return
        at = rng.randrange(len(under_way))
        yield from under_way[at].turn()
        if not under_way[at].left:
            under_way[at] = under_way[-1]
            under_way.pop()


class _Talk:
    """One chat under way."""

    def __init__(self, rng: random.Random, plan: Plan, attach: Callable[[str, str, int], None]) -> None:
        self._rng, self._plan, self._attach = rng, plan, attach
        self.left = plan.size
        speech = TEXTS.speech[plan.language]
        self._short = speech.short
        self._sentences = [self._named(text) for text in speech.sentences]
        self._gestures = [self._named(text) for text in speech.gestures]
        self._now = plan.start
        self._raw = _RESPONSES.get(plan.provider, _openai)

    def _named(self, text: str) -> str:
        plan = self._plan
        return text.replace("{you}", plan.you).replace("{me}", plan.me)

    def _tick(self) -> str:
        """The next message's time: later than the last, now and then the same."""
        plan, rng = self._plan, self._rng
        if rng.random() > 0.02:
            slot = plan.span // plan.size
            place = plan.start + (plan.size - self.left) * slot
            self._now = max(self._now, place + int(rng.random() * slot))
        return stamp(self._now)

    def turn(self) -> Iterator[MessageRow]:
        """The next few messages: a greeting, or a question and what answers it."""
        rng = self._rng
        if self.left == self._plan.size:
            yield from self._opening()
            return
        if rng.random() < 0.01:
            yield self._row("SYSTEM", self._named(rng.choice(TEXTS.system_notes)))
        if self.left:
            yield self._question()
        if self.left and rng.random() < 0.97:
            yield from self._reply()
        if self.left and rng.random() < 0.03:
            yield self._row("TOOL", self._tool_result())

    def _opening(self) -> Iterator[MessageRow]:
        if self.left > 1 and self._rng.random() < 0.6:
            yield self._row("SYSTEM", self._named(TEXTS.system_notes[0]))
        yield self._row("ASSISTANT", self._plan.greeting.replace("{{user}}", self._plan.you))

    def _question(self) -> MessageRow:
        row = self._row("USER", self._user_text(), tokens=False)
        if self._rng.random() < 0.05:
            self._attach(row[1], row[0], self._now)
        return row

    def _reply(self) -> Iterator[MessageRow]:
        """One answer, or several that the user swipes through."""
        rng = self._rng
        if self.left < 2 or rng.random() > 0.06:
            yield self._row("ASSISTANT", self._reply_text())
            return
        group = new_id(rng)
        for index in range(min(self.left, rng.choice((2, 2, 3, 5)))):
            yield self._row("ASSISTANT", self._reply_text(), swipe=(group, index))

    def _row(
        self,
        role: str,
        content: str,
        *,
        swipe: tuple[str | None, int | None] = (None, None),
        tokens: bool = True,
    ) -> MessageRow:
        rng = self._rng
        when = self._tick()
        self.left -= 1
        count = len(content) // 4 + 1
        raw = None
        if role == "ASSISTANT" and rng.random() < 0.22:
            raw = self._raw(rng, self._plan.model, content, self._now // 1000)
        return (new_id(rng), self._plan.chat_id, role, content, raw, count if tokens else None, *swipe, when)

    def _user_text(self) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.2:
            return rng.choice(self._short)
        if kind < 0.94:
            return " ".join(rng.choices(self._sentences, k=rng.choice((1, 1, 2, 3))))
        if kind < 0.96:
            return rng.choice(TEXTS.with_markup)
        return rng.choice(self._gestures) + "\r\n\r\n\t" + rng.choice(self._sentences) + "  "

    def _reply_text(self) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.04:
            return rng.choice(self._short)
        if kind < 0.994:
            paragraphs = [
                " ".join(rng.choices(self._sentences, k=rng.choice((2, 3, 4))))
                for _ in range(rng.choice((1, 1, 1, 2, 3)))
            ]
            if kind < 0.5:
                paragraphs.insert(0, rng.choice(self._gestures))
            elif kind > 0.95:
                paragraphs.append(rng.choice(TEXTS.with_markup))
            return "\n\n".join(paragraphs)
        # A whole chapter of 4 to 20 kB; one in a hundred of those is a pasted book.
        length = rng.randrange(10, 50) * (12 if rng.random() < 0.01 else 1)
        return "\n\n".join(" ".join(rng.choices(self._sentences, k=6)) for _ in range(length))

    def _tool_result(self) -> str:
        rng = self._rng
        answer = {
            "tool": "generate_image",
            "ok": rng.random() < 0.9,
            "images": [f"/uploads/generated/{new_id(rng)}.png"],
            "note": 'said "done"\n\\o/',
        }
        return json.dumps(answer, ensure_ascii=rng.random() < 0.5, indent=2 if rng.random() < 0.3 else None)


def _openai(rng: random.Random, model: str, content: str, seconds: int) -> str:
    spent, made = rng.randrange(200, 9000), len(content) // 4 + 1
    text = json.dumps(content[:200], ensure_ascii=False)
    return (
        f'{{"id":"chatcmpl-{rng.getrandbits(96):024x}","object":"chat.completion","created":{seconds},'
        f'"model":"{model}","choices":[{{"index":0,"message":{{"role":"assistant","content":{text},'
        '"refusal":null},"logprobs":null,"finish_reason":"stop"}],'
        f'"usage":{{"prompt_tokens":{spent},"completion_tokens":{made},"total_tokens":{spent + made}}},'
        f'"system_fingerprint":"fp_{rng.getrandbits(40):010x}","temperature":1.50}}'
    )


def _anthropic(rng: random.Random, model: str, content: str, _seconds: int) -> str:
    text = json.dumps(content[:120], ensure_ascii=True)
    return (
        f'{{"id":"msg_{rng.getrandbits(96):024x}","type":"message","role":"assistant","model":"{model}",'
        f'"content":[{{"type":"text","text":{text}}}],"stop_reason":"end_turn","stop_sequence":null,'
        f'"usage":{{"input_tokens":{rng.randrange(9000)},"cache_read_input_tokens":0,'
        f'"output_tokens":{len(content) // 4 + 1}}}}}'
    )


def _ollama(rng: random.Random, model: str, _content: str, _seconds: int) -> str:
    ceiling = "1e400" if rng.random() < 0.02 else "1.0"
    context = ",".join(str(rng.randrange(128256)) for _ in range(rng.randrange(4, 40)))
    return (
        f'{{"model":"{model}","done":true,"done_reason":"stop","context":[{context}],'
        f'"total_duration":{rng.randrange(10**9, 10**11)},"load_duration":{rng.randrange(10**6, 10**8)},'
        f'"prompt_eval_duration":{rng.getrandbits(63)},"seed":{rng.getrandbits(66)},'
        f'"options":{{"repeat_penalty":1.10,"mirostat_tau":5.0,"top_p":0.90,"penalty_ceiling":{ceiling}}}}}'
    )


def _openrouter(rng: random.Random, model: str, content: str, seconds: int) -> str:
    return (
        f'{{"id":"gen-{seconds}-{rng.getrandbits(80):020x}","provider":"DeepInfra","model":"{model}",'
        f'"choices":[{{"index":0,"native_finish_reason":"stop","logprobs":[-0.0,-{rng.random():.17f},-1E-7]}}],'
        f'"usage":{{"completion_tokens":{len(content) // 4 + 1},"cost":0.{rng.randrange(10**6):06}0,'
        '"is_byok":false}}'
    )


_RESPONSES: Final[dict[str, Callable[[random.Random, str, str, int], str]]] = {
    "ANTHROPIC": _anthropic,
    "OLLAMA": _ollama,
    "OPENROUTER": _openrouter,
}
