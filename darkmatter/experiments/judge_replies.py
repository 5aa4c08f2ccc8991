"""What a chat endpoint sends back: a completion's text, or a refusal in the server's own words."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SENTENCE = 240  # characters of what a server says
CUT_OFF = {"length", "max_tokens", "MAX_TOKENS"}  # finish_reason
NO_COMPLETION = "an answer without a completion"


@dataclass(frozen=True)
class Reply:
    """
    Attributes:
        text: what the model wrote; empty where it wrote nothing.
        cut_off: it stopped because it had no tokens left (`finish_reason: length`).
        tokens: of the prompt and of the completion, as the server counts them.
    """

    text: str
    cut_off: bool
    tokens: tuple[int, int]


@dataclass(frozen=True)
class Refusal:
    """
    Attributes:
        status: of HTTP, or the number in the body where HTTP says 200.
        words: `code`, `type` and `status` of the body.
        parameter: the parameter that is refused, where the body names one.
        said: the server's own sentence.
        whole: the body as text.
        wait: seconds until the server wants to be asked again; None where it does not say.
    """

    status: int
    words: frozenset[str]
    parameter: str | None
    said: str
    whole: str
    wait: float | None = None


def reply_of(completion: Any) -> Reply | Refusal | None:
    """The meaning of an HTTP 200; None where it holds neither a completion nor an error."""
    if error := getattr(completion, "error", None):
        return refusal_of(200, error)
    try:
        choice = completion.choices[0]
        content = choice.message.content
    except (AttributeError, IndexError, TypeError):
        return None
    usage = getattr(completion, "usage", None)
    counts = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    prompt, written = (count if isinstance(count, int) else 0 for count in counts)
    return Reply(text_of(content), getattr(choice, "finish_reason", None) in CUT_OFF, (prompt, written))


def text_of(content: Any) -> str:
    """The text of a message: a string, or a list of parts, of which those of reasoning are left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    shown = [part for part in content if isinstance(part, str | Mapping)]
    kinds = {"text", "output_text"}
    texts = (part if isinstance(part, str) else part.get("text") for part in shown if kind_of(part) in kinds)
    return "".join(text for text in texts if isinstance(text, str))


def kind_of(part: str | Mapping[str, Any]) -> Any:
    return "text" if isinstance(part, str) else part.get("type", "text")


def refusal_of(status: int, body: Any, wait: float | None = None) -> Refusal:
    """
    Args:
        body: JSON or text, as it came; the object under `error` where there is one.
    """
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        body = body["error"]
    fields = body if isinstance(body, Mapping) else {}
    if status == 200 and str(fields.get("code", "")).isdecimal():
        status = int(fields["code"])
    words = (fields.get(name) for name in ("code", "type", "status"))
    parameter = fields.get("param")
    return Refusal(
        status,
        frozenset(word.lower() for word in words if isinstance(word, str)),
        parameter if isinstance(parameter, str) else None,
        sentence(body),
        body if isinstance(body, str) else json.dumps(body, default=str),
        wait,
    )


def sentence(body: Any) -> str:
    """The message of an error's body in one line: JSON of several customs, HTML or text."""
    if isinstance(body, Mapping):
        found = next((body[name] for name in ("message", "error", "detail", "msg") if body.get(name)), body)
        body = found if isinstance(found, str) else json.dumps(found, default=str)
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^<>]*>", " ", body if isinstance(body, str) else str(body or ""))
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= SENTENCE else f"{line[: SENTENCE - 1]}…"
