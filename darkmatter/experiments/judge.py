"""A language model behind an OpenAI-compatible chat endpoint, asked so that nothing paid for is lost.

Every response is stored by the SHA-256 of endpoint, model and prompt before it is read, so that a killed run resumes
and a repeated one asks nothing. What goes wrong, and what then happens:

    no connection                   an error at once on the first question; later after the library's retries
    401, 403, 404                   an error at once: the key, its rights or the model's name are wrong
    429, 408, 409, 5xx, time-out    asked again by the library, `retries` times, waiting as the server says, else
                                    0.5 s, 1 s, 2 s … 8 s; then the question is unanswered
    other 4xx                       unanswered
    empty or malformed answer       asked again up to `retries` times at a higher temperature (at temperature 0 the
                                    same question mostly gets the same answer); then unanswered

Unanswered is an outcome of its own (`Unanswered`), never a wrong answer or a right one.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from darkmatter.artifacts import ArtifactError, read_json, sha256_bytes, write_json
from darkmatter.experiment_params import Interpretability

Parsed = TypeVar("Parsed")
RETRY_TEMPERATURE = 0.5
BYTES_PER_TOKEN = 3  # of English in UTF-8; below the usual 4, so that the estimate lies on the high side


@dataclass(frozen=True)
class Question(Generic[Parsed]):
    """Attributes:
    prompt: the user's message.
    parse: the answer's meaning; raises ValueError where it has none.
    max_tokens: of the answer.
    """

    prompt: str
    parse: Callable[[str], Parsed]
    max_tokens: int


@dataclass(frozen=True)
class Unanswered:
    """A question that stays without an answer, and why."""

    reason: str


@dataclass(frozen=True)
class Cost:
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
            f"tokens and at most {self.completion_tokens:,} of answers: {price}"
        )


class Judge:
    """Asks, stores, parses. One instance may be used by many threads.

    Args:
        store: folder of the stored responses; one file for each question.
    """

    def __init__(self, settings: Interpretability, key: str, store: Path) -> None:
        import openai

        self.settings = settings
        self.store = store
        self.key = key
        self.lock = threading.Lock()
        self.spent = 0.0
        self.calls = 0
        self.stopped: ArtifactError | None = None
        self.client = openai.OpenAI(
            base_url=settings.endpoint, api_key=key, timeout=settings.timeout_seconds, max_retries=settings.retries
        )

    def check_reachable(self) -> None:
        """
        Raises:
            ArtifactError: no connection, or the key is refused. Any other answer will do: some servers have no list
                of models.
        """
        import openai

        try:
            self.client.with_options(max_retries=0).models.list()
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self.refused(error) from None
        except openai.APIConnectionError as error:
            raise self.unreachable(error) from None
        except (openai.OpenAIError, ValueError):
            return

    def place(self, question: Question) -> Path:
        settings = self.settings
        content = {"endpoint": settings.endpoint, "model": settings.model, "prompt": question.prompt}
        digest = sha256_bytes(json.dumps(content, sort_keys=True).encode())
        return self.store / digest[:2] / f"{digest}.json"

    def stored(self, question: Question) -> list[str]:
        """The responses stored for a question, the oldest first."""
        path = self.place(question)
        return read_json(path)["responses"] if path.is_file() else []

    def is_settled(self, question: Question[Parsed]) -> bool:
        """Whether `ask` would need no call."""
        responses = self.stored(question)
        return len(responses) > self.settings.retries or any(meaning(question, text)[1] for text in responses)

    def ask(self, question: Question[Parsed]) -> Parsed | Unanswered:
        """
        Raises:
            ArtifactError: what no repetition mends, or more would be spent than allowed.
        """
        responses = self.stored(question)
        for text in responses:
            parsed, valid = meaning(question, text)
            if valid:
                return parsed
        while len(responses) <= self.settings.retries:
            text = self.call(question, RETRY_TEMPERATURE if responses else 0.0)
            if isinstance(text, Unanswered):
                return text
            responses.append(text)
            content = {"endpoint": self.settings.endpoint, "model": self.settings.model, "prompt": question.prompt}
            write_json(self.place(question), content | {"responses": responses})
            parsed, valid = meaning(question, text)
            if valid:
                return parsed
        return Unanswered(f"{len(responses)} empty or malformed answers")

    def call(self, question: Question, temperature: float) -> str | Unanswered:
        """One response as the server gives it."""
        import openai

        if self.stopped:
            raise self.stopped
        self.check_spent()
        try:
            completion = self.client.chat.completions.create(
                model=self.settings.model,
                messages=[{"role": "user", "content": question.prompt}],
                temperature=temperature,
                max_tokens=question.max_tokens,
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise self.stop(self.refused(error)) from None
        except openai.APITimeoutError:
            tries = self.settings.retries + 1
            return Unanswered(f"no answer within {self.settings.timeout_seconds:g} s, {tries} times")
        except openai.APIConnectionError as error:
            raise self.stop(self.unreachable(error)) from None
        except openai.APIStatusError as error:
            return Unanswered(f"HTTP {error.status_code}")
        except (openai.APIResponseValidationError, ValueError):
            return ""
        except openai.OpenAIError as error:
            return Unanswered(type(error).__name__)
        self.count(completion)
        try:
            return completion.choices[0].message.content or ""
        except (AttributeError, IndexError, TypeError):
            return ""  # JSON, but no completion

    def count(self, completion: Any) -> None:
        """Add what a response cost, by the server's own count."""
        usage = getattr(completion, "usage", None)
        used = [getattr(usage, name, None) or 0 for name in ("prompt_tokens", "completion_tokens")]
        prices = self.settings.dollars_per_million_tokens or (0.0, 0.0)
        with self.lock:
            self.calls += 1
            self.spent += sum(number * price for number, price in zip(used, prices, strict=True)) / 1e6

    def check_spent(self) -> None:
        limit = self.settings.max_dollars
        if limit is not None and self.spent >= limit:
            raise ArtifactError(
                f"interpretability.max_dollars = {limit:g} is spent. Responses are stored in {self.store}: raise it "
                "and run again to go on."
            )

    def stop(self, reason: ArtifactError) -> ArtifactError:
        """Let no thread ask anything more."""
        self.stopped = self.stopped or reason
        return reason

    def refused(self, error: Exception) -> ArtifactError:
        status, said = getattr(error, "status_code", "?"), str(error).replace(self.key, "…")
        return ArtifactError(
            f"{self.settings.endpoint} refuses (HTTP {status}: {said[:200]}). Check interpretability.model "
            f"({self.settings.model}) and the key in {self.settings.key_variable}."
        )

    def unreachable(self, error: Exception) -> ArtifactError:
        return ArtifactError(
            f"interpretability.endpoint {self.settings.endpoint} cannot be reached ({error.__cause__ or error}). Start "
            f"the server, or set it to null for the offline surrogate. Responses so far are kept in {self.store}."
        )

    def estimate(self, questions: list[Question]) -> Cost:
        """What asking these would cost, the stored ones left out."""
        waiting = [question for question in questions if not self.is_settled(question)]
        prompt = sum(-(-len(question.prompt.encode()) // BYTES_PER_TOKEN) for question in waiting)
        completion = sum(question.max_tokens for question in waiting)
        prices = self.settings.dollars_per_million_tokens
        dollars = None if prices is None else (prompt * prices[0] + completion * prices[1]) / 1e6
        return Cost(len(waiting), len(questions) - len(waiting), prompt, completion, dollars)


def meaning(question: Question[Parsed], text: str) -> tuple[Parsed | None, bool]:
    """(parsed answer, whether it has one)."""
    try:
        return question.parse(text), True
    except ValueError:
        return None, False
