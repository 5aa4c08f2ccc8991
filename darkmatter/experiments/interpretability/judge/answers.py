"""How a model's text is read: without its reasoning, and as an explanation, or a list of 0 and 1 of the right length.

What is missing is never guessed. Reasoning models write `<think>…</think>` first; some servers leave it in the text,
some only its end. Tags count where a line begins or ends with them: in the middle of one they are part of what is said.
"""

import json
import re

EXPLANATION_CHARACTERS = 1000  # a model that does not stop gives no explanation
YES, NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no"}
NAMES = r"(?:seed:)?(?:think|thinking|thought|thoughts|reason|reasoning|reflection|scratchpad|analysis)"
OPEN = rf"(?:<{NAMES}>|\[{NAMES}\]|◁think▷|<\|begin_of_thought\|>)"
CLOSE = rf"(?:</{NAMES}>|\[/{NAMES}\]|◁/think▷|<\|end_of_thought\|>)"
FLAGS = re.IGNORECASE | re.DOTALL | re.MULTILINE
BLOCK = re.compile(rf"^[ \t]*{OPEN}.*?{CLOSE}", FLAGS)
ENDED = re.compile(rf"\A.*?(?:^[ \t]*{CLOSE}|{CLOSE}[ \t]*$)", FLAGS)  # the opening tag stood in the prompt
UNENDED = re.compile(rf"^[ \t]*{OPEN}.*", FLAGS)
FINAL_CHANNEL = "<|channel|>final<|message|>"  # of gpt-oss, where a server does not take its channels apart
OTHER_CHANNEL = re.compile(r"<\|channel\|>.*", FLAGS)
END_TOKENS = re.compile(r"<\|(?:return|end|im_end|eot_id|endoftext|end_of_solution|begin_of_solution)\|>", FLAGS)
FENCE = re.compile(r"\A(?:`{3,}|~{3,})[^\n`]*\n(.*?)\n?(?:`{3,}|~{3,})\s*\Z", FLAGS)


def said(text: str) -> str:
    """What the model says when it has thought; empty where its thoughts have no end."""
    _, channel, final = text.rpartition(FINAL_CHANNEL)
    text = final if channel else OTHER_CHANNEL.sub("", text)
    text = BLOCK.sub("", text)
    text = ENDED.sub("", text)
    text = UNENDED.sub("", text)
    return END_TOKENS.sub("", text).strip()


def unfenced(text: str) -> str:
    """What stands inside a fence around the whole text."""
    result = FENCE.match(text.strip())
    return result[1] if result else text


def parse_explanation(text: str) -> str:
    """The explanation in an answer, as one line.

    Raises:
        ValueError: empty, or no short text.
    """
    explanation = " ".join(unfenced(said(text)).split())
    if not explanation or len(explanation) > EXPLANATION_CHARACTERS:
        raise ValueError(f"an explanation of {len(explanation)} characters")
    return explanation


def parse_predictions(text: str, number: int) -> list[int]:
    """The one list of `number` yes or no in an answer, whatever stands around it: a fence, keys, a comment.

    A list of one must have a line of its own: elsewhere [1] may be the name of a passage.

    Raises:
        ValueError: there is none, or there are two that differ.
    """
    text = said(text)
    arrays = re.findall(r"\[[^\[\]]*\]" if number > 1 else r"(?m)^\s*(\[[^\[\]]*\])\s*$", text)
    results = [values for array in arrays if (values := binary(array)) is not None]
    fitting = [values for values in results if len(values) == number]
    if not fitting:
        raise ValueError(f"no list of {number} zeros and ones; predictions for {[len(values) for values in results]}")
    if any(values != fitting[0] for values in fitting):
        raise ValueError(f"{len(fitting)} lists of {number} zeros and ones that differ")
    return fitting[0]


def binary(array: str) -> list[int] | None:
    """A JSON array of 0 and 1, of true and false, or of their names; None for any other."""
    try:
        values = json.loads(array)
    except ValueError:
        return None
    named = [value.strip().lower() if isinstance(value, str) else str(value).lower() for value in values]
    return [int(name in YES) for name in named] if all(name in YES | NO for name in named) else None
