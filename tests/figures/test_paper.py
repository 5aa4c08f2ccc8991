"""The values of the paper that figures mark are those of the ledger."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from darkmatter.figures import paper
from darkmatter.figures.paper import CORRELATIONS, Printed

ROOT = Path(__file__).parents[2]
LEDGER = {claim["id"]: claim["paper_value"] for claim in yaml.safe_load((ROOT / "claims.yaml").read_text())["claims"]}

SAME: list[tuple[Printed, Any]] = [
    (paper.NORM_R2, LEDGER["norm-r2-range"]),
    (paper.NORM_R2_MIDDLE, {end: LEDGER["norm-r2-layers"][f"middle_{end}"] for end in ("low", "high")}),
    (paper.VECTOR_R2, LEDGER["vector-r2-range"]),
    (paper.ERROR_SAE_FVU["linear"], LEDGER["error-sae-fvu"]["linear"]),
    (paper.ERROR_SAE_FVU["nonlinear"], LEDGER["error-sae-fvu"]["nonlinear"]),
    (paper.INTERPRETABLE_LEAD, LEDGER["error-sae-interp"]),
    (paper.PURSUIT_DECREASE, LEDGER["pursuit-fvu"]),
    (paper.PARTS_OF_ERROR, LEDGER["parts-sae-error"]),
    (paper.PARTS_OF_NONLINEAR, LEDGER["parts-nonlinear"]),
    (paper.SELF_OF_NONLINEAR, LEDGER["parts-self"]),
    (paper.SHRINKAGE, LEDGER["not-shrinkage-norm"]),
    (paper.COSINE, LEDGER["not-shrinkage-cos"]),
    (paper.SCALING_GAIN, LEDGER["nonlinear-helps-scaling"]),
]


@pytest.mark.parametrize(("printed", "value"), SAME, ids=range(len(SAME)))
def test_a_mark_is_the_ledgers_value(printed: Printed, value: Any) -> None:
    ends = (value["low"], value["high"]) if isinstance(value, dict) else (value, value)
    assert (printed.low, printed.high) == ends
    assert printed.place.startswith(("section ", "appendix "))


def test_every_mark_is_compared() -> None:
    held = [value for value in vars(paper).values() if isinstance(value, Printed)] + [*paper.ERROR_SAE_FVU.values()]
    assert {id(value) for value in held} == {id(printed) for printed, _ in SAME}


def test_correlations_are_those_of_table_1() -> None:
    own = {f"{noise}_{part}": value for noise, parts in CORRELATIONS.items() for part, value in parts.items()}
    assert own == LEDGER["synthetic-table"]
