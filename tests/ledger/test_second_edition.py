"""Estimands that came with the second edition of the rules, against the same numbers by hand."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from fake_results import fake_estimate, fake_results
from fake_sums import FakeRows
from profiles import profile_params
from scipy.stats import norm

from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands import judged_grid, reductions
from darkmatter.ledger.estimands.evidence import BY_DIMENSION, PRIMARY, VARIANTS, Evidence, Missing
from darkmatter.ledger.estimands.gather import manifests
from darkmatter.ledger.estimands.judged_grid import no_denser
from darkmatter.ledger.estimands.quantities import Fixed, Keyed
from darkmatter.ledger.estimands.reductions import ends_of
from darkmatter.ledger.estimands.registry import estimand
from darkmatter.ledger.estimands.stage_seeds import NOT_RUN
from darkmatter.results.density import DENSEST, OF_WIDTHS, Density, beside_the_papers
from darkmatter.results.load import Results
from darkmatter.statistics.seed_noise import NO_SEEDS
from darkmatter.statistics.variance_model import Term, interval, of_interval
from darkmatter.storage.artifacts import write_arrays

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = {"resamples": 40, "level": 0.9, "seed": 3}
PARAMS = profile_params("smoke")
EXPLAINED = "components_explain_nonlinear"


@pytest.fixture(scope="module")
def results():
    return fake_results(PARAMS)


@pytest.fixture(scope="module")
def rows(results):
    return FakeRows(results)


@pytest.fixture(scope="module")
def evidence(rows, results, tmp_path_factory):
    return rows.evidence(PARAMS, results, tmp_path_factory.mktemp("sums"))


def value(quantity) -> float:
    return quantity.at(BOOTSTRAP, 1)["value"]


def densest(monkeypatch, k: float) -> None:
    """As if the densest SAE of the paper had `k` latents active in a model of this width."""
    monkeypatch.setattr(judged_grid, "DENSEST", Density(k, 576))


def test_the_papers_densities_are_those_of_the_published_lists():
    lists = manifests(lambda path: path)
    maps = [sae for own in lists.values() for sae in own["saes"] if {"fig2", "figA"} & set(sae["roles"])]
    assert max(maps, key=lambda sae: sae["nominal_l0"] / sae["d_model"])["hookpoint"] == "resid_post.12"
    assert max(sae["nominal_l0"] / sae["d_model"] for sae in maps) == DENSEST.share
    assert {sae["d_model"] for sae in lists["gemma-2-9b"]["saes"] if "fig2" in sae["roles"]} == {OF_WIDTHS.d_model}


def test_denser_saes_are_not_judged_but_equally_dense_ones_are(evidence, monkeypatch):
    points = evidence.main_grid()
    k = sorted({point.sae["k"] for point in points})
    assert len(k) > 1
    for bound, kept in ((k[-1], k), (k[0], k[:1])):
        densest(monkeypatch, bound)
        assert sorted({point.sae["k"] for point in no_denser(evidence, points)}) == kept
    densest(monkeypatch, 0.1)
    with pytest.raises(Missing, match="denser than the paper's densest"):
        no_denser(evidence, points)


@pytest.mark.parametrize("name", ["norm_r2_slopes", "opposite_l0_slopes"])
def test_slopes_of_the_judged_grid_are_those_of_its_saes(evidence, monkeypatch, name):
    before = estimand(name)(evidence, PRIMARY)
    everything = estimand(f"{name}_of_sparse")(evidence, PRIMARY)
    assert {key: value(result) for key, result in everything.items()} == {
        key: value(one) for key, one in before.items()
    }
    densest(monkeypatch, min(point.sae["k"] for point in evidence.all_grids()))
    fewer = estimand(f"{name}_of_sparse")(evidence, PRIMARY)
    along_l0 = fewer["l0" if "l0" in fewer else "norm"].at(BOOTSTRAP, 1)
    assert along_l0["value"] is None and "no two SAEs of one width" in along_l0["reason"]


def test_a_caption_says_how_dense_the_saes_are():
    saes = [{"k": k, "l0": float(k)} for k in (16, 32, 32, 64)]
    text = beside_the_papers(saes, 576)
    assert "L0 near 32 of 576 dimensions (5.6 %), the paper's widths 60 of 3,584 dimensions (1.7 %)" in text
    assert "64 of 576 dimensions (11.1 %), the paper's 445 of 2,304 dimensions (19.3 %)" in text and "drawn" not in text
    denser = beside_the_papers([*saes, {"k": None, "l0": 127.8}], 576)
    assert "Those with L0 = 128 are denser than any of the paper's" in denser and "drawn and left out of it" in denser


def test_the_norm_is_set_against_the_vector_of_each_sae(rows, evidence):
    result = estimand("norm_r2_minus_vector_r2")(evidence, PRIMARY)["lead"]
    assert [item.key["sae"] for item in result] == [point.path for point in evidence.all_grids()]
    for item in result[:3]:
        norm_r2, vector_r2 = (
            rows.number(item.key["sae"], metric, "token", "paper") for metric in ("norm_test:error", "vector_r2")
        )
        assert value(item.quantity) == pytest.approx(norm_r2 - vector_r2)


def test_x_has_one_score_for_each_hookpoint(rows, evidence):
    result = estimand("norm_test_of_x")(evidence, PRIMARY)["x"]
    hookpoints = list(dict.fromkeys(point.hookpoint for point in evidence.residual_saes()))
    assert [item.key["layer"] for item in result] == hookpoints
    for item in result:
        first = next(point for point in evidence.residual_saes() if point.hookpoint == item.key["layer"])
        assert value(item.quantity) == pytest.approx(rows.number(first.path, "norm_test:x", "token", "paper"))


def test_leads_are_means_over_the_saes_of_a_hookpoint(rows, evidence):
    result = estimand("norm_test_leads")(evidence, PRIMARY)
    for other in ("nonlinear", "error"):
        for item in result[f"linear_minus_{other}"]:
            own = [point.path for point in evidence.residual_saes() if point.hookpoint == item.key["layer"]]
            leads = [
                rows.number(path, "norm_test:linear", "token", "paper")
                - rows.number(path, f"norm_test:{other}", "token", "paper")
                for path in own
            ]
            assert value(item.quantity) == pytest.approx(np.mean(leads))
    assert "linear_minus_nonlinear_cross_fit" in result
    assert "linear_minus_nonlinear_cross_fit" not in estimand("norm_test_leads")(evidence, VARIANTS[1])


@pytest.mark.parametrize("variant", [PRIMARY, BY_DIMENSION], ids=str)
def test_slopes_of_the_breakdown(rows, evidence, variant):
    result = estimand("breakdown_slopes")(evidence, variant)
    suffix = "_per_dim" if variant == BY_DIMENSION else ""
    widths = PARAMS.saes.groups["widths"].d_sae
    paths = [f"resid_post.1/widths-{width}-k4-s0" for width in widths]
    fvu, nonlinear = (
        np.array([rows.number(path, f"{name}{suffix}", "token", "paper") for path in paths])
        for name in ("fvu", "fvu_nonlinear")
    )
    for name, parts in (("linear", fvu - nonlinear), ("nonlinear", nonlinear)):
        assert value(result[name]) == pytest.approx(np.polyfit(np.log2(widths), np.log(parts), 1)[0])


def test_appendix_layers_together_and_apart(rows, evidence):
    """One slope with an offset for each layer and L0, and each layer's own."""
    result = estimand("fvu_nonlinear_width_slope_of_layers")(evidence, PRIMARY)
    grids = evidence.appendix_grids()
    assert [item.key["layer"] for item in result["layer"]] == list(grids) and len(grids) > 1

    def by_hand(points):
        group = [(point.hookpoint, point.sae["k"]) for point in points]
        design = [[np.log2(point.sae["d_sae"]), *(one == other for other in dict.fromkeys(group))]
                  for point, one in zip(points, group, strict=True)]  # fmt: skip
        y = [np.log(rows.number(point.path, "fvu_nonlinear", "token", "paper")) for point in points]
        return np.linalg.lstsq(np.array(design, dtype=float), y, rcond=None)[0][0]

    over_contexts = lambda quantity: value(dataclasses.replace(quantity, over_saes=None))  # noqa: E731
    together = [point for points in grids.values() for point in points]
    assert over_contexts(result["slope"]) == pytest.approx(by_hand(together))
    for item in result["layer"]:
        assert over_contexts(item.quantity) == pytest.approx(by_hand(grids[item.key["layer"]]))


def both(components: list[float], change: float, sae: str = "a", half: float = 0.01) -> dict:
    explained = [fake_estimate(r2, half) | {"regressor": f"part {n}", "level": 0.95} for n, r2 in enumerate(components)]
    changes = [
        fake_estimate(number, half) | {"sae": name, "level": 0.95} for name, number in (("other", -0.9), (sae, change))
    ]
    return {
        "components": {"sae": "resid_post.1/a", "estimands": {EXPLAINED: {"r2": explained}}},
        "pursuit": {"estimands": {"pursuit_nonlinear_change": {"change": changes}}},
    }


def of_reductions(evidence, **experiments):
    results = Results(evidence.results.decomposition, experiments)
    return estimand("reduction_lead")(dataclasses.replace(evidence, results=results), PRIMARY)


def test_the_lead_of_earlier_components_is_that_of_the_best_on_the_same_sae(evidence):
    result = of_reductions(evidence, **both([0.04, 0.14], -0.05))["lead"].at({"level": 0.95}, 1)
    assert result["value"] == pytest.approx(0.14 - 0.05)
    wider = norm.ppf(1 - 0.05 / 6) / norm.ppf(0.975)  # three numbers hold together
    assert result["high"] - result["value"] == pytest.approx(2 * wider * 0.01)
    assert result["value"] - result["low"] == pytest.approx(2 * wider * 0.01)
    assert result["level"] == 0.95
    apart = of_reductions(evidence, **both([0.14, 0.139], 0, half=0.0))["lead"].at({"level": 0.95}, 1)
    assert (apart["low"], apart["value"], apart["high"]) == pytest.approx((0.14, 0.14, 0.14))


def of_one_measure(evidence, variant, **experiments):
    results = Results(evidence.results.decomposition, experiments)
    return estimand("reduction_lead_of_one_measure")(dataclasses.replace(evidence, results=results), variant)


def test_the_lead_of_one_measure_subtracts_pooled_from_pooled(evidence):
    experiments = both([0.04, 0.14], -0.1)
    pooled = [one | {"value": one["value"] / 2} for one in experiments["components"]["estimands"][EXPLAINED]["r2"]]
    experiments["components"]["estimands"][f"{EXPLAINED}_pooled"] = {"r2": pooled}
    result = of_one_measure(evidence, PRIMARY, **experiments)
    assert value(result["lead"]) == pytest.approx(0.07 - 0.1) and value(result["pursuit"]) == pytest.approx(-0.1)
    assert [value(item.quantity) for item in result["components"]] == pytest.approx([0.02, 0.07])
    assert value(of_reductions(evidence, **experiments)["lead"]) == pytest.approx(0.14 - 0.1)  # of unlike measures
    with pytest.raises(Missing, match="no results of pursuit"):
        of_one_measure(evidence, BY_DIMENSION, **experiments)


def test_the_lead_holds_the_seed_where_both_experiments_know_it(evidence):
    def lead(of_components: dict, of_pursuit: dict) -> dict:
        experiments = both([0.04, 0.14], -0.05)
        explained = experiments["components"]["estimands"].pop(EXPLAINED)["r2"]
        experiments["components"]["estimands"][f"{EXPLAINED}_pooled"] = {
            "r2": [one | of_components for one in explained]
        }
        for change in experiments["pursuit"]["estimands"]["pursuit_nonlinear_change"]["change"]:
            change |= of_pursuit
        results = Results(evidence.results.decomposition, experiments)
        made = estimand("reduction_lead_of_one_measure_with_seed")(
            dataclasses.replace(evidence, results=results), PRIMARY
        )
        return made["lead"].at({"level": 0.95}, 1)

    known = {"of_seed": {"deviation": 0.02, "freedom": 3}}
    neither, one, two = lead({}, {}), lead(known, {}), lead(known, known)
    assert (neither["resampled"], one["resampled"], two["resampled"]) == ("context", "context", "context, seed")
    assert neither["absent"]["seed"] == one["absent"]["seed"] == NOT_RUN and "absent" not in two
    assert two["low"] < one["low"] < neither["low"] and neither["value"] == two["value"]


def test_the_seed_of_the_lead_is_that_of_the_same_saes(evidence, tmp_path):
    """On the other SAE of the pair both shares are a tenth smaller: the lead moves by the difference of the falls."""
    experiments = both([0.04, 0.14], -0.1, sae="widths-64-k4-s0")
    experiments["components"]["sae"] = "resid_post.1/widths-64-k4-s0"
    explained = experiments["components"]["estimands"][EXPLAINED]["r2"]
    experiments["components"]["estimands"][f"{EXPLAINED}_pooled"] = {"r2": explained}
    twin = fake_estimate(-0.09) | {"sae": "seeds-64-k4-s1", "level": 0.95}
    experiments["pursuit"]["estimands"]["pursuit_nonlinear_change"]["change"].append(twin)
    sums = {
        f"{place}{parent}/pooled/token/paper": np.full((2, 1), 1 - factor * r2)
        for place, factor in (("", 1), ("further/seeds-64-k4-s1/", 0.9))
        for parent, r2 in zip(PARAMS.components.parents, (0.04, 0.14, 0.02), strict=True)
    }
    write_arrays(tmp_path / "components_sums.npz", sums)
    results = Results(evidence.results.decomposition, experiments)
    known = dataclasses.replace(evidence, results=results, components_sums=tmp_path / "components_sums.npz", opened={})

    def lead(of: Evidence) -> dict:
        return estimand("reduction_lead_of_same_saes")(of, PRIMARY)["lead"].at({"level": 0.95}, 1)

    result, alone = lead(known), lead(dataclasses.replace(known, components_sums=None))
    assert result["value"] == alone["value"] == pytest.approx(0.04)
    term = Term("seed", *2 * [abs((0.14 - 0.1) - (0.126 - 0.09)) / 2**0.5], 1)
    contexts = of_interval("context", 0.04, (alone["low"], alone["high"]), 100, 0.95)
    assert (result["low"], result["high"]) == pytest.approx(interval(0.04, [contexts, term], 0.95))
    assert result["resampled"] == "context, seed" and "seed" not in result.get("absent", {})
    assert alone["absent"]["seed"] == NOT_RUN and alone["resampled"] == "context"
    del experiments["pursuit"]["estimands"]["pursuit_nonlinear_change"]["change"][-1]
    assert lead(dataclasses.replace(known, opened={}))["absent"]["seed"] == NO_SEEDS


def test_the_lead_by_dimension_has_the_mean_of_each_dimension_on_both_sides(evidence, monkeypatch):
    change = [Keyed({"sae": "a"}, Fixed(fake_estimate(-0.3), 0.95))]
    monkeypatch.setattr(reductions, "pursuit_takes_away", lambda evidence, seed: {"change": change})
    result = of_one_measure(evidence, BY_DIMENSION, **both([0.04, 0.14], -0.1))
    assert value(result["lead"]) == pytest.approx(0.14 - 0.3)


def test_another_sae_or_no_number_gives_no_lead(evidence):
    with pytest.raises(Missing, match="gradient pursuit has no number of a"):
        of_reductions(evidence, **both([0.1], -0.05, sae="b"))
    with pytest.raises(Missing, match="no results of pursuit"):
        of_reductions(evidence, components=both([0.1], -0.05)["components"])
    experiments = both([0.1], -0.05)
    experiments["pursuit"]["estimands"]["pursuit_nonlinear_change"]["change"][1] |= {"value": None, "reason": "died"}
    assert of_reductions(evidence, **experiments)["lead"].at({"level": 0.95}, 1)["reason"] == "died"


def test_an_interval_of_a_normal_number_keeps_its_meaning_at_another_level():
    ends = {"value": 1.0, "level": 0.9, "low": 1 - norm.ppf(0.95), "high": 1 + 2 * norm.ppf(0.95)}
    assert ends_of(Fixed(ends, 0.9), ends, 0.99) == pytest.approx((1.0, 1 - norm.ppf(0.995), 1 + 2 * norm.ppf(0.995)))


def test_the_page_of_what_is_not_judged_names_rows_that_exist():
    page = (ROOT / "docs" / "not-judged.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([a-z0-9-]+)`", page) if "-" in name}
    assert named <= {claim.id for claim in load_claims(ROOT / "claims.yaml").claims} and len(named) > 15
