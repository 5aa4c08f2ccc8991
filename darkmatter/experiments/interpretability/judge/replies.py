"""The meaning of an HTTP 200 of a chat endpoint: a completion's text, or a refusal all the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from darkmatter.experiments.interpretability.judge.refusals import Refusal, refusal_of

CUT_OFF = {"length", "max_tokens", "MAX_TOKENS"}  # finish_reason


@dataclass(frozen=True)
class Reply:
    """A response that is an answer, though it may be empty.

    Attributes:
        text: what the model wrote; empty where it wrote nothing.
        cut_off: it stopped because it had no tokens left (`finish_reason: length`).
        tokens: of the prompt and of the completion, as the server counts them.
        why: of an empty text, as far as the server says.
    """

    text: str
    cut_off: bool
    tokens: tuple[int, int] = (0, 0)
    why: str = ""


def reply_of(completion: Any) -> Reply | Refusal:
    """The answer in a response, or the refusal that it is.

    Args:
        completion: what the library made of the body: its own object, whatever the fields, or text.
    """
    if error := getattr(completion, "error", None):
        return refusal_of(200, error)
    try:
        choice = completion.choices[0]
        message = choice.message
        text = text_of(message.content)
    except (AttributeError, IndexError, TypeError):
        return refusal_of(200, completion.to_dict(warnings=False) if hasattr(completion, "to_dict") else completion)
    usage = getattr(completion, "usage", None)
    counts = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    prompt, written = (count if isinstance(count, int) else 0 for count in counts)
    finish = getattr(choice, "finish_reason", None)
    why = getattr(message, "refusal", None) or f"finish_reason: {finish}"
    return Reply(text, finish in CUT_OFF, (prompt, written), "" if text else str(why))


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
