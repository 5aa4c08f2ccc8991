"""Is every claim judged by the rule that claims.yaml has, and was that rule there before its first result?"""

import json
from collections.abc import Iterator
from pathlib import Path

from darkmatter.artifacts import ArtifactError, read_json, sha256_bytes
from darkmatter.audit.findings import Finding
from darkmatter.audit.history import git
from darkmatter.claims import CLAIM_RESULTS, CLAIMS, check_quotes, load_claims, rule_sha256


def rule_findings(root: Path) -> Iterator[Finding]:
    """Rules that differ from those stored with the verdicts, here or in any earlier commit of these.

    Outside git only the present is looked at; that a clone lacks its history is said.
    """
    if not (root / CLAIM_RESULTS).exists():
        return
    rules = {claim.id: rule_sha256(claim) for claim in load_claims(root / CLAIMS).claims}
    try:
        stored = stored_rules(read_json(root / CLAIM_RESULTS))
    except (ArtifactError, KeyError, TypeError):
        path = CLAIM_RESULTS.as_posix()
        yield Finding("tampered", path, f"holds no claims; `git checkout -- {path}` or `dvc repro claims` mends it")
        stored = {}
    for identity, judged in stored.items():
        if identity not in rules:
            yield Finding("rule-changed", identity, f"{CLAIMS} no longer has this claim, which was judged")
        elif rules[identity] != judged:
            message = f"{CLAIMS} has another rule ({rules[identity][:12]}) than judged the result ({judged[:12]})"
            yield Finding("rule-changed", identity, message)
    if (git(root, "rev-parse", "--is-shallow-repository") or b"").strip() == b"true":
        message = "earlier commits are not in this clone, so no rule is held against them; `git fetch --unshallow`"
        yield Finding("missing", CLAIMS.as_posix(), message)
    for identity, (commit, judged) in rules_in_history(root).items():
        if identity not in rules and identity not in stored:
            message = f"{CLAIMS} no longer has this claim, which had a result in commit {commit[:12]}"
            yield Finding("rule-changed", identity, message)
        elif identity in rules and rules[identity] != judged:
            message = (
                f"its rule was {judged[:12]} when commit {commit[:12]} held a result, and is {rules[identity][:12]}"
            )
            yield Finding("rule-changed", identity, message)


def stored_rules(content: dict) -> dict[str, str]:
    """Claim → SHA-256 of the rule, of the claims for which there was something to judge."""
    return {row["id"]: row["rule_sha256"] for row in content["claims"] if row["components"]}


def rules_in_history(root: Path) -> dict[str, tuple[str, str]]:
    """Claim → the first commit that held a result of it, and the rule that it was judged by."""
    log = git(root, "log", "--reverse", "--format=%H", "--", CLAIM_RESULTS.as_posix())
    first: dict[str, tuple[str, str]] = {}
    for commit in (log or b"").decode().split():
        text = git(root, "show", f"{commit}:./{CLAIM_RESULTS.as_posix()}")  # `./`: root may lie inside a repository
        try:
            rules = stored_rules(json.loads(text or b"{}"))
        except (ValueError, KeyError, TypeError):
            continue  # a commit that removed the file, or one before it had this form
        for identity, rule in rules.items():
            first.setdefault(identity, (commit, rule))
    return first


def quote_findings(paper: Path) -> Iterator[Finding]:
    """Quotes of the ledger that do not stand in the paper's text at their place.

    Raises:
        ArtifactError: the file is not the text that the ledger is about.
    """
    ledger = load_claims(CLAIMS)
    text = paper.read_text(encoding="utf-8", errors="replace")
    if sha256_bytes(text.encode()) != ledger.paper.sha256:
        raise ArtifactError(f"{paper} is not the text that {CLAIMS} quotes: its SHA-256 is not {ledger.paper.sha256}")
    for identity in check_quotes([*ledger.claims, *ledger.errata], text):
        yield Finding("differs", identity, "a quote does not stand in the paper's text where its locator says")
