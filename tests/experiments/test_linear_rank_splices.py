"""Splices of LinearError of a rank: the whole model with a hook, and section 5.3 where the rank is full."""

import numpy as np
import pytest
import torch
from decomposition_reference import regress
from downstream_case import CONTEXTS, D_MODEL, FIRST, LENGTH, POINT, SPLIT, files, make_case, shared, splice

from darkmatter.experiments.downstream.compute import fit_map, open_once
from darkmatter.experiments.downstream.estimates import held_out_contexts
from darkmatter.experiments.linear_rank.compute import DIRECTIONS, measure
from darkmatter.experiments.linear_rank.splices import splice_ranks
from darkmatter.models.extract import token_loss
from darkmatter.models.hookpoints import module_of
from darkmatter.models.load import load_model
from darkmatter.regression.splits import draw_splits
from darkmatter.runner import rounded_products
from darkmatter.saes.decoder import load_decoder
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json, write_json

SPLITS_DRAWN = draw_splits(CONTEXTS, LENGTH - 1 - FIRST, *SPLIT.values())
CONTEXT = held_out_contexts(SPLITS_DRAWN, 2)[1]
RANKS = [0, 3, D_MODEL]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = make_case(tmp_path_factory.mktemp("ranks"))
    fit_map(folder / "map", **shared(folder), **files(folder))
    (folder / "measured").mkdir()
    measure(folder / "measured", spliced=True, **shared(folder), **files(folder))
    return folder


def arguments(folder):
    one = {"name": "one", **files(folder), "directions": str(folder / "measured" / DIRECTIONS)}
    places = {"model": str(folder / "model"), "tokens": str(folder / "tokens.npy"), "hookpoint": POINT}
    return {**places, "first_position": FIRST, "context": CONTEXT, "saes": [one], "ranks": RANKS, **shared(folder)}


@pytest.fixture(scope="module")
def sums(case):
    open_once.cache_clear()
    splice_ranks(case / "out", **arguments(case))
    return read_arrays(case / "out" / "sums.npz")


def spliced_the_long_way(folder, rank):
    """Loss of the whole model with a hook that replaces the block's output; the map from dense least squares."""
    x = np.load(folder / "x.npy").reshape(-1, D_MODEL).astype(np.float64)
    codes = read_arrays(folder / "codes.npz")
    index, value = (torch.from_numpy(codes[name]) for name in ("index", "value"))
    sae = load_decoder(folder / "sae").sum_of(index, value).double().numpy()
    fitted = SPLITS_DRAWN.fits_on("context").ravel()
    mean = (x - sae)[fitted].mean(0)
    linear = regress(x, x - sae, fitted) - mean
    directions = np.linalg.svd(linear[fitted], full_matrices=False)[2][:rank].T
    rows = (sae + mean + linear @ directions @ directions.T).reshape(CONTEXTS, -1, D_MODEL)[CONTEXT]
    model = load_model(folder / "model")
    ids = torch.from_numpy(np.load(folder / "tokens.npy")[CONTEXT : CONTEXT + 1]).long()

    def replace(module, inputs, output):
        output = output.clone()
        output[0, FIRST:-1] = torch.from_numpy(rows).float()
        return output

    handle = module_of(model, POINT).register_forward_hook(replace)
    loss = float(token_loss(model, ids, FIRST).sum(dtype=torch.float64))
    handle.remove()
    return loss


@pytest.mark.parametrize("rank", RANKS)
def test_every_rank_is_the_whole_model_with_a_hook(case, sums, rank):
    assert sums["rows"] == LENGTH - 1 - FIRST
    assert sums[f"one/ce/{rank}"] == pytest.approx(spliced_the_long_way(case, rank), rel=1e-5)


def test_the_full_rank_is_the_splice_of_section_53(case, sums):
    whole = splice(case, CONTEXT)
    assert sums[f"one/ce/{D_MODEL}"] == pytest.approx(float(whole["one/ce/linear"]), rel=1e-6)
    assert abs(sums["one/ce/3"] - whole["one/ce/linear"]) > 1e-3 * sums["rows"]  # a lower rank is another splice


def test_passes_have_the_models_arithmetic(tmp_path, monkeypatch):
    """As those of section 5.3, whose cross-entropies they are compared with."""
    monkeypatch.setattr(rounded_products, "rounds_by_itself", lambda: False)
    folder = make_case(tmp_path)
    fit_map(folder / "map", **shared(folder), **files(folder))
    (folder / "measured").mkdir()
    measure(folder / "measured", spliced=True, **shared(folder), **files(folder))
    manifest = folder / "model" / "manifest.json"
    write_json(manifest, read_json(manifest) | {"arithmetic": "bfloat16"})
    whole = float(splice(folder, CONTEXT)["one/ce/linear"])
    splice_ranks(folder / "out", **arguments(folder))
    assert read_arrays(folder / "out" / "sums.npz")[f"one/ce/{D_MODEL}"] == pytest.approx(whole, rel=1e-6)


def test_activations_of_another_text_are_refused(case):
    tokens = np.load(case / "tokens.npy")
    np.save(case / "others.npy", (tokens + 1) % 256)
    with pytest.raises(ArtifactError, match="a row differs by"):
        splice_ranks(case / "out", **(arguments(case) | {"tokens": str(case / "others.npy")}))


def test_a_loss_that_is_no_number_is_refused(case, monkeypatch):
    monkeypatch.setattr(
        "darkmatter.experiments.downstream.model_pass.spliced_loss", lambda *_: torch.full((1, LENGTH), float("nan"))
    )
    with pytest.raises(ArtifactError, match="rank 0: the model returned NaN"):
        splice_ranks(case / "out", **arguments(case))
