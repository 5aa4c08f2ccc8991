"""One question to an OpenAI-compatible chat endpoint, repeated as long as that can help.

    no connection                   an error at once on the first question; later after `retries` further tries
    429, 408, 409, 5xx, time-out    asked again `retries` times, waiting as the server says, else 0.5 s, 1 s … 8 s
    HTTP 200 without a completion   the same
    max_tokens refused              asked with max_completion_tokens, here and in the rest of the run
    a temperature refused           asked without one, here and in the rest of the run
    401, 402, 403, 404, a quota     an error at once: asking again changes no key, no account and no model's name
    a wait of more than 2 minutes   an error at once: run the stage again then
    an answer cut off, called a 400 an empty reply that was cut off
    other 4xx                       a failure of this question
    20 failures in a row            an error: the rest would fail, too

A failure has a short reason, which results count, and what the server said. The key stands in neither.
"""

import sys
import threading
from dataclasses import dataclass, replace
from typing import Any

from darkmatter.experiments.interpretability.judge.key import hide
from darkmatter.experiments.interpretability.judge.refusals import (
    Form,
    Refusal,
    is_cut_off,
    is_lasting,
    may_pass,
    refusal_of,
    sentence,
    shortened,
)
from darkmatter.experiments.interpretability.judge.replies import Reply, reply_of
from darkmatter.experiments.interpretability.params import Interpretability
from darkmatter.storage.artifacts import ArtifactError

NO_CONNECTION = "no connection"
NO_COMPLETION = "an answer without a completion"
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0  # seconds before asking again; doubled each time
LONGEST_ASKED_WAIT = 120.0  # what a server may ask for
KEPT = "No results are written. Responses so far are kept for the next run."
IN_A_ROW = 20  # questions that a server may fail before it is left alone


@dataclass(frozen=True)
class Failure:
    """A request without a completion.

    Attributes:
        reason: in a few words that do not vary with the question.
        said: in the server's words.
        again: whether a repetition may help.
        wait: seconds that the server wants to be left alone for.
    """

    reason: str
    said: str = ""
    again: bool = False
    wait: float | None = None


class Client:
    """Many threads may share one.

    Attributes:
        form: how this server takes a request, as learned so far.
        calls: completions that were counted.
        spent: dollars.
        in_a_row: questions since the last completion that ended without one.
        stopped: why nothing more is asked.
    """

    def __init__(self, settings: Interpretability, key: str) -> None:
        import openai

        self.settings = settings
        self.key = key
        self.form = Form()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.stopped: ArtifactError | None = None
        self.calls, self.spent, self.in_a_row = 0, 0.0, 0
        self.library = openai.OpenAI(
            base_url=settings.endpoint, api_key=key, timeout=settings.timeout_seconds, max_retries=0
        )

    def check_reachable(self) -> None:
        """Ask the endpoint for its models, before anything is paid for.

        Raises:
            ArtifactError: no connection, or the key is refused. Any other answer will do: some servers have no list
                of models.
        """
        import openai

        try:
            self.library.models.list()
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self.refused(refusal_of(error.status_code, error.body)) from None
        except openai.APIConnectionError as error:
            raise self.unreachable(self.cause(error)) from None
        except (openai.OpenAIError, ValueError):
            return

    def complete(self, prompt: str, temperature: float, tokens: int) -> Reply | Failure:
        """Ask, and ask again where that may help.

        Raises:
            ArtifactError: what asking again does not help, or more would be spent than allowed.
        """
        tries = self.settings.retries + 1
        for number in range(tries):
            result = self.once(prompt, temperature, tokens)
            if isinstance(result, Reply):
                return result
            if not result.again or number + 1 == tries:
                break
            if result.wait is not None and result.wait > LONGEST_ASKED_WAIT:
                raise self.stop(self.left_alone(f"wants no request for {result.wait:,.0f} s", result))
            backoff = min(FIRST_WAIT * 2**number, LONGEST_WAIT)
            self.over.wait(backoff if result.wait is None else result.wait)
        if result.reason == NO_CONNECTION:
            raise self.stop(self.unreachable(result.said))
        with self.lock:
            self.in_a_row += 1
        if self.in_a_row >= IN_A_ROW:
            raise self.stop(self.left_alone(f"has failed {IN_A_ROW} questions in a row", result))
        return result

    def once(self, prompt: str, temperature: float, tokens: int) -> Reply | Failure:
        """One request, in as many forms as it takes to learn what the server wants."""
        import openai

        tries = self.settings.retries + 1
        while True:
            if self.stopped:
                raise self.stopped
            self.check_spent()
            form = self.form
            try:
                result = reply_of(
                    self.library.chat.completions.create(
                        model=self.settings.model,
                        messages=[{"role": "user", "content": prompt}],
                        **form.request(temperature, tokens),
                    )
                )
            except openai.APITimeoutError:
                return Failure(f"no answer within {self.settings.timeout_seconds:g} s, {tries} times", again=True)
            except openai.APIConnectionError as error:
                return Failure(NO_CONNECTION, self.cause(error), again=True)
            except openai.APIStatusError as error:
                result = refusal_of(error.status_code, error.body, asked_wait(error.response.headers))
            except (openai.OpenAIError, ValueError) as error:
                return Failure(NO_COMPLETION, self.quoted(sentence(str(error))), again=True)
            if isinstance(result, Reply):
                self.count(result)
                return replace(result, text=hide(self.key, result.text), why=self.quoted(result.why))
            if is_cut_off(result):
                return Reply("", cut_off=True)
            if self.learn(form, result):
                continue
            if is_lasting(result, form):
                raise self.stop(self.refused(result))
            reason = NO_COMPLETION if result.status == 200 else f"HTTP {result.status}"
            return Failure(reason, self.quoted(result.said), may_pass(result), result.wait)

    def learn(self, form: Form, refusal: Refusal) -> bool:
        """Whether to ask in another form than `form`, which was refused: one more, or what another thread learned."""
        better = form.after(refusal)
        if better is None:
            return False
        with self.lock:
            if self.form == form:
                self.form = better
                print(f"{self.settings.model} is asked in another form: {self.quoted(refusal.said)}", file=sys.stderr)
        return True

    def count(self, reply: Reply) -> None:
        """Add what a reply cost, by the server's own count."""
        prices = self.settings.dollars_per_million_tokens or (0.0, 0.0)
        with self.lock:
            self.calls += 1
            self.in_a_row = 0
            self.spent += sum(number * price for number, price in zip(reply.tokens, prices, strict=True)) / 1e6

    def check_spent(self) -> None:
        limit = self.settings.max_dollars
        if limit is not None and self.spent >= limit:
            raise ArtifactError(
                f"interpretability.max_dollars = {limit:g} is spent. Responses are stored: raise it and run again to "
                "go on."
            )

    def stop(self, reason: ArtifactError) -> ArtifactError:
        """Let no thread ask anything more."""
        self.stopped = self.stopped or reason
        self.over.set()
        return reason

    def quoted(self, text: str) -> str:
        """What a server said, without the key, and no more of it than an error has room for."""
        return shortened(hide(self.key, text))

    def cause(self, error: Exception) -> str:
        return self.quoted(str(error.__cause__ or error))

    def refused(self, refusal: Refusal) -> ArtifactError:
        return ArtifactError(
            f"{self.settings.endpoint} refuses (HTTP {refusal.status}: {self.quoted(refusal.said)}). Asking again would"
            f" not help. Check interpretability.model ({self.settings.model}), the key in {self.settings.key_variable} "
            f"and what its account may spend. {KEPT}"
        )

    def left_alone(self, why: str, failure: Failure) -> ArtifactError:
        said = f": {failure.said}" if failure.said else ""
        return ArtifactError(
            f"{self.settings.endpoint} {why} ({failure.reason}{said}). Run the stage again later. {KEPT}"
        )

    def unreachable(self, said: str) -> ArtifactError:
        return ArtifactError(
            f"interpretability.endpoint {self.settings.endpoint} cannot be reached ({said}). Start the server, or set "
            f"it to null for the offline surrogate. {KEPT}"
        )


def asked_wait(headers: Any) -> float | None:
    """Seconds that a server wants to be left alone for; None where it says none."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:  # absent, or a date
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None
