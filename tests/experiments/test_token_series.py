"""Tokens of Figs. 5 and 12 and the slopes of both parts, against naive loops."""

import numpy as np
import pytest

from darkmatter.experiments.per_token_scaling.token_series import (
    part_estimands,
    part_slopes,
    share_of_tokens,
    token_series,
    token_sums,
)
from darkmatter.regression.splits import ROW_SETS, SPLITS, draw_splits

BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}
CONTEXTS, POSITIONS = 8, 20
SPLIT = draw_splits(CONTEXTS, POSITIONS, 0.6, 4, 0)
SAES = [{"name": f"w{width}", "d_sae": width, "k": 4} for width in (16, 32, 128)]


def tables(linear=-1.0, nonlinear=0.0, scatter=0.0):
    """Squared norms that change by these powers of the width."""
    random = np.random.default_rng(0)
    base = random.gamma(3.0, size=(CONTEXTS, POSITIONS))

    def column(sae, power):
        noise = np.exp(scatter * np.random.default_rng(sae["d_sae"]).standard_normal(base.shape))
        return (base * sae["d_sae"] ** power * noise).astype(np.float32)

    return {
        sae["name"]: {"error": column(sae, 0)}
        | {f"linear/{source}": column(sae, linear) for source in ("token", "context", "all")}
        | {f"nonlinear/{source}": column(sae, nonlinear) for source in ("token", "context", "all")}
        for sae in SAES
    }


def sums(content=None, saes=SAES, shown=POSITIONS):
    return token_sums(saes, content or tables(), SPLIT, shown, np.arange(100, 100 + POSITIONS))


def test_series_are_the_first_tokens_of_one_context():
    result = token_series(SAES, sums(shown=5), 200)
    assert result["positions"] == [200, 201, 202, 203, 204]
    assert result["token_ids"] == [100, 101, 102, 103, 104]
    for sae, series in zip(SAES, result["saes"], strict=True):
        table = tables()[sae["name"]]
        assert series["linear_sq"] == table["linear/token"][0, :5].tolist()
        assert result["mean_nonlinear_sq"][sae["name"]] == pytest.approx(table["nonlinear/token"].mean())
    assert len(token_series(SAES, sums(shown=500), 200)["positions"]) == POSITIONS


@pytest.mark.parametrize("split", SPLITS)
def test_slopes_of_a_power_of_the_width_are_half_of_it(split):
    """The norm is the root of the squared norm: ln ‖·‖ changes by power/2 · ln 2 per doubling."""
    result = part_slopes(SAES, sums(tables(-1.0, 0.25)), split, split, BOOTSTRAP)
    assert result["linear"]["value"] == pytest.approx(-0.5 * np.log(2), abs=1e-6)
    assert result["nonlinear"]["value"] == pytest.approx(0.125 * np.log(2), abs=1e-6)
    assert result["linear"]["rows"] == SPLIT.row_sets()[ROW_SETS.index(split)].sum()


def test_slopes_equal_a_naive_fit_with_one_offset_per_k():
    content = tables(-0.7, 0.1, scatter=0.5)
    saes = [sae | {"k": 4 if sae["d_sae"] < 100 else 8} for sae in SAES]
    held_out = ~SPLIT.token_fit
    y = [0.5 * np.log(content[sae["name"]]["linear/token"][held_out].astype(float).mean()) for sae in saes]
    design = [[np.log2(sae["d_sae"]), sae["k"] == 4, sae["k"] == 8] for sae in saes]
    expected = np.linalg.lstsq(np.array(design, dtype=float), np.array(y), rcond=None)[0][0]
    result = part_slopes(saes, sums(content, saes), "token", "token", BOOTSTRAP)
    assert result["linear"]["value"] == pytest.approx(expected)
    assert result["linear"]["low"] < result["linear"]["value"] < result["linear"]["high"]


def test_share_counts_tokens_whose_linear_part_changes_more():
    assert share_of_tokens(SAES, sums(tables(-1.0, 0.2), shown=6), "token", BOOTSTRAP)["value"] == 1
    assert share_of_tokens(SAES, sums(tables(-0.2, 1.0), shown=6), "token", BOOTSTRAP)["value"] == 0
    content = tables(-0.3, 0.2, scatter=0.6)
    naive = []
    for token in range(15):
        change = [
            abs(np.polyfit(
                [np.log2(sae["d_sae"]) for sae in SAES],
                [0.5 * np.log(content[sae["name"]][f"{part}/token"][0, token]) for sae in SAES],
                1,
            )[0])
            for part in ("linear", "nonlinear")
        ]  # fmt: skip
        naive.append(change[0] > change[1])
    result = share_of_tokens(SAES, sums(content, shown=15), "token", BOOTSTRAP)
    assert result["value"] == pytest.approx(np.mean(naive))
    assert 0 < result["value"] < 1
    assert (result["rows"], result["contexts"]) == (15, 1)


def test_one_width_has_no_slope():
    result = part_slopes(SAES[:1], sums(), "token", "token", BOOTSTRAP)
    assert result["linear"]["value"] is None
    assert result["linear"]["reason"].startswith("one width only")
    assert share_of_tokens(SAES[:1], sums(shown=5), "token", BOOTSTRAP)["reason"].startswith("one width only")


def test_another_seed_moves_the_norms_of_every_sae():
    """Twins whose linear norms differ by a factor on all tokens: the slope's noise follows from its weights."""
    content = tables(-1.0, 0.0, scatter=0.1)
    content["w32-s1"] = {
        name: values * (1.21 if name.startswith("linear") else 1.0) for name, values in content["w32"].items()
    }
    saes = [*SAES, {"name": "w32-s1", "d_sae": 32, "k": 4}]
    every, groups = sums(content, saes), [["w32", "w32-s1"]]
    result = part_estimands(SAES, every, "token", "paper", BOOTSTRAP, groups)["per_token_part_slopes"]
    x = np.log2([sae["d_sae"] for sae in SAES])
    weights = (x - x.mean()) / np.square(x - x.mean()).sum()
    expected = np.log(1.1) / 2**0.5 * np.square(weights).sum() ** 0.5
    assert result["linear"]["of_seed"] == {"deviation": pytest.approx(expected, rel=1e-5), "freedom": 1}
    assert result["nonlinear"]["of_seed"]["deviation"] == pytest.approx(0, abs=1e-7)
    assert result["tokens"]["of_seed"]["deviation"] == 0 and result["tokens"]["value"] == 1  # far from one half
    plain = part_estimands(SAES, every, "token", "paper", BOOTSTRAP)["per_token_part_slopes"]
    assert not any("of_seed" in one for one in plain.values())
    for name, one in plain.items():
        assert one == {key: value for key, value in result[name].items() if key != "of_seed"}


def test_tokens_near_one_half_move_with_the_seed():
    content = tables(-0.5, 0.5, scatter=0.6)
    random = np.random.default_rng(1)
    content["w32-s1"] = {
        name: values * np.exp(0.5 * random.standard_normal(values.shape)).astype(np.float32)
        for name, values in content["w32"].items()
    }
    every = sums(content, [*SAES, {"name": "w32-s1", "d_sae": 32, "k": 4}])
    result = part_estimands(SAES, every, "token", "paper", BOOTSTRAP, [["w32", "w32-s1"]])["per_token_part_slopes"][
        "tokens"
    ]

    def share(moved: int, sign: float) -> float:
        slopes = {}
        for part in ("linear", "nonlinear"):
            norms = np.stack([0.5 * np.log(content[sae["name"]][f"{part}/token"][0].astype(float)) for sae in SAES])
            twins = [0.5 * np.log(content[name][f"{part}/token"][0].astype(float)) for name in ("w32", "w32-s1")]
            norms[moved] += sign * (twins[0] - twins[1]) / 2
            slopes[part] = np.abs(np.polyfit(np.log2([16, 32, 128]), norms, 1)[0])
        return float(np.mean(slopes["linear"] > slopes["nonlinear"]))

    changes = [share(moved, sign) - result["value"] for moved in range(3) for sign in (1, -1)]
    assert result["of_seed"]["deviation"] == pytest.approx(np.square(changes).sum() ** 0.5) and any(changes)
