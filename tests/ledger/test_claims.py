import hashlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.ledger.claims import EXACT_KINDS, Claim, ClaimsError, Ledger, check_quotes, load_claims, rule_sha256

SOURCE = "Abstract. Errors are ‖x‖ large.\nThey fall with 𝐱 width, always. Yet elsewhere they rise with width.\n"
REPOSITORY = Path(__file__).resolve().parents[2]


def passage(quote: str, section: str = "1") -> dict:
    locator = {
        "offset": SOURCE.index(quote),
        "length": len(quote),
        "sha256": hashlib.sha256(quote.encode()).hexdigest(),
    }
    return {"section": section, "quote": quote, "locator": locator}


def trend() -> dict:
    return passage("They fall with 𝐱 width") | {
        "id": "errors-fall",
        "kind": "trend",
        "paper_value": {"width": "down"},
        "estimand": {"name": "slope", "computes": "the slope", "results": ["results/a.json"]},
        "scope": {"models": {"gemma-2-2b": ["resid_post.12"]}, "saes": "all"},
        "rule": {
            "test": "inside",
            "level": 0.95,
            "resample": ["context"],
            "real": {"slope": {"high": 0}},
            "analogue": {"slope": {"high": 0}},
        },
        "why": "a sign",
        "experiment": "decomposition",
        "conventions": ["fvu"],
    }


def contradiction() -> dict:
    return passage("They fall with 𝐱 width") | {
        "id": "text-direction",
        "against": passage("they rise with width"),
        "says": {"here": "fall", "there": "rise"},
        "why": "one sentence contradicts the other",
    }


def ledger(*rows: dict) -> dict:
    """Of claims and errata."""
    claims, errata = ([row for row in rows if ("says" in row) == text] for text in (False, True))
    outcomes = {"agrees": "a", "disagrees": "b", "inconclusive": "c"}
    return {
        "paper": {"title": "T", "sha256": hashlib.sha256(SOURCE.encode()).hexdigest(), "characters": len(SOURCE)},
        "editions": [{"number": 1, "date": "2026-01-01", "why": "the first"}],
        "tested": len(claims),
        "tests": {"inside": outcomes, "same": outcomes},
        "conventions": {
            "fvu": {"paper": "one", "authors": "other", "varies": "fvu"},
            "solver": {"paper": "one", "authors": "other", "not_computed": "no number follows"},
        },
        "claims": claims,
        "errata": errata,
    }


def write(folder: Path, content: dict) -> Path:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def load(folder: Path, *claims: dict) -> Ledger:
    return load_claims(write(folder, ledger(*claims)))


def refused(path: Path) -> str:
    with pytest.raises(ClaimsError) as error:
        load_claims(path)
    return str(error.value)


def line_with(path: Path, text: str, last: bool = False) -> int:
    lines = [number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return lines[-1 if last else 0]


def test_a_good_ledger_loads_and_its_quotes_are_found(tmp_path):
    result = load(tmp_path, trend(), contradiction())
    claims = [*result.claims, *result.errata]
    assert [claim.id for claim in claims] == ["errors-fall", "text-direction"]
    assert claims[0].rule.real["slope"].high == 0
    assert check_quotes(claims, SOURCE) == []


def test_a_changed_quote_or_source_is_found(tmp_path):
    result = load(tmp_path, trend(), contradiction())
    claims = [*result.claims, *result.errata]
    assert check_quotes(claims, SOURCE.replace("they rise", "they rose")) == ["text-direction"]
    assert check_quotes(claims, " " + SOURCE) == ["errors-fall", "text-direction"]
    altered = claims[0].model_copy(update={"quote": claims[0].quote.replace("fall", "fail")})
    assert check_quotes([altered], SOURCE) == ["errors-fall"]


def test_a_quote_edited_together_with_the_source_still_fails_its_hash(tmp_path):
    claim = load(tmp_path, trend()).claims[0]
    altered = claim.model_copy(update={"quote": claim.quote.replace("fall", "fail")})
    assert check_quotes([altered], SOURCE.replace("They fall", "They fail")) == ["errors-fall"]


def test_a_quote_changed_in_the_file_is_refused_where_it_stands(tmp_path):
    path = write(tmp_path, ledger(contradiction(), trend()))
    path.write_text(path.read_text().replace("quote: they rise", "quote: they rose"))
    message = refused(path)
    assert "length and sha256" in message
    assert f"claims.yaml:{line_with(path, 'against:')}:" in message


@pytest.mark.parametrize(
    ("place", "key"), [((), "verdict"), (("rule",), "tolerance"), (("locator",), "page"), (("scope",), "layers")]
)
def test_unknown_keys_are_refused_with_their_line(tmp_path, place, key):
    claim = trend()
    target = claim
    for part in place:
        target = target[part]
    target[key] = 1
    path = write(tmp_path, ledger(contradiction(), claim))
    message = refused(path)
    assert "unknown key" in message
    assert f"claims.yaml:{line_with(path, f'{key}: 1')}:" in message


def test_a_duplicate_id_is_refused_at_the_second_one(tmp_path):
    path = write(tmp_path, ledger(trend(), contradiction(), trend()))
    assert f"claims.yaml:{line_with(path, 'id: errors-fall', last=True)}: id 'errors-fall' is used twice" in refused(
        path
    )


def test_a_repeated_key_is_refused(tmp_path):
    path = write(tmp_path, ledger(trend()))
    path.write_text(path.read_text().replace("  why: a sign\n", "  why: a sign\n  why: another\n"))
    assert f"claims.yaml:{line_with(path, 'why: another')}: key 'why' stands twice" in refused(path)


def test_a_missing_key_names_its_claim(tmp_path):
    claim = trend()
    del claim["rule"]
    path = write(tmp_path, ledger(trend() | {"id": "first"}, claim))
    assert f"claims.yaml:{line_with(path, '- section', last=True)}: claims.1.rule: Field required" in refused(path)


def change(claim: dict, **changes: object) -> dict:
    return claim | changes


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        (change(trend(), conventions=["fvv"]), "unknown convention 'fvv'"),
        (change(trend(), not_computed={"fvv": "why"}), "'fvv' is not one of its conventions"),
        (change(trend(), conventions=["solver"], not_computed={"solver": "why"}), "has its reason under `conventions`"),
        (change(trend(), kind="guess"), "kind"),
        (change(trend(), kind="scalar", rule=trend()["rule"] | {"analogue": {"slope": {"low": 0.4}}}), "but its sign"),
        (change(trend(), kind="analytic"), "needs no model"),
        (change(trend(), rule={"test": "inside", "real": {"slope": {"high": 0}}}), "its rule needs"),
        (change(trend(), rule=trend()["rule"] | {"real": {}}), "needs regions"),
        (change(trend(), rule=trend()["rule"] | {"real": {"slope": {}}}), "needs `low`, `high`"),
        (change(trend(), rule=trend()["rule"] | {"real": {"slope": {"low": 1, "high": 0}}}), "exceeds"),
        (change(trend(), rule=trend()["rule"] | {"resample": []}), "belong together"),
        (change(trend(), rule={"test": "same", "otherwise": "paper-inconsistent"}), "are an erratum, no claim"),
        (change(contradiction(), against=None), "errata.0.against"),
        (change(contradiction(), says={"here": "fall"}), "errata.0.says.there"),
        (change(contradiction(), says={"here": "fall", "there": "fall"}), "say the same"),
        (change(contradiction(), rule=trend()["rule"]), "unknown key"),
        (change(trend(), id="Errors_Fall"), "id"),
    ],
)
def test_what_a_claim_may_not_say(tmp_path, claim, complaint):
    assert complaint in refused(write(tmp_path, ledger(claim)))


@pytest.mark.parametrize("switch", [{}, {"varies": "fvu", "not_computed": "why"}])
def test_a_convention_has_another_side_or_a_reason(tmp_path, switch):
    content = ledger(trend())
    content["conventions"]["fvu"] = {"paper": "one", "authors": "other"} | switch
    assert "either `varies` or the reason" in refused(write(tmp_path, content))


def test_reasons_of_all_claims_stand_with_each(tmp_path):
    claim = load(tmp_path, change(trend(), conventions=["fvu", "solver"], not_computed={"fvu": "own reason"})).claims[0]
    assert claim.not_computed == {"solver": "no number follows", "fvu": "own reason"}
    assert rule_sha256(claim) == rule_sha256(load(tmp_path, trend()).claims[0])


def test_the_number_of_claims_is_stated_and_true(tmp_path):
    path = write(tmp_path, ledger(trend()) | {"tested": 7})
    assert f"claims.yaml:{line_with(path, 'tested: 7')}: tested: 7, but 1" in refused(path)


@pytest.mark.parametrize("content", ["claims: [", "", "- 1", "\x00"])
def test_what_is_no_ledger_is_refused(tmp_path, content):
    path = tmp_path / "claims.yaml"
    path.write_text(content)
    assert "claims.yaml" in refused(path)


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in refused(tmp_path / "claims.yaml")


def test_rule_hash_ignores_order_and_spelling_and_sees_every_change(tmp_path):
    claim = load(tmp_path, trend()).claims[0]
    reordered = trend() | {"rule": dict(reversed(trend()["rule"].items())), "why": "worded otherwise"}
    reordered["rule"]["real"] = {"slope": {"high": 0.0, "low": None}}
    assert rule_sha256(Claim.model_validate(reordered)) == rule_sha256(claim)
    for other in (
        {"level": 0.9},
        {"resample": ["sae"]},
        {"real": {"slope": {"high": 0.001}}},
        {"analogue": None},
        {"otherwise": "paper-inconsistent"},
    ):
        changed = Claim.model_validate(trend() | {"rule": trend()["rule"] | other})
        assert rule_sha256(changed) != rule_sha256(claim), other
    for key, same in (("name", False), ("computes", True)):
        worded = Claim.model_validate(trend() | {"estimand": trend()["estimand"] | {key: "another_one"}})
        assert (rule_sha256(worded) == rule_sha256(claim)) == same


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_rule_hash_is_equal_only_for_equal_bounds(first, second):
    def hashed(bound: float) -> str:
        rule = trend()["rule"] | {"real": {"slope": {"high": bound}}}
        return rule_sha256(Claim.model_validate(trend() | {"rule": rule}))

    if first != second:
        assert hashed(first) != hashed(second)
    else:
        assert hashed(first + 0.0) == hashed(second + 0.0)


def test_the_ledger_of_this_repository():
    content = load_claims(REPOSITORY / "claims.yaml")
    claims = content.claims
    assert len(claims) == content.tested >= 33
    assert all(
        passage.locator.offset + passage.locator.length <= content.paper.characters
        for c in claims
        for passage in c.passages
    )
    assert all(claim.rule.analogue for claim in claims if claim.kind not in EXACT_KINDS)
    named = {claim.estimand.name: claim.estimand for claim in claims}
    assert all(named[claim.estimand.name] == claim.estimand for claim in claims)  # one name, one meaning
