"""Sums rounded for git: within half a unit, totals too, R² as from the whole ones, and nothing made up."""

import numpy as np
import pytest
from fake_results import fake_results
from fake_sums import FakeRows
from profiles import profile_params

from darkmatter.decomposition import rounded_sums
from darkmatter.decomposition.results import MOMENTS
from darkmatter.decomposition.rounded_sums import committed_dimensions, restored, restored_x, rounded, rounded_x
from darkmatter.ledger.estimands.evidence import BY_DIMENSION, NOT_PULLED, VARIANTS, Evidence, Missing
from darkmatter.regression.splits import SPLITS
from darkmatter.storage.artifacts import read_arrays, write_arrays

CONTEXTS, D_MODEL = 40, 64
PARAMS = profile_params("smoke")


@pytest.fixture(scope="module")
def sums():
    """Rows, x and one SAE: every third context is held out of the context split; one dimension is zero, one large."""
    random = np.random.default_rng(0)
    held_out = np.arange(CONTEXTS) % 3 == 0
    rows = np.stack([np.full(CONTEXTS, 40.0), 100.0 * held_out, np.full(CONTEXTS, 100.0)])
    scale = np.exp(random.normal(size=D_MODEL)) * np.where(np.arange(D_MODEL) == 5, 1e4, 1)
    scale[7] = 0
    square = rows[..., None] * scale * random.gamma(4, 0.25, size=(3, CONTEXTS, D_MODEL))
    left = {"token/paper": 0.4, "token/authors": 0.41, "context/paper": 0.45, "context/authors": 0.46}
    own = {"error_square": square, "error_sum": np.sqrt(square) * random.normal(size=square.shape)}
    own |= {f"nonlinear/{key}": share * square * random.uniform(0.9, 1.1, square.shape) for key, share in left.items()}
    x = {"x_square": 5 * square, "x_sum": np.sqrt(5 * square) * random.normal(size=square.shape)}
    return rows, x, own


@pytest.mark.parametrize("split", SPLITS)
def test_every_sum_is_within_a_unit_and_every_total_within_half(sums, split):
    rows, _, own = sums
    place, kept = SPLITS.index(split), rows[SPLITS.index(split)] > 0
    result = restored(rows, rounded(rows, own))
    unit = rounded_sums.OF_SQUARES * own["error_square"][place][kept].mean(0)
    for name in ("error_square", f"nonlinear/{split}/paper", f"nonlinear/{split}/authors"):
        apart = result[name][place][kept] - own[name][place][kept]
        assert (abs(apart) <= 1.001 * unit).all()
        assert (abs(apart.sum(0)) <= 0.501 * unit).all()
        assert abs(apart).max() > 0  # it is rounded
    assert (result["error_square"][place][kept][:, 7] == 0).all()


def test_what_was_not_kept_is_no_number(sums):
    rows, x, own = sums
    result, shared = restored(rows, rounded(rows, own)), restored_x(rows, rounded_x(rows, x))
    assert np.isnan(result["error_square"][2]).all() and np.isnan(result["nonlinear/token/paper"][1:]).all()
    assert np.isnan(shared["x_sum"][1:]).all() and not np.isnan(shared["x_sum"][0]).any()
    assert np.isnan(result["error_square"][1][rows[1] == 0]).all()
    alone = restored(rows, rounded(rows, own, ("token",)))
    assert np.isnan(alone["error_square"][1]).all() and "nonlinear/context/paper" not in alone


def test_they_take_a_byte_or_two_for_each_number(sums):
    rows, _, own = sums
    arrays = rounded(rows, own)
    whole = {name: array for name, array in arrays.items() if not name.endswith("_unit")}
    assert {str(array.dtype) for array in whole.values()} <= {"int8", "int16"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Evidence from sums of every dimension, the same from committed ones alone, and from neither."""
    folder, results = tmp_path_factory.mktemp("rounded"), fake_results(PARAMS)
    sums, dimensions = FakeRows(results).write(folder)
    bare = folder / "bare"
    for path in sums.glob("*.npz"):
        arrays, saes = read_arrays(path), [sae["name"] for sae in results.saes(path.stem)]
        moments = dimensions / path.stem / MOMENTS
        write_arrays(moments, read_arrays(moments) | {"rows": arrays["rows"]})
        write_arrays(bare / path.name, arrays | committed_dimensions(dimensions / path.stem, saes))
    return [
        Evidence(PARAMS, results, where, whole, 3) for where, whole in ((sums, dimensions), (bare, None), (sums, None))
    ]


@pytest.mark.parametrize("variant", [*VARIANTS, BY_DIMENSION], ids=str)
def test_claims_are_judged_on_them_alone(world, variant):
    """No sum is off by more than a unit, so above and below a fraction by no more than OF_SQUARES of it."""
    whole, bare, nothing = world
    names = ["vector_r2"] if variant != BY_DIMENSION else ["fvu", "fvu_nonlinear"]
    for point in whole.main_grid():
        for name in names:
            numbers = [one.formula(point, variant, name) for one in (whole, bare)]
            drawn = np.random.default_rng(0).multinomial(24, np.full(24, 1 / 24), 9).astype(float)
            weights = drawn[:, numbers[0].view.used]
            known, result = (number.statistic(weights) for number in numbers)
            assert result == pytest.approx(known, abs=2 * rounded_sums.OF_SQUARES) and np.isfinite(result).all()
            with pytest.raises(Missing, match="sums of every dimension"):
                nothing.formula(point, variant, name)
    assert "make repro" in NOT_PULLED


def test_too_many_for_git_are_not_written(world, monkeypatch):
    whole, *_ = world
    hookpoint = PARAMS.figures.main_hookpoint
    saes = [sae["name"] for sae in whole.results.saes(hookpoint)]
    folder = whole.dimension_sums / hookpoint
    assert committed_dimensions(folder, saes)
    monkeypatch.setattr(rounded_sums, "MOST", len(saes) * 4 * (24 + 12) * 4 - 1)
    assert committed_dimensions(folder, saes) == {}
