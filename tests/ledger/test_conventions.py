"""A claim that lists a convention is computed under both sides of it, or says why not: the whole ledger."""

from pathlib import Path

import pytest

from darkmatter.ledger.claims import Claim, load_claims
from darkmatter.ledger.estimands.evidence import OF_CONVENTION, PRIMARY, VARIANTS, Variant
from darkmatter.storage.artifacts import read_json

ROOT = Path(__file__).resolve().parents[2]
LEDGER = load_claims(ROOT / "claims.yaml")
CLAIMS = {claim.id: claim for claim in LEDGER.claims}
ROWS = {row["id"]: row for row in read_json(ROOT / "reports" / "smollm2" / "claims.json")["claims"]}
BY_NAME = {str(variant): variant for variant in (*VARIANTS, *OF_CONVENTION.values())}


def other_side(claim: Claim, convention: str) -> list[Variant]:
    """The variants of the committed run that differ from the primary one in what the convention varies."""
    varies = LEDGER.conventions[convention].varies
    variants = [BY_NAME[name] for name in ROWS[claim.id]["variants"]]
    return [variant for variant in variants if getattr(variant, varies) != getattr(PRIMARY, varies)]


@pytest.mark.parametrize(
    ("claim", "convention"), [(claim, name) for claim in CLAIMS for name in CLAIMS[claim].conventions]
)
def test_both_sides_or_a_reason(claim, convention):
    """A claim that is not judged at all, for a reason that it states, has neither side."""
    reason = CLAIMS[claim].not_computed.get(convention)
    if not ROWS[claim]["components"]:
        reason = reason or ROWS[claim]["reason"]
    assert reason or other_side(CLAIMS[claim], convention)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_reason_stands_only_where_there_is_no_other_side(claim):
    for convention in CLAIMS[claim].not_computed:
        if LEDGER.conventions[convention].varies == "fvu":
            assert not other_side(CLAIMS[claim], convention)


def test_every_claim_that_judges_fvu_lists_how_it_goes_over_dimensions():
    judging = {name for name, claim in CLAIMS.items() if "fvu" in claim.estimand.computes.lower()}
    assert judging <= {name for name, claim in CLAIMS.items() if "fvu" in claim.conventions} and len(judging) > 8
