"""Is every claim judged by the rule that claims.yaml has, and did it keep every rule that judged it before?"""

from collections.abc import Iterator
from pathlib import Path

from darkmatter.audit.findings import AuditFinding
from darkmatter.audit.history import claims_in_history, git
from darkmatter.ledger.claims import (
    CLAIMS,
    Ledger,
    check_quotes,
    earlier_hashes,
    load_claims,
    present_hashes,
)
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_bytes
from darkmatter.storage.paths import reports_of


def rule_findings(root: Path, profile: str) -> Iterator[AuditFinding]:
    """Rules that differ from those stored with the verdicts, here or in any earlier commit of these.

    A rule may change with a new edition of the ledger, where the claim keeps the one before, byte for byte. Outside git
    only the present is looked at; that a clone lacks its history is said.
    """
    path = reports_of(profile).claims
    if not (root / path).exists():
        return
    ledger = load_claims(root / CLAIMS)
    rules = {claim.id: present_hashes(claim) for claim in ledger.claims}
    earlier = earlier_rules(ledger)
    try:
        stored = stored_rules(read_json(root / path))
    except (ArtifactError, KeyError, TypeError):
        message = f"holds no claims; `git checkout -- {path}` or `dvc repro claims` fixes it"
        yield AuditFinding("tampered", path.as_posix(), message)
        stored = {}
    for identity, judged in stored.items():
        if judged in rules.get(identity, ()):
            continue
        if judged in earlier.get(identity, {}):
            edition = earlier[identity][judged]
            message = f"was judged by its rule of edition {edition}; `dvc repro claims` judges by the last edition"
            yield AuditFinding("stale", identity, message)
        elif identity in rules or identity in earlier:
            message = (
                f"{CLAIMS} has {described(identity, rules, earlier)}, and another ({judged[:12]}) judged the result"
            )
            yield AuditFinding("rule-changed", identity, message)
        else:
            yield AuditFinding("rule-changed", identity, f"{CLAIMS} no longer has this claim, which was judged")
    if (git(root, "rev-parse", "--is-shallow-repository") or b"").strip() == b"true":
        message = "earlier commits are not in this clone, so no rule is held against them; `git fetch --unshallow`"
        yield AuditFinding("missing", CLAIMS.as_posix(), message)
    for (identity, judged), commit in rules_in_history(root).items():
        if judged in rules.get(identity, ()) or judged in earlier.get(identity, {}):
            continue
        if identity in rules or identity in earlier:
            message = (
                f"its rule was {judged[:12]} when commit {commit[:12]} held a result, and {CLAIMS} has "
                f"{described(identity, rules, earlier)}"
            )
            yield AuditFinding("rule-changed", identity, message)
        elif identity not in stored:
            message = f"{CLAIMS} no longer has this claim, which had a result in commit {commit[:12]}"
            yield AuditFinding("rule-changed", identity, message)


def earlier_rules(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Claim or erratum → SHA-256 of each rule that it had before → edition of that rule."""
    return {row.id: earlier_hashes(row) for row in (*ledger.claims, *ledger.errata) if row.earlier}


def described(identity: str, rules: dict[str, list[str]], earlier: dict[str, dict[str, int]]) -> str:
    """The rules that the ledger has for a claim, by the first digits of their hashes."""
    before = [f"{sha256[:12]} (edition {edition})" for sha256, edition in earlier.get(identity, {}).items()]
    now = [rules[identity][0][:12]] if identity in rules else []
    return ", ".join([*before, *now])


def stored_rules(content: dict) -> dict[str, str]:
    """Claim → SHA-256 of the rule, of the claims for which there was something to judge.

    In edition 1 pairs of passages were claims too: they have no numbers, but say whether they are the `same`.
    """
    return {row["id"]: row["rule_sha256"] for row in content["claims"] if row["components"] or "same" in row}


def rules_in_history(root: Path) -> dict[tuple[str, str], str]:
    """(claim, rule that judged it) → the first commit that held such a result."""
    first: dict[tuple[str, str], str] = {}
    for commit, _, content in claims_in_history(root):
        try:
            rules = stored_rules(content)
        except (KeyError, TypeError):
            continue  # damaged, or a commit before it had this form
        for judged in rules.items():
            first.setdefault(judged, commit)
    return first


def quote_findings(paper: Path) -> Iterator[AuditFinding]:
    """Quotes of the ledger that do not stand in the paper's text at their place.

    Raises:
        ArtifactError: the file is not the text that the ledger is about.
    """
    ledger = load_claims(CLAIMS)
    text = paper.read_text(encoding="utf-8-sig", errors="replace")
    if sha256_bytes(text.encode()) != ledger.paper.sha256:
        raise ArtifactError(f"{paper} is not the text that {CLAIMS} quotes: its SHA-256 is not {ledger.paper.sha256}")
    for identity in check_quotes([*ledger.claims, *ledger.errata], text):
        yield AuditFinding("differs", identity, "a quote does not stand in the paper's text where its locator says")
