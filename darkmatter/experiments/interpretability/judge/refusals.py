"""A refusal in the server's own words, and what to make of it: ask in another form, ask again later, or stop."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

LATER = {200, 408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
LASTING = {401, 402, 403, 404}
LASTING_WORDS = {
    "access_terminated",
    "account_deactivated",
    "arrearage",
    "authentication_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "credit_limit",
    "exceeded_current_quota_error",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_authentication",
    "model_not_found",
    "permission_error",
}
LASTING_TEXT = re.compile(
    r"billing|insufficient (quota|balance|credit|fund)|credit balance|payment required|good standing|account balance"
    r"|(out of|no|used all|add|buy|purchase)\b.{0,20}\bcredits|(credit|spend(ing)?|usage) limits?\b"
    r"|current quota|(free|daily|monthly) (quota|credits)|account\b.{0,30}\b(suspended|disabled|deactivated|overdue)"
    r"|欠费|余额不足|充值"
    r"|(invalid|incorrect|wrong|missing|expired) api[ _]key|api[ _]key (is )?(not valid|invalid|expired|missing)"
    r"|model\b.{0,80}\b(does not exist|not found)",
    re.IGNORECASE | re.DOTALL,
)
# Some servers say of a limit per minute, too, that plan and billing should be looked at.
PASSING = re.compile(r"per (second|minute|hour)\b|(retry|again) (in|after)\b|RetryInfo", re.IGNORECASE)
OF_ONE_QUESTION = re.compile(r"moderation|flagged", re.IGNORECASE)  # HTTP 403 of a router for one prompt
SPENT = re.compile(r"(max_tokens|max_completion_tokens|output limit)\b.{0,40}\bwas reached", re.IGNORECASE)
NEAR = 80  # characters between a parameter and what is said of it, where no field names it
NOT_TAKEN = (
    r"unsupported|not supported|(does|do)(n't| not) support|incompatible|not compatible|unknown|unrecognized|unexpected"
    r"|not permitted|not allowed|extra_forbidden|deprecated|removed|not available|invalid parameter"
    r"|can(not|'t| not) be (set|used)"
)
NO_SUCH_VALUE = (
    r"only the default|(must|should|has to) be|only\b.{0,40}\b(allowed|accepted|supported)"
    r"|only be (set|used)|not a valid value"
)
SENTENCE = 240  # characters of what a server says


@dataclass(frozen=True)
class Refusal:
    """What a server said in place of an answer.

    Attributes:
        status: of HTTP, or the number in the body where HTTP says 200.
        words: `code`, `type` and `status` of the body.
        parameter: the parameter that is refused, where the body names one.
        said: the server's own message in one line, at full length.
        whole: the body as text.
        wait: seconds until the server wants to be asked again; None where it does not say.
    """

    status: int
    words: frozenset[str]
    parameter: str | None
    said: str
    whole: str
    wait: float | None = None


@dataclass(frozen=True)
class Form:
    """How a server takes a request.

    Attributes:
        limit: the name of the parameter that limits the answer's tokens; reasoning models want the newer one.
        temperature: whether it takes one at all.
    """

    limit: str = "max_tokens"
    temperature: bool = True

    def request(self, temperature: float, tokens: int) -> dict[str, Any]:
        return {self.limit: tokens} | ({"temperature": temperature} if self.temperature else {})

    def after(self, refusal: Refusal) -> "Form | None":
        """The form without the parameter that a server refuses; None where that is not what it refuses."""
        if refusal.status not in (400, 422, 500):
            return None
        if self.limit == "max_tokens" and (refuses("max_tokens", refusal, NOT_TAKEN) or names_the_newer(refusal)):
            return replace(self, limit="max_completion_tokens")
        if self.temperature and refuses("temperature", refusal, f"{NOT_TAKEN}|{NO_SUCH_VALUE}"):
            return replace(self, temperature=False)
        return None


def refuses(name: str, refusal: Refusal, how: str) -> bool:
    """Whether it is this parameter that the server does not take: its name, with the words for it close by."""
    if refusal.parameter is not None:
        return refusal.parameter == name and matches(how, refusal)
    return matches(rf"\b{name}\b.{{0,{NEAR}}}({how})|({how}).{{0,{NEAR}}}\b{name}\b", refusal)


def names_the_newer(refusal: Refusal) -> bool:
    """Whether a request without `max_completion_tokens` is told to use it."""
    return matches(r"(use|requires?)\b.{0,10}\bmax_completion_tokens\b", refusal)


def matches(pattern: str, refusal: Refusal) -> bool:
    return re.search(pattern, refusal.whole, re.IGNORECASE | re.DOTALL) is not None


def is_cut_off(refusal: Refusal) -> bool:
    """Whether it is an answer cut off before it said anything, which some servers call a bad request."""
    return refusal.status == 400 and SPENT.search(refusal.whole) is not None


def is_lasting(refusal: Refusal, form: Form) -> bool:
    """Whether every other question would be refused as well, today and in a minute."""
    if refusal.status == 403 and OF_ONE_QUESTION.search(refusal.whole):
        return False
    if refusal.status in LASTING or refusal.words & LASTING_WORDS:
        return True
    if refusal.status in (400, 422) and refuses(form.limit, refusal, NOT_TAKEN):
        return True  # neither name of the limit is taken, and nobody asks without one
    passing = refusal.status >= 500 or PASSING.search(refusal.whole) is not None
    return not passing and LASTING_TEXT.search(refusal.whole) is not None


def may_pass(refusal: Refusal) -> bool:
    """Whether the same request may be taken later."""
    return refusal.status in LATER


def refusal_of(status: int, body: Any, wait: float | None = None) -> Refusal:
    """The refusal in the body of a response.

    Args:
        body: JSON or text, as it came; the object under `error` where there is one.
    """
    if isinstance(body, list) and body and isinstance(body[0], Mapping):
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
        body if isinstance(body, str) else json.dumps(body, default=str, ensure_ascii=False),
        wait,
    )


def sentence(body: Any) -> str:
    """The message of an error's body in one line: JSON of several customs, HTML or text."""
    if isinstance(body, Mapping):
        result = next((body[name] for name in ("message", "error", "detail", "msg") if body.get(name)), body)
        body = result if isinstance(result, str) else json.dumps(result, default=str, ensure_ascii=False)
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^<>]*>", " ", body if isinstance(body, str) else str(body or ""))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def shortened(line: str) -> str:
    return line if len(line) <= SENTENCE else f"{line[: SENTENCE - 1]}…"
