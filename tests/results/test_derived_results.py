"""More results derived again from stored sums (see test_derivations): tables, parts of an error, latents, noise."""

import copy
import functools
from collections.abc import Callable

import fake_interpretability
import fake_latent_probe
import fake_synthetic_noise
import numpy as np
import pytest
from deriving import at, derived, stored_in
from profiles import profile_params

from darkmatter.audit.compare import compare
from darkmatter.experiments.downstream import results as downstream_results
from darkmatter.experiments.error_saes import results as error_sae_results
from darkmatter.experiments.error_saes.names import PARTS
from darkmatter.experiments.interpretability import results as interpretability_results
from darkmatter.experiments.latent_probe import results as latent_probe_estimates
from darkmatter.experiments.lemmas import results as lemma_results
from darkmatter.experiments.norm_baselines import results as norm_baseline_estimates
from darkmatter.experiments.norm_baselines.estimates import (
    ACTIVATION,
    ACTIVATION_SEEN,
    COMPARED,
    SEEN,
    TARGETS,
    Baseline,
    sae_estimates,
)
from darkmatter.experiments.per_token_scaling import results as per_token_scaling_results
from darkmatter.experiments.per_token_scaling.estimates import (
    OF_TARGETS,
    SCORED,
    Scaling,
    measure_of,
    pair_estimates,
    pairs_of,
    wider_saes,
)
from darkmatter.experiments.per_token_scaling.token_series import token_sums
from darkmatter.experiments.synthetic_noise import results as synthetic_noise_results
from darkmatter.params.conventions import CONVENTIONS
from darkmatter.regression.splits import ROW_SETS, SPLITS, draw_splits
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json, write_arrays, write_json

CONTEXTS, POSITIONS, D_MODEL = 16, 30, 3
SPLIT = draw_splits(CONTEXTS, POSITIONS, 0.6, 4, 0)
RANK = {name: 1 + place for place, name in enumerate(ROW_SETS)}


def quick():
    """The smoke profile with few resamples."""
    params = profile_params("smoke")
    bootstrap = params.decomposition.bootstrap.model_copy(update={"resamples": 100})
    decomposition = params.decomposition.model_copy(update={"bootstrap": bootstrap})
    lemmas = params.lemmas.model_copy(update={"rows": 1000, "features": 1})
    return params.model_copy(update={"decomposition": decomposition, "lemmas": lemmas})


PARAMS = quick()


def regression(targets, seed, residuals):
    """Sums as `held_out_regression.regress` leaves them, of invented targets."""
    random, sets = np.random.default_rng(seed), SPLIT.row_sets().astype(float)
    t = random.normal(size=(CONTEXTS, POSITIONS, targets)) + random.normal(size=(CONTEXTS, 1, targets))
    total = lambda values: np.einsum("scp,cpt->sct", sets, values)  # noqa: E731
    sums = {"rows": sets.sum(-1), "total": total(t), "square": total(t**2)}
    for name in residuals:
        sums[name] = np.full_like(sums["total"], np.nan)
        place = 2 if name.endswith("in-sample") else SPLITS.index(name.split("/")[1])
        sums[name][place] = total((0.6 * t + 0.2 * random.normal(size=t.shape)) ** 2)[place]
    return sums


def regressors():
    """HOOKPOINT/SAE → target → regressor → sums."""
    saes = {}
    for seed, spec in enumerate(norm_baseline_estimates.measured(PARAMS)):
        names = [f"residual/{split}/paper" for split in SPLITS]
        for number, target in enumerate(TARGETS):
            own = {
                name: Baseline(regression(1, [seed, number], names), RANK)
                for name in (ACTIVATION, ACTIVATION_SEEN, *COMPARED)
            }
            for name in ("token_identity", SEEN):
                own[name] = Baseline(regression(1, [seed, number], [*names, "residual/in-sample"]), RANK)
            saes.setdefault(spec.path, {})[target] = own | {"l0": Baseline({}, {}, 4.0)}
    return saes


def norm_baselines():
    module, saes = norm_baseline_estimates, regressors()
    arrays = module.stored({path: module.packed(targets) for path, targets in saes.items()}, 3)
    return {module.STORED: arrays}, module.results_of(arrays, PARAMS)


def scaling_list():
    saes = per_token_scaling_results.measured(PARAMS)
    scalings = []
    for seed, (first, wider) in enumerate(wider_saes(saes)):
        names = sorted({regression for regression, _ in SCORED})
        sums = {
            name: regression(len(wider), [seed, number], sorted(left for own, left in SCORED if own == name))
            for number, name in enumerate(names)
        }
        for name, own in sums.items():  # the targets of one measure are the same whatever predicts them
            own |= {key: sums[measure_of(name)][key] for key in OF_TARGETS}
        scalings.append(Scaling(first, wider, sums, dict.fromkeys(names, RANK)))
    return scalings


def per_token_scaling():
    module, random = per_token_scaling_results, np.random.default_rng(0)
    saes, scalings = module.measured(PARAMS), scaling_list()
    columns = ["error", *(f"{part}/{source}" for part in PARTS for source in ROW_SETS)]
    tables = {
        sae["name"]: {name: random.gamma(3, size=(CONTEXTS, POSITIONS)).astype(np.float32) for name in columns}
        for sae in saes
    }
    tokens = token_sums(saes, tables, SPLIT, PARAMS.per_token_scaling.tokens_shown, np.arange(POSITIONS))
    arrays = module.stored(scalings, tokens)
    results = module.results_of(arrays, PARAMS)
    results["tokens"]["text"] = ["a"] * len(results["tokens"]["token_ids"])
    return {module.STORED: arrays}, results


def downstream():
    module, random, contexts = downstream_results, np.random.default_rng(0), PARAMS.downstream.contexts
    sums = {"rows": np.full(contexts, 50.0), "ce/clean": 100 + random.random(contexts)}
    sums |= {"x_sum": random.normal(size=(contexts, D_MODEL)), "x_square": 100 + random.random((contexts, D_MODEL))}
    for sae in PARAMS.downstream.saes:
        for splice, share in (("sae", 1.0), ("linear", 0.6), ("nonlinear", 0.5)):
            left = share * (2 + random.random((contexts, D_MODEL)))
            sums |= {f"{sae}/left/{splice}": left, f"{sae}/ce/{splice}": sums["ce/clean"] + 2 * left.sum(1)}
        norms = {"sae": 400.0, "error": 100.0, "linear": 80.0, "nonlinear": 60.0}
        sums |= {f"{sae}/norm/{name}": value + random.random(contexts) for name, value in norms.items()}
    arrays = module.stored(sums, range(contexts), 50, dict.fromkeys(PARAMS.downstream.saes, 3))
    facts = [PARAMS.sae_spec(f"{PARAMS.figures.main_hookpoint}/{name}").model_dump() for name in PARAMS.downstream.saes]
    results = module.results_of(arrays, facts, PARAMS) | {"model": "a label"}
    return {module.STORED: arrays}, results


def error_saes():
    module, scores = error_sae_results, {}
    for part in PARTS:
        for seed in PARAMS.error_saes.seeds:
            random = np.random.default_rng([PARTS.index(part), seed])
            target = np.random.default_rng(PARTS.index(part)).normal(size=(CONTEXTS, POSITIONS, D_MODEL))
            left = (0.7 * target + 0.1 * random.normal(size=target.shape)) ** 2
            scores[part, seed] = {"rows": np.full(CONTEXTS, 1.0 * POSITIONS), "total": target.sum(1)}
            scores[part, seed] |= {"square": (target**2).sum(1), "residual": left.sum(1)}
            scores[part, seed] |= {"norm_square": (target**2).sum((1, 2)), "l0": np.array(3.5)}
            scores[part, seed]["latents"] = np.array([60.0, 64.0])
    arrays = module.stored(scores, np.array([999.0, D_MODEL, 12.5]))
    results = module.results_of(arrays, PARAMS)
    for sae in results["saes"]:
        sae["train_fvu"] = 0.5
    return {module.STORED: arrays}, results


def interpretability():
    module, arrays = interpretability_results, fake_interpretability.fake_stored(PARAMS)
    return {module.STORED: arrays}, module.results_of(arrays, PARAMS)


def latent_probe():
    module, arrays = latent_probe_estimates, fake_latent_probe.fake_stored(PARAMS)
    return {module.STORED: arrays}, module.results_of(arrays, PARAMS)


def synthetic_noise():
    module, arrays = synthetic_noise_results, fake_synthetic_noise.fake_stored(PARAMS)
    return {module.STORED: arrays}, module.results_of(arrays, PARAMS)


def lemmas():
    return {}, lemma_results.results_of(PARAMS)


MAKERS = (norm_baselines, per_token_scaling, downstream, error_saes, interpretability, latent_probe, synthetic_noise)
MAKE: dict[str, Callable] = {make.__name__: make for make in (*MAKERS, lemmas)}
LAYERS = "resid_post.0/layers-64-k4-s0"
# A number of the results, and a sum (file, key, how much it is changed) that it comes from.
SPOILED = {
    "norm_baselines": (("saes", 0, "estimates", "token", "paper", "r2", "model_loss", "high"),
                       (0, f"{LAYERS}/norm/model_loss/residual/token/paper")),
    "per_token_scaling": (("estimands", "per_token_part_slopes", "linear", "value"),
                          (0, "tokens/widths-32-k4-s0/sum/linear/token/token")),
    "downstream": (("saes", 0, "ratio", "variance", "linear", "value"), (0, "widths-32-k4-s0/left/linear")),
    "error_saes": (("over_seeds", "fvu", "difference", "value"), (0, "linear/residual/s1")),
    "interpretability": (("estimands", "error_sae_interpretability", "mean", "value"), (0, "linear/prediction")),
    "latent_probe": (("estimands", "probe_against_latents", "ratio", "value"), (0, "probe/token/paper")),
    "synthetic_noise": (("estimands", "synthetic_lines", "flatness", "value"), (0, "widths-64-k4-s0/left")),
}  # fmt: skip
GIVEN = {"downstream": 8, "error_saes": 4}  # numbers that are no estimates: widths, how training went


@functools.cache
def made(name):
    return MAKE[name]()


@pytest.fixture
def stored(tmp_path):
    """name → what a reviewer reads: sums by path, and the results."""

    def write(name):
        sums, results = made(name)
        for path, arrays in sums.items():
            write_arrays(tmp_path / path, arrays, compress=True)
        write_json(tmp_path / "results.json", results)
        read = {path: read_arrays(tmp_path / path) for path in sums}
        return read, read_json(tmp_path / "results.json")

    return write


derive = functools.partial(derived, params=PARAMS)


@pytest.mark.parametrize("name", MAKE)
def test_derived_results_equal_those_of_the_stage(stored, name):
    sums, committed = stored(name)
    assert tuple(sums) == stored_in(name)
    result = compare(committed, derive(name, sums, committed))
    assert (result.differing, result.close) == ([], 0)
    assert result.equal > 50 and result.given == GIVEN.get(name, 0)


@pytest.mark.parametrize("name", SPOILED)
def test_a_changed_number_or_sum_differs(stored, name):
    sums, committed = stored(name)
    place, (file, key) = SPOILED[name]
    forged = copy.deepcopy(committed)
    at(forged, place[:-1])[place[-1]] += 0.001
    assert len(compare(forged, derive(name, sums, forged)).differing) == 1
    path = stored_in(name)[file]
    array = sums[path][key].copy()
    array.flat[:] = 1 - array.flat[:] if array.dtype.kind == "i" else array.flat[:] * np.linspace(1, 2, array.size)
    result = derive(name, sums | {path: sums[path] | {key: array}}, committed)
    assert at(result, place) != at(committed, place)


def test_stored_sums_give_the_numbers_of_the_sums_at_hand():
    """Else stage and reviewer could be wrong together."""
    bootstrap = PARAMS.decomposition.bootstrap.model_dump()
    one = made("norm_baselines")[1]["saes"][0]
    for split in SPLITS:
        for way in CONVENTIONS:
            assert one["estimates"][split][way] == sae_estimates(regressors()[LAYERS]["norm"], split, way, bootstrap)
    judged = {sae["name"] for sae in per_token_scaling_results.compared(PARAMS)}
    pairs = [pair_estimates(pair, bootstrap) for pair in pairs_of(scaling_list()) if judged >= {*pair.ends}]
    assert made("per_token_scaling")[1]["pairs"] == pairs


def test_sums_of_other_saes_are_refused(stored):
    sums, committed = stored("norm_baselines")
    path = stored_in("norm_baselines")[0]
    kept = {key: array for key, array in sums[path].items() if not key.startswith(LAYERS)}
    with pytest.raises(ArtifactError, match=f"nothing of {LAYERS}.* Run `dvc repro`"):
        derive("norm_baselines", {path: kept}, committed)
