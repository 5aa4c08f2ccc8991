"""A language model behind an OpenAI-compatible chat endpoint, asked so that nothing paid for is lost.

Every response is stored by the SHA-256 of endpoint, model and prompt before it is read, so that a killed run resumes
and a repeated one asks nothing. What goes wrong with a request stands in `judge_client`; with a response:

    cut off before it says anything   asked again, once, with room for reasoning (later questions of its kind begin so)
    empty or malformed                asked again up to `retries` times at a higher temperature (at temperature 0 the
                                      same question mostly gets the same answer)

A question without an answer is an outcome of its own (`Unanswered`), never a wrong answer or a right one.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from darkmatter.experiments.interpretability.judge.client import Client, Failure
from darkmatter.experiments.interpretability.params import Interpretability
from darkmatter.storage.artifacts import read_json, sha256_bytes, write_json

Parsed = TypeVar("Parsed")
RETRY_TEMPERATURE = 0.5
REASONING_TOKENS = 4096  # room for reasoning where answers are cut off and the parameters give none
MORE_REASONING = 4  # times what the parameters give, where that is not enough
BYTES_PER_TOKEN = 3  # of English in UTF-8; below the usual 4, so that the estimate lies on the high side


@dataclass(frozen=True)
class Question(Generic[Parsed]):
    """One request to the judge, and how its answer is read.

    Attributes:
        prompt: the user's message.
        parse: the answer's meaning; raises ValueError where it has none.
        max_tokens: of the answer, without what a model reasons before it.
        kind: questions of one kind want the same room for reasoning.
    """

    prompt: str
    parse: Callable[[str], Parsed]
    max_tokens: int
    kind: str


@dataclass(frozen=True)
class Unanswered:
    """A question that stays without an answer: why in a few words, and what was said or is to be done."""

    reason: str
    said: str = field(default="", compare=False)


@dataclass
class Stored:
    """What came of a question so far.

    Attributes:
        responses: the complete ones, the oldest first.
        cut_off: the most tokens at which an answer was cut off before it said anything.
    """

    responses: list[str]
    cut_off: int = 0


@dataclass(frozen=True)
class JudgingCost:
    """What is still to be asked: calls, tokens, and dollars where prices are known. Repeated questions are extra."""

    calls: int
    stored: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None

    def __str__(self) -> str:
        price = "price unknown" if self.dollars is None else f"about ${self.dollars:.2f}"
        return (
            f"{self.calls:,} calls to make ({self.stored:,} answers are stored), about {self.prompt_tokens:,} prompt "
            f"tokens and at most {self.completion_tokens:,} of answers (more where the model reasons first): {price}"
        )


class Judge:
    """Asks, stores, parses. One instance may be used by many threads.

    Args:
        store: folder of the stored responses; one file for each question.
    """

    def __init__(self, settings: Interpretability, key: str, store: Path) -> None:
        self.settings = settings
        self.store = store
        self.client = Client(settings, key)
        self.lock = threading.Lock()
        self.room: dict[str, int] = {}  # kind of question → tokens for reasoning that were found to be enough

    def place(self, question: Question) -> Path:
        digest = sha256_bytes(json.dumps(self.asked(question), sort_keys=True).encode())
        return self.store / digest[:2] / f"{digest}.json"

    def asked(self, question: Question) -> dict[str, str | None]:
        return {"endpoint": self.settings.endpoint, "model": self.settings.model, "prompt": question.prompt}

    def stored(self, question: Question) -> Stored:
        path = self.place(question)
        content = read_json(path) if path.is_file() else {}
        if "cut_off" in content:
            return Stored(content["responses"], content["cut_off"])
        # Files of older versions hold an empty response for each that was cut off: ask again.
        return Stored([text for text in content.get("responses", []) if text])

    def keep(self, question: Question, stored: Stored) -> None:
        write_json(self.place(question), self.asked(question) | asdict(stored))

    @property
    def widest(self) -> int:
        """The most tokens for reasoning that are tried."""
        return max(REASONING_TOKENS, MORE_REASONING * self.settings.reasoning_tokens)

    def is_settled(self, question: Question[Parsed]) -> bool:
        """Whether `ask` would need no call."""
        result = self.stored(question)
        used_up = len(result.responses) > self.settings.retries or result.cut_off >= question.max_tokens + self.widest
        return used_up or any(meaning(question, text)[1] for text in result.responses)

    def ask(self, question: Question[Parsed]) -> Parsed | Unanswered:
        """The answer to a question, from what is stored where it is there.

        Raises:
            ArtifactError: what asking again does not help, or more would be spent than allowed.
        """
        result = self.stored(question)
        for text in result.responses:
            parsed, valid = meaning(question, text)
            if valid:
                return parsed
        room, why = self.room.get(question.kind, self.settings.reasoning_tokens), ""
        while len(result.responses) <= self.settings.retries:
            tokens = question.max_tokens + room
            if result.cut_off >= tokens:
                if room >= self.widest:
                    return self.cut_off(result.cut_off)
                room = self.widest
                continue
            reply = self.client.complete(question.prompt, RETRY_TEMPERATURE if result.responses else 0.0, tokens)
            if isinstance(reply, Failure):
                return Unanswered(reply.reason, reply.said)
            parsed, valid = meaning(question, reply.text)
            if reply.cut_off and not valid:
                result.cut_off = tokens
                self.keep(question, result)
                continue
            self.remember(question.kind, room)
            result.responses.append(reply.text)
            self.keep(question, result)
            if valid:
                return parsed
            why = f" ({reply.why})" if reply.why else ""
        last = " ".join(result.responses[-1].split())
        return Unanswered(f"{len(result.responses)} empty or malformed answers", f"the last one: {last[:80]!r}{why}")

    def remember(self, kind: str, room: int) -> None:
        with self.lock:
            self.room[kind] = max(room, self.room.get(kind, 0))

    def cut_off(self, tokens: int) -> Unanswered:
        return Unanswered(
            f"cut off at {tokens:,} tokens (finish_reason: length)",
            f"raise interpretability.reasoning_tokens above {self.widest:,}, or take a model that reasons less",
        )

    def estimate(self, questions: list[Question]) -> JudgingCost:
        """What asking these would cost, the stored ones left out."""
        waiting = [question for question in questions if not self.is_settled(question)]
        prompt = sum(-(-len(question.prompt.encode()) // BYTES_PER_TOKEN) for question in waiting)
        completion = sum(question.max_tokens + self.settings.reasoning_tokens for question in waiting)
        prices = self.settings.dollars_per_million_tokens
        dollars = None if prices is None else (prompt * prices[0] + completion * prices[1]) / 1e6
        return JudgingCost(len(waiting), len(questions) - len(waiting), prompt, completion, dollars)


def meaning(question: Question[Parsed], text: str) -> tuple[Parsed | None, bool]:
    """(parsed answer, whether it has one)."""
    try:
        return question.parse(text), True
    except ValueError:
        return None, False
