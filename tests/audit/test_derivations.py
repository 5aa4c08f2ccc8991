"""Results of experiments derived again from stored sums: equal to what the stage wrote, and not to what it did not."""

import copy
import functools
from collections.abc import Callable

import fake_random_features
import numpy as np
import pytest
from deriving import at, derived, stored_in
from fake_sums import CONTEXTS, D_MODEL, TOKENS, FakeRows
from profiles import profile_params

from darkmatter.audit.compare import compare
from darkmatter.experiments.components import results as components_results
from darkmatter.experiments.controls import results as control_results
from darkmatter.experiments.controls.estimates import control_list
from darkmatter.experiments.pursuit import results as pursuit_estimates
from darkmatter.experiments.random_features import results as random_features_estimates
from darkmatter.experiments.random_features.estimates import ORDERS
from darkmatter.experiments.registry import records
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.results.load import Results
from darkmatter.storage.artifacts import ArtifactError, plain, read_json, write_arrays, write_json

PARAMS = profile_params("smoke")
MAIN = PARAMS.figures.main_hookpoint
PARENT = PARAMS.components.parents[0]


@functools.cache
def row_sets():
    """[row set, context, position], every other context held out of the context split."""
    random = np.random.default_rng(0)
    token = random.random((CONTEXTS, TOKENS)) < 0.5
    context = np.repeat(np.arange(CONTEXTS)[:, None] % 2 == 0, TOKENS, axis=1)
    return np.stack([token, context, np.ones_like(token)]).astype(float)


def regression(targets, seed, per_fit=False):
    """Sums as `held_out_regression.regress` leaves them, of invented targets; `per_fit`: as for derived ones."""
    random, sets = np.random.default_rng(seed), row_sets()
    total = lambda values: np.einsum("sct,ctd->scd", sets, values)  # noqa: E731
    t = random.normal(size=(CONTEXTS, TOKENS, targets)) + random.normal(size=(CONTEXTS, 1, targets))
    sums = {"rows": sets.sum(-1)}
    keys = {f"{split}/{way}": place for place, split in enumerate(SPLITS) for way in ("paper", "authors")}
    for key, place in (keys | {"in-sample": 2}).items():
        scored = np.full((len(ROW_SETS), CONTEXTS, targets), np.nan)
        scored[place] = total((0.6 * t + 0.2 * random.normal(size=t.shape)) ** 2)[place]
        sums[f"residual/{key}"] = scored
        if per_fit:
            sums |= {f"total/{key}": total(t), f"square/{key}": total(t**2)}
    ranks = {f"rank/{name}": np.array(3 + place) for place, name in enumerate(ROW_SETS)}
    return sums | ranks | ({} if per_fit else {"total": total(t), "square": total(t**2)})


def masked():
    section = PARAMS.random_features
    shares = np.array(section.masked_shares)
    return {order: [fake_random_features.fake_sums(shares, order, seed) for seed in section.seeds] for order in ORDERS}


def random_features(folder):
    module = random_features_estimates
    arrays = module.stored(masked())
    return {module.STORED: arrays}, module.results_of(arrays, PARAMS)


def controls(folder):
    module = control_results
    listed = control_list(PARAMS.controls.planted_shares, dict.fromkeys(("bernoulli", "poisson", "exponential"), 0.5))
    sources = sorted({control.source for control in listed})
    sums = {
        name: regression(1 if name.startswith("features") else D_MODEL + 1, seed) for seed, name in enumerate(sources)
    }
    for name in sources:
        if name.startswith(("features", "planted")):
            sums[name]["leverage"] = 0.1 * row_sets().sum(-1)[: len(SPLITS)]
    points = {"width": np.array([32, 64, 128, 256]), "fvu": np.array([0.5, 0.4, 0.34, 0.31])}
    arrays = module.stored(sums, points, PARAMS)
    return {module.STORED: arrays}, module.results_of(arrays, PARAMS)


def components(folder):
    module = components_results
    names = (*PARAMS.components.parents, *module.JOINT)

    def of_sae(first: int, names):
        sums = regression(3 * D_MODEL, first + 9, True).items()
        targets = {key: array for key, array in sums if key.startswith(("total", "square"))}
        return {name: regression(3 * D_MODEL, first + seed) for seed, name in enumerate(names)}, targets

    further = of_sae(20, (*PARAMS.components.parents, "self"))
    arrays = module.stored(*of_sae(0, names), dict.fromkeys(PARAMS.components.further_saes, further))
    return {module.STORED: arrays}, module.results_of(arrays, PARAMS)


def pursuit(folder):
    module, saes, random = pursuit_estimates, ("narrow", "wide"), np.random.default_rng(0)
    encoders = {
        f"{sae}/{encoder}": 40 - 9 * place for sae in saes for place, encoder in enumerate(("own", *module.VARIANTS))
    }
    runs = {MAIN: {"saes": [{"name": name, "d_sae": width, "l0": 4} for name, width in encoders.items()]}}
    rows = FakeRows(Results(runs, {}))
    for name in encoders:
        l0 = np.where(random.random((CONTEXTS, TOKENS)) < (0.2 if "published" in name else 0), 3, 4)
        facts = {"latent_fired": np.array([30.0, 32.0]), "sum/l0": np.einsum("sct,ct->sc", rows.sets, l0)}
        write_arrays(folder / name / "sums.npz", rows.sums_of(f"{MAIN}/{name}") | facts)
        write_arrays(folder / name / "dimension_sums.npz", rows.dimension_sums_of(f"{MAIN}/{name}"))
        write_arrays(folder / name / "tokens.npz", {"l0": l0.astype(np.float32)})
    moments = {f"{name}/facts": np.array([99.0, D_MODEL, 7.5]) for name in ROW_SETS}
    write_arrays(folder / "moments.npz", moments | rows.x_sums_of(MAIN))
    arrays = module.stored(folder / "moments.npz", folder, saes)
    specs = [{"name": name, "d_sae": 32, "k": 4} for name in saes]
    results = module.results_of(arrays, specs, MAIN, PARAMS.decomposition.bootstrap.model_dump())
    return {module.STORED: arrays}, results


MAKE: dict[str, Callable] = {make.__name__: make for make in (random_features, controls, components, pursuit)}
# A number of the results, and the sums that it and nothing else comes from: (file, key).
SPOILED = {
    "random_features": (("orders", "random", "held_out", "parabola", "vertex", "value"), (0, "random/left")),
    "controls": (("controls", -1, "token", "found", "value"), (0, "planted-0.5/all/unexplained/token")),
    "components": (("regressors", 0, "targets", "error", "token", "paper", "value"), (0, f"{PARENT}/error/token/paper")),  # noqa: E501
    "pursuit": (("estimands", "pursuit_fvu_decrease", "decrease", 0, "value"), (0, "narrow/exact_l0/sum/error")),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """name → sums by path, and the results as the stage writes them; each made once."""

    @functools.cache
    def make(name):
        folder = tmp_path_factory.mktemp(name)
        sums, results = MAKE[name](folder)
        write_json(folder / "results.json", results)
        return dict(sums), read_json(folder / "results.json")

    return make


derive = functools.partial(derived, params=PARAMS)


@pytest.mark.parametrize("name", MAKE)
def test_derived_results_equal_those_of_the_stage(made, name):
    sums, committed = made(name)
    assert tuple(sums) == stored_in(name)
    result = compare(committed, derive(name, sums, committed))
    assert (result.differing, result.close) == ([], 0)
    # What is not derived is what an SAE is: width and k.
    assert result.equal > 50 and result.given == (4 if name == "pursuit" else 0)
    assert at(committed, SPOILED[name][0]) is not None


@pytest.mark.parametrize("name", MAKE)
def test_a_changed_number_differs(made, name):
    sums, committed = made(name)
    place = SPOILED[name][0]
    forged = copy.deepcopy(committed)
    at(forged, place[:-1])[place[-1]] *= 1.001
    assert len(compare(forged, derive(name, sums, forged)).differing) == 1


@pytest.mark.parametrize("name", MAKE)
def test_a_changed_sum_differs(made, name):
    sums, committed = made(name)
    place, (file, key) = SPOILED[name]
    path = stored_in(name)[file]
    spoiled = sums | {path: sums[path] | {key: sums[path][key] * np.linspace(1.01, 1.05, sums[path][key].shape[-1])}}
    result = derive(name, spoiled, committed)
    assert at(result, place) != at(committed, place)
    assert compare(committed, result).differing


@pytest.mark.parametrize(
    ("name", "lost"),
    [("random_features", "random"), ("controls", "error"), ("components", "self"), ("pursuit", "wide/own")],
)
def test_sums_that_lack_something_are_refused(made, name, lost):
    sums, committed = made(name)
    path = stored_in(name)[0]
    kept = {key: array for key, array in sums[path].items() if not key.startswith(f"{lost}/")}
    with pytest.raises(ArtifactError, match=f"nothing of {lost}.* Run `dvc repro`"):
        derive(name, sums | {path: kept}, committed)


def test_random_features_of_other_seeds_are_refused(made):
    sums, committed = made("random_features")
    changed = PARAMS.random_features.model_copy(update={"seeds": [0, 1, 2]})
    with pytest.raises(ArtifactError, match="other seeds or shares"):
        records()["random_features"].derive(sums, committed, PARAMS.model_copy(update={"random_features": changed}))


def test_each_seed_of_random_features_keeps_its_sums(made):
    module, section = random_features_estimates, PARAMS.random_features
    level = PARAMS.decomposition.bootstrap.level
    expected = plain(module.random_feature_results(masked(), section.masked_shares, level))
    assert expected.items() <= made("random_features")[1].items()


def test_controls_know_their_rows_from_the_sums(made):
    _, committed = made("controls")
    assert (committed["contexts"], committed["positions"]) == (CONTEXTS, TOKENS)
