"""A rule that changes comes with an edition and keeps the one before; any other change is found."""

import copy
from pathlib import Path

import pytest
import toy
import yaml
from test_claims import change, contradiction, ledger, load, refused, trend, write

from darkmatter.audit.rules import rule_findings
from darkmatter.ledger.claims import CLAIMS, earlier_hashes, load_claims, rule_sha256
from darkmatter.ledger.rules import sha256_of
from darkmatter.report.editions import editions_content
from darkmatter.storage.artifacts import read_json, write_json
from darkmatter.storage.paths import reports_of

RESULTS = reports_of("smoke").claims
OLD = trend()["rule"]
NEW = OLD | {"analogue": {"slope": {"high": -0.01}}}
EDITIONS = [
    {"number": 1, "date": "2026-01-01", "why": "the first"},
    {"number": 2, "date": "2026-02-01", "why": "nobody could fail it"},
    {"number": 3, "date": "2026-03-01", "why": "more"},
]


def before(edition: int = 1, rule: dict = OLD, **more) -> dict:
    return {"edition": edition, "rule": rule, "why": "a reason", **more}


def changed(**more) -> dict:
    """The claim with a rule of edition 2."""
    return change(trend(), rule=NEW, edition=2, earlier=[before()]) | more


def with_editions(*rows: dict, count: int = 3) -> dict:
    return ledger(*rows) | {"editions": EDITIONS[:count]}


def test_the_rule_before_stays_with_its_hash_and_reason(tmp_path):
    old = load(tmp_path, trend()).claims[0]
    result = load_claims(write(tmp_path, with_editions(changed())))
    (claim,) = result.claims
    assert next(iter(earlier_hashes(claim))) == rule_sha256(old) != rule_sha256(claim)
    assert earlier_hashes(claim) == dict.fromkeys((rule_sha256(old), sha256_of(old.rule, None)), 1)
    assert claim.as_of(claim.earlier[0]).rule == old.rule
    assert claim.as_of(claim.earlier[0]).estimand == claim.estimand
    assert [edition["changed"] for edition in editions_content(result)] == [[], ["errors-fall"], []]
    assert [edition["brought"] for edition in editions_content(result)] == [[], [], []]
    new = load_claims(write(tmp_path, with_editions(change(trend(), edition=2))))
    assert [edition["brought"] for edition in editions_content(new)] == [[], ["errors-fall"], []]
    assert [edition["changed"] for edition in editions_content(load(tmp_path, trend()))] == [[]]


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        (changed(edition=4), "there is no edition 4"),
        (changed(edition=1), "a rule of edition 1 is no earlier one beside that of edition 1"),
        (
            changed(earlier=[before(2), before(1, NEW)]),
            "a rule of edition 2 is no earlier one beside that of edition 1",
        ),
        (changed(earlier=[before(rule=NEW)]), "the rule that follows is the same"),
        (changed(earlier=[before() | {"why": ""}]), "why"),
        (change(contradiction(), earlier=[before(3)]), "no earlier one beside that of edition 3"),
    ],
)
def test_what_an_edition_may_not_say(tmp_path, claim, complaint):
    assert complaint in refused(write(tmp_path, with_editions(claim)))


@pytest.mark.parametrize(
    "claim",
    [
        changed(),
        changed(edition=3),
        change(trend(), edition=2),  # new in that edition
        change(trend(), edition=3, earlier=[before(1), before(2, NEW)]),
        changed(rule=OLD, earlier=[before(estimand=trend()["estimand"] | {"name": "other_slope"})]),
        change(contradiction(), earlier=[before(rule={"test": "same", "otherwise": "paper-inconsistent"})]),
    ],
)
def test_what_an_edition_may_say(tmp_path, claim):
    load_claims(write(tmp_path, with_editions(claim)))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda editions: editions.pop(1), "edition 3 stands where edition 2 belongs"),
        (lambda editions: editions[1].update(date="2025-12-31"), "edition 2 is dated before edition 1"),
        (lambda editions: editions[0].update(date="some day"), "editions.0.date"),
        (lambda editions: editions.clear(), "editions"),
    ],
)
def test_editions_are_numbered_and_dated(tmp_path, change, complaint):
    content = copy.deepcopy(with_editions(trend()))
    change(content["editions"])
    assert complaint in refused(write(tmp_path, content))


class Repository:
    """A repository with a ledger and results, in which rules are changed and everything runs again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        toy.git(root, "init", "-q")

    def run(self, *rows: dict, judge_again: bool = True) -> None:
        """Write the ledger, judge by it, commit both."""
        write(self.root, with_editions(*rows))
        if judge_again:
            claims = load_claims(self.root / CLAIMS).claims
            judged = [{"id": one.id, "rule_sha256": rule_sha256(one), "components": {"slope": [1]}} for one in claims]
            write_json(self.root / RESULTS, {"claims": judged})
        self.commit()

    def commit(self) -> None:
        toy.git(self.root, "add", "--force", "claims.yaml", RESULTS.as_posix())
        toy.git(self.root, "commit", "-q", "-m", "results")

    def findings(self) -> list[tuple[str, str]]:
        return [(finding.kind, finding.path) for finding in rule_findings(self.root, "smoke")]


@pytest.fixture
def repository(tmp_path) -> Repository:
    repository = Repository(tmp_path)
    repository.run(trend())
    assert repository.findings() == []
    return repository


SILENT = [("rule-changed", "errors-fall")]


def test_a_rule_changed_by_an_edition_is_no_finding(repository):
    repository.run(changed(), judge_again=False)
    assert repository.findings() == [("stale", "errors-fall")]  # results of the rule before
    repository.run(changed())
    assert repository.findings() == []
    third = OLD | {"analogue": {"slope": {"high": -0.02}}}
    repository.run(change(trend(), rule=third, edition=3, earlier=[before(1), before(2, NEW)]))
    assert repository.findings() == []


@pytest.mark.parametrize(
    "claim",
    [
        change(trend(), rule=NEW),  # silently
        change(trend(), rule=NEW, edition=2),  # with an edition that keeps nothing
        changed(earlier=[before(rule=OLD | {"level": 0.9})]),  # with one that keeps another rule
        change(trend(), estimand=trend()["estimand"] | {"name": "other_slope"}),  # the same region of another number
    ],
    ids=["silent", "not kept", "kept otherwise", "another estimand"],
)
def test_any_other_change_is_found(repository, claim):
    repository.run(claim)
    assert repository.findings() == SILENT
    repository.run(changed())
    assert repository.findings() == (SILENT if claim["rule"] != NEW else [])


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        (trend(), []),
        (changed(edition=3), [("stale", "errors-fall")]),  # the rule before judged it
        (change(trend(), edition=3), SILENT),  # of this edition on, the hash covers the estimand
    ],
)
def test_results_of_before_edition_3_have_the_hash_of_the_rule_alone(repository, claim, kind):
    old = load_claims(repository.root / CLAIMS).claims[0]
    row = {"id": old.id, "rule_sha256": sha256_of(old.rule, None), "components": {"slope": [1]}}
    write_json(repository.root / RESULTS, {"claims": [row]})
    write(repository.root, with_editions(claim))
    assert [one for one in repository.findings() if one in kind] == kind[:1]
    assert not kind or kind == SILENT or SILENT[0] not in repository.findings()


def test_a_rule_may_not_change_within_its_edition(repository):
    repository.run(changed())
    repository.run(changed(rule=OLD | {"analogue": {"slope": {"high": -0.03}}}))
    assert repository.findings() == SILENT


def test_a_rule_before_may_not_change_later(repository):
    repository.run(changed())
    repository.run(changed(earlier=[before(rule=OLD | {"level": 0.9})]))
    assert repository.findings() == SILENT


@pytest.mark.parametrize(("kept", "kind"), [(True, None), (False, "rule-changed")])
def test_a_claim_that_becomes_an_erratum_keeps_its_rule(repository, kept, kind):
    """As the pairs of passages of edition 1 did: their rows had no numbers, but said whether the two are the same."""
    same = {"test": "same", "otherwise": "paper-inconsistent"}
    rule = load_claims(write(repository.root, with_editions(change(contradiction(), earlier=[before(rule=same)]))))
    sha256 = sha256_of(rule.errata[0].earlier[0].rule, None)
    content = read_json(repository.root / RESULTS)
    row = {"id": "text-direction", "rule_sha256": sha256, "components": {}, "same": False}
    write_json(repository.root / RESULTS, {"claims": [*content["claims"], row]})
    write(repository.root, with_editions(trend()))
    repository.commit()
    repository.run(trend(), change(contradiction(), earlier=[before(rule=same)] if kept else []))
    assert repository.findings() == ([(kind, "text-direction")] if kind else [])


def test_the_editions_of_this_repository():
    root = Path(__file__).resolve().parents[2]
    result = load_claims(root / CLAIMS)
    text = yaml.safe_load((root / CLAIMS).read_text(encoding="utf-8"))
    assert [edition.number for edition in result.editions] == list(range(1, len(text["editions"]) + 1))
    assert all(row.earlier for row in result.errata)
    assert not [finding for finding in rule_findings(root, "smollm2") if finding.kind == "rule-changed"]
