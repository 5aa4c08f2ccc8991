"""What to make of a refusal: ask in another form, ask again later, or stop, because no repetition cures it."""

import re
from dataclasses import dataclass, replace
from typing import Any

from darkmatter.experiments.judge_replies import Refusal

LATER = {200, 408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
INCURABLE = {401, 402, 403, 404}
INCURABLE_WORDS = {
    "account_deactivated",
    "access_terminated",
    "authentication_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_authentication",
    "model_not_found",
    "permission_error",
}
INCURABLE_TEXT = re.compile(
    r"billing|insufficient (quota|balance|credit|fund)|credit balance|out of credits|payment required"
    r"|(invalid|incorrect|wrong|missing|expired) api[ _]key|api[ _]key (is )?(not valid|invalid|expired|missing)"
    r"|model\b.{0,80}\b(does not exist|not found)",
    re.IGNORECASE | re.DOTALL,
)
# Some servers say of a limit per minute, too, that plan and billing should be looked at.
PASSING = re.compile(r"per (second|minute|hour)\b|(retry|again) in\b|RetryInfo", re.IGNORECASE)
OF_ONE_QUESTION = re.compile(r"moderation|flagged", re.IGNORECASE)  # HTTP 403 of a router for one prompt
FLAGS = re.IGNORECASE | re.DOTALL
NEAR = 80  # characters between a parameter and what is said of it, where no field names it
NOT_TAKEN = (
    r"unsupported|not supported|(does|do)(n't| not) support|unknown|unrecognized|unexpected|not permitted|not allowed"
    r"|extra_forbidden|deprecated|not available|invalid parameter"
)
NO_SUCH_VALUE = r"only the default|must be|only\b.{0,40}\b(allowed|accepted)"


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
        if refusal.status not in (400, 422):
            return None
        if self.limit == "max_tokens" and refuses("max_tokens", refusal, NOT_TAKEN):
            return replace(self, limit="max_completion_tokens")
        if self.temperature and refuses("temperature", refusal, f"{NOT_TAKEN}|{NO_SUCH_VALUE}"):
            return replace(self, temperature=False)
        return None


def refuses(name: str, refusal: Refusal, how: str) -> bool:
    """Whether it is this parameter that the server does not take: its name, with the words for it close by."""
    if refusal.parameter is not None:
        return refusal.parameter == name and re.search(how, refusal.whole, FLAGS) is not None
    near = rf"\b{name}\b.{{0,{NEAR}}}({how})|({how}).{{0,{NEAR}}}\b{name}\b"
    return re.search(near, refusal.whole, FLAGS) is not None


def is_incurable(refusal: Refusal) -> bool:
    """Whether every other question would be refused as well, today and in a minute."""
    if refusal.status == 403 and OF_ONE_QUESTION.search(refusal.whole):
        return False
    if refusal.status in INCURABLE or refusal.words & INCURABLE_WORDS:
        return True
    passing = refusal.status >= 500 or PASSING.search(refusal.whole) is not None
    return not passing and INCURABLE_TEXT.search(refusal.whole) is not None


def may_pass(refusal: Refusal) -> bool:
    """Whether the same request may be taken later."""
    return refusal.status in LATER
