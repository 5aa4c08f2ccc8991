"""Estimands against the same numbers computed row by row, contexts and SAEs resampled one draw at a time."""

import ast
import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from fake_results import fake_results
from fake_sums import CONTEXTS, FakeRows
from profiles import profile_params

from darkmatter.experiments.registry import records
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands.counts import readings
from darkmatter.ledger.estimands.evidence import BY_DIMENSION, PRIMARY, VARIANTS, Evidence, Missing, Variant
from darkmatter.ledger.estimands.experiments import component, of_experiment
from darkmatter.ledger.estimands.gather import gather
from darkmatter.ledger.estimands.quantities import Fixed, Keyed, Null, Sampled, single
from darkmatter.ledger.estimands.registry import estimand, estimands
from darkmatter.ledger.estimands.stage_seeds import NOT_RUN
from darkmatter.ledger.estimands.trends import slope_over_saes, trend
from darkmatter.ledger.rules import Region
from darkmatter.ledger.verdicts import place
from darkmatter.results.load import Results, estimate, load_decomposition
from darkmatter.statistics.asymptotes import fit_of_asymptotes
from darkmatter.statistics.bootstrap import ContextBootstrap, LeftOut, bca
from darkmatter.statistics.joint_levels import BEYOND, joint, joint_level
from darkmatter.statistics.power_law import fit_power_law
from darkmatter.statistics.variance_model import FEWEST_FREEDOM
from darkmatter.storage.artifacts import ArtifactError, read_json

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAP = {"resamples": 40, "level": 0.9, "seed": 3}
PARAMS = profile_params("smoke")


@pytest.fixture(scope="module")
def results():
    return fake_results(PARAMS)


@pytest.fixture(scope="module")
def rows(results):
    return FakeRows(results)


@pytest.fixture(scope="module")
def evidence(rows, results, tmp_path_factory) -> Evidence:
    return rows.evidence(PARAMS, results, tmp_path_factory.mktemp("sums"))


def by_hand(rows: FakeRows, statistic, split: str, pooled_on_all: bool = False) -> tuple[float, float, float]:
    """Value and BCa interval of `statistic(counts)`, one draw of contexts after the other."""
    number = 2 if pooled_on_all else ("token", "context").index(split)
    used = np.flatnonzero(rows.sets[number].any(axis=1))

    def counted(weights: np.ndarray) -> np.ndarray:
        counts = np.zeros(CONTEXTS, dtype=int)
        counts[used] = weights
        return statistic(counts)

    units = ContextBootstrap(len(used), **BOOTSTRAP)
    value = counted(np.ones(len(used)))
    resampled = np.sort([counted(draw) for draw in units.weights])
    left_out = np.array([counted(draw) for draw in 1 - np.eye(len(used))])
    return (value, *bca(value, resampled, left_out, BOOTSTRAP["level"]))


def check(quantity, expected, components: int = 1):
    result = quantity.at(BOOTSTRAP, components)
    compare(result, expected, BOOTSTRAP["level"])
    return result


def compare(result, expected, level):
    """The term of contexts has the bootstrap's half-widths, with the t of its contexts."""
    value, *ends = expected
    freedom = result["contexts"] - 1
    scale = scipy.stats.t.ppf(0.5 + level / 2, freedom) / scipy.stats.norm.ppf(0.5 + level / 2)
    scale *= np.sqrt((freedom + 1) / freedom)
    context, ends = result["intervals"]["context"], [value + (end - value) * scale for end in ends]
    np.testing.assert_allclose([result["value"], context["low"], context["high"]], [value, *ends], rtol=1e-9)


def lstsq_slope(x, y, group) -> float:
    """Slope with a dummy for each group."""
    names = list(dict.fromkeys(group))
    design = np.array([[value, *(one == name for name in names)] for value, one in zip(x, group, strict=True)])
    return float(np.linalg.lstsq(design.astype(float), np.asarray(y), rcond=None)[0][0])


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize(
    ("metric", "path"),
    [
        ("norm_test:error", ("norm_r2",)),
        ("norm_test:linear", ("norm_test", "linear")),
        ("fvu_nonlinear", ("fvu_nonlinear",)),
        ("cos_linear_x", ("cos_linear_x",)),
        ("vector_r2", None),
    ],
)
def test_every_number_of_an_sae(rows, evidence, variant, metric, path):
    point = evidence.main_grid()[1]
    formula = evidence.formula(point, variant, *path) if path else evidence.vector_r2(point, variant)
    number = functools.partial(rows.number, point.path, metric, variant.split, variant.convention)
    on_all = metric.startswith("fvu") and variant.convention == "authors"
    check(single(formula), by_hand(rows, number, variant.split, on_all))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_committed_estimates_follow_from_committed_sums(variant):
    """The numbers and intervals of smollm2, from the sums beside them: what a reviewer repeats."""
    params, folder = profile_params("smollm2"), ROOT / "reports" / "smollm2" / "results"
    decomposition = load_decomposition(folder, ["resid_post.0"])
    result = Evidence(params, Results(decomposition, {}), folder / "sums", layers=30)
    bootstrap = params.decomposition.bootstrap.model_dump()
    point = result.residual_saes()[0]
    paths = [(name,) for name in ("norm_r2", "fvu", "fvu_nonlinear", "norm_ratio", "cos_linear_x", "vector_r2")]
    for path in (*paths, ("norm_test", "x")):
        ours = single(result.formula(point, variant, *path)).at(bootstrap, 1)
        stored = estimate(point.sae, *path, split=variant.split, convention=variant.convention)
        compare(ours, [stored[end] for end in ("value", "low", "high")], bootstrap["level"])


@pytest.mark.parametrize("metric", ["fvu", "fvu_nonlinear"])
def test_mean_over_dimensions_of_an_sae(rows, evidence, metric):
    point = evidence.main_grid()[1]
    number = functools.partial(rows.number, point.path, f"{metric}_per_dim", "token", "paper")
    check(single(evidence.formula(point, BY_DIMENSION, metric)), by_hand(rows, number, "token"))
    assert evidence.formula(point, BY_DIMENSION, "norm_r2") is not None  # no mean over dimensions: as always
    pooled = single(evidence.formula(point, PRIMARY, metric)).at(BOOTSTRAP, 1)["value"]
    assert pooled != pytest.approx(number(None), rel=1e-6)


def test_of_many_contexts_the_jackknife_of_a_mean_over_dimensions_needs_no_weights(evidence):
    point = evidence.main_grid()[0]
    number = evidence.vector_r2(point, VARIANTS[0])
    contexts = len(number.view.used)
    np.testing.assert_allclose(
        number.statistic(LeftOut(contexts)), number.statistic(1 - np.eye(contexts)), rtol=1e-9, atol=1e-12
    )


def test_ranges_hold_every_sae(evidence):
    norm = estimand("norm_r2_of_every_sae")(evidence, PRIMARY)["r2"]
    assert {item.key["sae"] for item in norm} == {
        f"{hookpoint}/{sae['name']}"
        for hookpoint, run in evidence.results.decomposition.items()
        for sae in run["saes"]
        if hookpoint.startswith("resid_post")
    }
    vector = estimand("vector_r2_of_every_sae")(evidence, PRIMARY)["r2"]
    grids = {point.path for point in evidence.all_grids()}
    assert {item.key["sae"] for item in vector} == grids and len(grids) == len(vector)


@pytest.mark.parametrize(("axis", "x_of"), [("l0", lambda sae: sae["l0"]), ("width", lambda sae: sae["d_sae"])])
@pytest.mark.parametrize(("name", "metric"), [("norm_r2_slopes", "norm_test:error"), ("vector_r2_slopes", "vector_r2")])
def test_slopes_over_contexts_and_saes(rows, evidence, axis, x_of, name, metric):
    points = evidence.all_grids()
    x = [np.log2(x_of(point.sae)) for point in points]
    other = "d_sae" if axis == "l0" else "k"
    group = [(point.hookpoint, point.sae[other]) for point in points]
    number = lambda point, counts: rows.number(point.path, metric, "token", "paper", counts)  # noqa: E731

    def slope(counts):
        return lstsq_slope(x, [number(point, counts) for point in points], group)

    result = check(estimand(name)(evidence, PRIMARY)[axis], by_hand(rows, slope, "token"))

    fit = sm_fit(x, [number(point, None) for point in points], group)
    if fit is None:
        assert "degrees of freedom" in result["short"] and result["absent"]["sae"] == result["short"]
        return
    deviation, freedom = fit
    half = scipy.stats.t.ppf(0.5 + BOOTSTRAP["level"] / 2, freedom) * deviation
    ends = [result["intervals"]["sae"][end] for end in ("low", "high")]
    np.testing.assert_allclose(ends, [result["value"] - half, result["value"] + half], rtol=1e-6)
    for end, sign in (("low", -1), ("high", 1)):
        both = [abs(result["intervals"][name][end] - result["value"]) for name in ("context", "sae")]
        assert max(both) < sign * (result[end] - result["value"]) < sum(both)
    assert result["resampled"] == "context, sae" and "trained from its own seed" in result["absent"]["seed"]


def sm_fit(x, y, group) -> tuple[float, int] | None:
    """Standard error of the slope and its degrees of freedom, from the normal equations with a dummy for each group."""
    names = [name for name in dict.fromkeys(group) if group.count(name) > 1]
    kept = [i for i, name in enumerate(group) if name in names]
    design = np.array([[x[i], *(group[i] == name for name in names)] for i in kept], dtype=float)
    answer = np.array([y[i] for i in kept])
    freedom = len(kept) - design.shape[1]
    if freedom < FEWEST_FREEDOM:
        return None
    left = answer - design @ np.linalg.lstsq(design, answer, rcond=None)[0]
    return float(np.sqrt(left @ left / freedom * np.linalg.inv(design.T @ design)[0, 0])), freedom


def test_opposite_slopes_use_the_main_grid(evidence):
    result = estimand("opposite_l0_slopes")(evidence, PRIMARY)
    main = len(evidence.main_grid())
    assert [result[name].at(BOOTSTRAP, 2)["saes"] for name in ("norm", "vector")] == [main, main]


@pytest.mark.parametrize("variant", [PRIMARY, Variant("context", "authors"), BY_DIMENSION], ids=str)
def test_log_slopes_of_fvu_nonlinear(rows, evidence, variant):
    points = evidence.main_grid()
    x = [np.log2(point.sae["d_sae"]) for point in points]
    group = [point.sae["k"] for point in points]
    split, way = variant.split, variant.convention
    metric = "fvu_nonlinear_per_dim" if variant == BY_DIMENSION else "fvu_nonlinear"

    def slope(counts):
        return lstsq_slope(x, [np.log(rows.number(p.path, metric, split, way, counts)) for p in points], group)

    result = estimand("fvu_nonlinear_width_slope")(evidence, variant)["slope"]
    check(result, by_hand(rows, slope, split, way == "authors"))
    elsewhere = estimand("fvu_nonlinear_width_slope_elsewhere")(evidence, variant)["slope"]
    assert [item.key["layer"] for item in elsewhere] == PARAMS.figures.appendix_hookpoints
    down = dataclasses.replace(estimand("fvu_nonlinear_l0_slope")(evidence, variant)["slope"], over_saes=None)
    assert down.at(BOOTSTRAP, 1)["value"] == pytest.approx(
        lstsq_slope(
            [np.log2(p.sae["l0"]) for p in points],
            [np.log(rows.number(p.path, metric, split, way)) for p in points],
            [p.sae["d_sae"] for p in points],
        )
    )


def test_layers(rows, evidence):
    result = estimand("norm_r2_over_layers")(evidence, PRIMARY)
    sae = next(s["name"] for s in evidence.results.decomposition["resid_post.0"]["saes"] if s["group"] == "layers")

    def at(layer, counts):
        return rows.number(f"resid_post.{layer}/{sae}", "norm_test:error", "token", "paper", counts)

    check(result["rise"], by_hand(rows, lambda counts: at(1, counts) - at(0, counts), "token"))
    check(result["fall"], by_hand(rows, lambda counts: at(1, counts) - at(2, counts), "token"))
    check(result["middle"], by_hand(rows, lambda counts: at(1, counts), "token"))


def test_layers_without_a_middle(evidence):
    shallow = Evidence(PARAMS, evidence.results, evidence.sums, layers=30)
    with pytest.raises(Missing, match="middle third"):
        estimand("norm_r2_over_layers")(shallow, PRIMARY)


def test_means_over_saes(rows, evidence):
    grid = evidence.main_grid()

    def mean(metric, points, counts):
        return np.mean([rows.number(point.path, metric, "token", "paper", counts) for point in points])

    shrinkage = estimand("norm_shrinkage")(evidence, PRIMARY)["shrinkage"]
    check(shrinkage, by_hand(rows, lambda counts: 1 - mean("norm_ratio", grid, counts), "token"))
    cosine = estimand("linear_error_cosine")(evidence, PRIMARY)["cosine"]
    check(cosine, by_hand(rows, lambda counts: mean("cos_linear_x", grid, counts), "token"))
    order, every = estimand("norm_test_order")(evidence, PRIMARY), evidence.residual_saes()
    check(order["x"], by_hand(rows, lambda counts: mean("norm_test:x", every, counts), "token"))
    for name in ("nonlinear", "error"):
        lead = lambda counts, name=name: (  # noqa: E731
            mean("norm_test:linear", every, counts) - mean(f"norm_test:{name}", every, counts)
        )
        check(order[f"linear_minus_{name}"], by_hand(rows, lead, "token"))
    assert "linear_minus_nonlinear_cross_fit" in order
    assert "linear_minus_nonlinear_cross_fit" not in estimand("norm_test_order")(evidence, VARIANTS[1])


@pytest.mark.parametrize("variant", [PRIMARY, BY_DIMENSION], ids=str)
def test_gap_of_the_asymptote(rows, evidence, variant):
    quantity = estimand("asymptote_minus_nonlinear")(evidence, variant)["gap"]
    metrics = [f"{name}_per_dim" if variant == BY_DIMENSION else name for name in ("fvu", "fvu_nonlinear")]
    result = quantity.at(BOOTSTRAP, 1)
    widths = PARAMS.saes.groups["widths"].d_sae
    names = [f"resid_post.1/widths-{width}-k4-s0" for width in widths]
    fvu, nonlinear = ([rows.number(n, m, "token", "paper") for n in names] for m in metrics)
    law = fit_power_law(np.array(widths, dtype=float), np.array(fvu), 12, 0)
    assert result["value"] == pytest.approx(law.asymptote - np.mean(nonlinear), abs=1e-4)
    sae = result["intervals"]["sae"]
    assert sae["low"] < result["value"] < sae["high"] and set(result["intervals"]) == {"context", "sae"}
    line = np.std(nonlinear, ddof=1) / np.sqrt(len(nonlinear))
    half = scipy.stats.t.ppf(0.5 + BOOTSTRAP["level"] / 2, len(widths) - 1) * line
    law = fit_power_law(np.array(widths, dtype=float), np.array(fvu), 12, 0, BOOTSTRAP["level"])
    assert result["value"] - sae["low"] == pytest.approx(np.hypot(law.asymptote - law.low, half), rel=0.02)


def test_asymptotes_are_those_of_the_power_law():
    widths = np.array([512.0, 1024, 2048, 4096, 8192])
    random = np.random.default_rng(0)
    y = 0.1 + 2 * widths**-0.4 + 0.002 * random.normal(size=(3, 5))
    y = np.vstack(
        [
            y,
            0.4 + 0 * widths,
            0.1 + 0.01 * np.log(widths),
            3 * widths**-0.3,
            0.9 - 0.1 * np.log2(widths / 512),
            np.full(5, np.nan),
        ]
    )
    result = fit_of_asymptotes(widths, y).asymptote
    expected = [fit_power_law(widths, row, 12, 0).asymptote for row in y[:-1]]
    np.testing.assert_allclose(result[:-1], expected, atol=2e-4)
    assert np.isnan(result[-1])


def test_scatter_of_a_slope_leaves_out_groups_of_one():
    random = np.random.default_rng(1)
    x, y, group = random.normal(size=10), random.normal(size=10), list("aaabbbcccd")
    deviation, freedom = sm_fit(x, y, group)
    term = slope_over_saes(x, y, group)(0.95)
    assert (term.below, term.above) == pytest.approx((deviation, deviation)) and term.freedom == freedom == 5
    assert "8 SAEs in 3 groups leave 4" not in str(
        slope_over_saes(x[[0, 1, 2, 3, 4, 5, 6, 7]], y[:8], list("aaabbbcc"))
    )
    assert "6 SAEs in 2 groups leave 3 degrees of freedom" in slope_over_saes(x[:6], y[:6], list("aaabbb"))(0.95)


def test_no_slope_without_two_saes_to_compare(evidence):
    points = evidence.main_grid()[:1]
    result = trend(points, [evidence.formula(points[0], PRIMARY, "norm_r2")], "l0")
    assert isinstance(result, Null) and "one width" in result.reason


def test_two_saes_are_too_few_for_a_scatter(evidence):
    points = [point for point in evidence.main_grid() if point.sae["k"] == 4][:2]
    result = trend(points, [evidence.formula(point, PRIMARY, "norm_r2") for point in points], "width").at(BOOTSTRAP, 1)
    assert "2 SAEs in 1 groups leave 0 degrees of freedom" in result["short"]
    assert result["low"] <= result["value"] <= result["high"] and result["resampled"].startswith("context")


def test_numbers_of_different_contexts_are_never_combined(evidence):
    point = evidence.main_grid()[0]
    parts = [evidence.formula(point, variant, "norm_r2") for variant in (PRIMARY, Variant("context", "paper"))]
    with pytest.raises(ValueError, match="different contexts"):
        Sampled(parts, lambda numbers: numbers.mean(0)).at(BOOTSTRAP, 1)


def test_undefined_numbers_are_null_with_a_reason(evidence):
    part = evidence.formula(evidence.main_grid()[0], PRIMARY, "norm_r2")
    nothing = Sampled([part], lambda numbers: numbers[0] * np.nan).at(BOOTSTRAP, 1)
    seldom = Sampled([part], lambda numbers: np.where(numbers[0] > np.median(numbers[0]), np.nan, numbers[0]))
    assert nothing["value"] is None and "not defined" in nothing["reason"]
    assert "too many resamples" in seldom.at(BOOTSTRAP, 1)["reason"]


def test_levels_of_several_components():
    assert joint_level(0.95, 1) == 0.95 and joint_level(0.95, 5) == pytest.approx(0.99)
    assert joint(BOOTSTRAP, 1) == BOOTSTRAP and joint(BOOTSTRAP, 0) == BOOTSTRAP
    many = joint(BOOTSTRAP, 20)
    assert many["level"] == pytest.approx(0.995) and many["resamples"] * 0.0025 >= BEYOND and many["seed"] == 3
    for level, components in ((0.95, 0), (1.0, 2), (0.0, 2)):
        with pytest.raises(ValueError, match="no joint level"):
            joint_level(level, components)


def test_more_components_widen_the_joint_interval_alone(evidence):
    quantity = estimand("norm_shrinkage")(evidence, PRIMARY)["shrinkage"]
    one, ten = (quantity.at(BOOTSTRAP | {"resamples": 2000}, count) for count in (1, 10))
    assert "joint" not in one and (one["low"], one["high"], one["level"]) == (ten["low"], ten["high"], 0.9)
    assert ten["joint"]["low"] < one["low"] < one["high"] < ten["joint"]["high"]
    assert ten["joint"]["level"] == pytest.approx(0.99)


def test_sums_of_another_run_are_refused(evidence, results, tmp_path):
    other = FakeRows(Results({"resid_post.1": {"saes": results.decomposition["resid_post.1"]["saes"][:1]}}, {}))
    broken = other.evidence(PARAMS, results, tmp_path)
    with pytest.raises(ArtifactError, match="has no sums of"):
        estimand("norm_shrinkage")(broken, PRIMARY)


def of_content(content, stage="pursuit") -> Evidence:
    return Evidence(PARAMS, Results({}, {stage: content} if content else {}), Path(), 3)


def test_estimands_of_an_experiment():
    read = of_experiment("pursuit", "pursuit_fvu_decrease")
    estimate = {"value": 0.1, "low": 0.05, "high": 0.2, "rows": 9}
    content = {"estimands": {"pursuit_fvu_decrease": {"decrease": [estimate | {"sae": "a"}, estimate | {"sae": "b"}]}}}
    result = read(of_content(content), PRIMARY)["decrease"]
    assert [item.key for item in result] == [{"sae": "a"}, {"sae": "b"}]
    assert result[0].quantity.at(BOOTSTRAP, 1) == estimate | {"level": 0.95, "absent": {"seed": NOT_RUN}}
    with pytest.raises(Missing, match="no results of pursuit"):
        read(of_content(None), PRIMARY)
    with pytest.raises(Missing, match="context/paper"):
        read(of_content(content), Variant("context", "paper"))


@pytest.mark.parametrize("nested", [True, False])
def test_variants_of_an_experiment(nested):
    estimands = {"pursuit_fvu_decrease": {"decrease": {"value": 1, "low": 0, "high": 2}}}
    by_variant = {"context": {"paper": estimands}} if nested else {"context/paper": estimands}
    read = of_experiment("pursuit", "pursuit_fvu_decrease")
    result = read(of_content({"estimands_by_variant": by_variant}), Variant("context", "paper"))
    assert result["decrease"].estimate["value"] == 1


def test_interval_of_too_low_a_level_is_marked():
    """Below the claim's level nothing is established, below the joint one only that it agrees."""
    estimate = {"value": 0.1, "low": 0.05, "high": 0.2}
    low, alone, joined = (component(estimate | {"level": level}, 0.95, "here") for level in (0.9, None, 0.995))
    both = component(estimate | {"level": 0.95, "joint": {"level": 0.995, "low": 0, "high": 0.3}}, 0.95, "here")
    bootstrap = BOOTSTRAP | {"level": 0.95}
    far = Region(low=0.5)
    assert "needs 0.95" in low.at(bootstrap, 1)["short"] and place(low.at(bootstrap, 1), far) == "across"
    assert "short" not in alone.at(bootstrap, 2) and place(alone.at(bootstrap, 2), Region(low=0)) == "inside"
    assert place(alone.at(bootstrap, 1), far) == "outside" and place(alone.at(bootstrap, 2), far) == "across"
    for wide in (joined, both):
        assert place(wide.at(bootstrap, 10), far) == "outside" and place(wide.at(bootstrap, 11), far) == "across"
    assert place(both.at(bootstrap, 10), Region(high=0.01)) == "across"  # outside alone, not at the joint level
    assert place(both.at(bootstrap, 10), Region(low=0.01)) == "inside"
    assert "short" not in Fixed(estimate).at(bootstrap, 9)


def test_bad_content_of_an_experiment_is_refused():
    for bad in (3.0, {"low": 1}, [{"value": 1, "low": 0, "high": 2}], [3]):
        with pytest.raises(ArtifactError, match="claims, x"):
            component(bad, 0.95, "claims, x")
    null = component({"value": None, "reason": "L0 is constant"}, 0.95, "here")
    assert isinstance(null, Null) and null.reason == "L0 is constant"
    assert isinstance(component([], 0.95, "here"), list) and Keyed


LEMMAS = [
    {"id": "bernoulli", "derived": {"value": 1.0}, "agrees": True},
    {"id": "poisson-printed-variance", "derived": {"value": 0.9}, "printed_formula": {"value": 1.14}, "agrees": True},
    {"id": "paper-step", "derived": {"value": 20.25}, "parts": [{"derived": {"value": 4.0}}], "agrees": False},
]


def test_lemmas_and_counts():
    evidence = of_content({"lemmas": LEMMAS}, "lemmas")
    value = lambda name, part: estimand(name)(evidence, PRIMARY)[part].at(BOOTSTRAP, 1)["value"]  # noqa: E731
    assert value("lemma_bernoulli", "rho") == 1 and value("lemma_poisson_printed", "rho") == 1.14
    assert value("lemma_paper_step", "with_intercept") is None  # Monte Carlo and algebra disagree
    assert value("row_count", "rows") == 300 * 823
    for name, reason in (("lemma_poisson", "no lemma poisson-lambda-one"), ("sae_count", "conf/manifests")):
        with pytest.raises(Missing, match=reason):
            estimand(name)(evidence, PRIMARY)
    with pytest.raises(Missing, match="no results of lemmas"):
        estimand("lemma_bernoulli")(of_content(None), PRIMARY)


def listed(*roles: str) -> dict:
    return {"saes": [{"roles": one.split()} for one in roles]}


def test_readings_of_the_sentence_on_saes():
    one = listed("fig2", "fig2 near60", "near60 near50", "near50", "figA", "figA near60", "parents")
    assert readings({"a": one, "b": listed("llama", "llama", "parents")}) == {
        "saes": 4 + 2,
        "listed_twice": 5 + 2,
        "with_appendix_layers": 5 + 2,
        "with_both_targets": 6 + 2,
    }


def test_saes_of_the_published_lists():
    """Each reading against a second count of the same files, by layer, width and L0 and not by role."""
    models = {"gemma-2-2b": (12, {5, 19}), "gemma-2-9b": (20, {9, 31}), "llama-3.1-8b": (None, set())}
    manifests = {model: read_json(ROOT / "conf" / "manifests" / f"{model}.json") for model in models}
    named, twice, appendix, both = set(), 0, set(), set()
    for model, (main, others) in models.items():
        residual = [sae for sae in manifests[model]["saes"] if sae["hookpoint"].startswith("resid_post")]
        nearest = {60: {}, 50: {}}
        for target, chosen in nearest.items():
            for sae in residual:
                key = (sae["layer"], sae["width"])
                distance = (abs(sae["nominal_l0"] - target), sae["nominal_l0"])
                chosen[key] = min(chosen.get(key, (distance, sae["id"])), (distance, sae["id"]))
        near = {target: {(model, name) for _, name in chosen.values()} for target, chosen in nearest.items()}
        at = lambda layers, saes=residual, model=model: {(model, s["id"]) for s in saes if s["layer"] in layers}  # noqa: E731
        everything = at(range(99)) if main is None else set()
        named |= at({main}) | near[60] | everything
        twice += len(everything) or len(at({main})) + len(near[60])
        appendix |= at(others)
        both |= near[50]
    result = readings(manifests)
    assert result == {
        "saes": len(named),
        "listed_twice": twice,
        "with_appendix_layers": len(named | appendix),
        "with_both_targets": len(named | appendix | both),
    }
    assert list(result.values()) == [274, 288, 330, 372]  # none of them the 329 of the paper


def test_every_experiment_that_offers_an_estimand_is_read(monkeypatch):
    """Once one that offers nothing without the seed's noise was left out, and its predictions had no results."""
    monkeypatch.chdir(ROOT)
    result = gather(profile_params("smollm2"))
    assert {name for name, record in records().items() if record.offered} <= result.results.experiments.keys()


def test_registry_is_that_of_the_ledger():
    ledger = load_claims(ROOT / "claims.yaml")
    claims = ledger.claims
    earlier = {claim.as_of(one).estimand.name for claim in claims for one in claim.earlier}
    predicted = {prediction.estimand.name for prediction in ledger.predictions}
    assert {claim.estimand.name for claim in claims} | earlier | predicted == {*estimands()}
    made_of_results = {"judged_interpretability", "dense_where_recovered", "nonlinear_where_introduced"}
    one_measure = "reduction_lead_of_one_measure"
    of_several = made_of_results | {"reduction_lead", one_measure, f"{one_measure}_with_seed"}
    of_several |= {"reduction_lead_of_same_saes"}
    for record in records().values():
        own = [claim for claim in claims if claim.experiment == record.name and record.estimands]
        judging = {one.estimand.name for claim in own for one in (claim, *map(claim.as_of, claim.earlier))}
        judging |= {one.estimand.name for one in ledger.predictions if one.experiment == record.name}
        assert judging - of_several == set(record.offered)
    with pytest.raises(ArtifactError, match="'slope_of_nothing', which nothing computes"):
        estimand("slope_of_nothing")


def test_no_torch():
    files = [*(ROOT / "darkmatter/ledger/estimands").glob("*.py"), ROOT / "darkmatter/ledger/verdicts.py"]
    assert len(files) > 8
    assert not [file for file in files if any("torch" in line for line in imports(file))]


def imports(file: Path) -> list[str]:
    return [ast.unparse(n) for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Import | ast.ImportFrom)]
