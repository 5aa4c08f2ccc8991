"""What stands in a model's text beside its answer, and the answer without it: reasoning, and Markdown fences.

Reasoning models write `<think>…</think>` first; some servers leave it in the text, some only its end. Tags count where
a line begins or ends with them: in the middle of one they are part of what is said.
"""

import re

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
    found = FENCE.match(text.strip())
    return found[1] if found else text
