"""The files of gradient pursuit, and the paired comparison with the SAE's own encoder."""

import numpy as np
import pytest
import torch
from decomposition_case import BOOTSTRAP, CONTEXTS, D_MODEL, D_SAE, POSITIONS, SPLIT, K, make_case
from decomposition_reference import reference
from profiles import profile_params

from darkmatter.decomposition.passes import decompose
from darkmatter.decomposition.results import MOMENTS, estimate_sae, regressions
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.pursuit import algorithm as pursuit
from darkmatter.experiments.pursuit import compute as pursuit_codes
from darkmatter.experiments.pursuit import estimates
from darkmatter.experiments.pursuit.compute import (
    check_codes,
    join_codes,
    pursue_contexts,
    ranges,
    write_first_contexts,
)
from darkmatter.experiments.pursuit.estimates import CLAIMED, OWN, compare
from darkmatter.experiments.pursuit.results import alike, results_of, stored
from darkmatter.regression.splits import draw_splits
from darkmatter.saes.decoder import load_decoder
from darkmatter.statistics.sae_estimates import hookpoint_sums
from darkmatter.storage.artifacts import ArtifactError, plain, read_arrays, read_json, write_arrays

ENCODERS = ("own", "exact_l0", "published")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """The stage's steps on one small SAE, the codes in the files the stage has."""
    folder = tmp_path_factory.mktemp("pursuit")
    x, _ = make_case(folder)
    (folder / "codes").mkdir()
    (folder / "codes.npz").rename(folder / "codes" / "codes.npz")
    sources = {"codes": str(folder / "codes"), "sae": str(folder / "sae")}
    parts = []
    for first, last in ((0, 5), (5, CONTEXTS)):
        parts.append(folder / "parts" / str(first))
        pursue_contexts(parts[-1], activations=str(folder / "x.npy"), first=first, last=last, **sources)
    join_codes(folder / "joined", [str(part) for part in parts], sources["codes"])
    moments = (folder / "prepared" / MOMENTS).parent
    moments.mkdir(parents=True)
    prepare(moments, activations=str(folder / "x.npy"), eigen_cutoff=1e-12, **SPLIT)
    for encoder in ENCODERS:
        out = folder / "decomposed" / "sae" / encoder
        files = {"codes": str(folder / "joined" / encoder / "codes.npz"), "sae": sources["sae"]}
        out.mkdir(parents=True)
        decompose(out, str(folder / "x.npy"), str(moments), **files, **SPLIT, each_dimension=encoder in (OWN, CLAIMED))
    return folder, x


def results(folder):
    spec = {"name": "sae", "group": "g", "d_sae": D_SAE, "k": K, "seed": 0}
    arrays = stored(folder / "prepared" / MOMENTS, folder / "decomposed", ["sae"])
    return results_of(arrays, [spec], "resid_post.1", BOOTSTRAP)


def test_shards_join_to_what_one_pursuit_gives(case):
    folder, _ = case
    decoder, own = load_decoder(folder / "sae"), read_arrays(folder / "codes" / "codes.npz")
    signal = torch.from_numpy(np.load(folder / "x.npy").reshape(-1, D_MODEL)) - decoder.b_dec
    whole = pursuit.pursue(signal, torch.from_numpy(own["l0"]).long(), pursuit.Dictionary.of(decoder.W_dec), K)
    for variant, arrays in whole.items():
        joined = read_arrays(folder / "joined" / variant / "codes.npz")
        assert {name: array.dtype for name, array in joined.items()} == {n: a.dtype for n, a in own.items()}
        assert (joined["index"] == arrays["index"]).all(1).mean() > 0.99
        np.testing.assert_allclose(joined["value"].sum(1), arrays["value"].sum(1), rtol=0.05)
    joined = read_arrays(folder / "joined" / "own" / "codes.npz")
    assert all(np.array_equal(joined[name], own[name]) for name in own)


@pytest.mark.parametrize("variant", ["exact_l0", "published"])
@pytest.mark.parametrize("split", ["token", "context"])
@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_differences_equal_dense_least_squares(case, variant, split, convention):
    folder, x = case
    splits = draw_splits(CONTEXTS, POSITIONS, SPLIT["fit_share"], SPLIT["folds"], SPLIT["split_seed"])
    decoder = load_decoder(folder / "sae")
    numbers = {}
    for encoder in ("own", variant):
        codes = read_arrays(folder / "joined" / encoder / "codes.npz")
        approximation = decoder.sum_of(*(torch.from_numpy(codes[name]) for name in ("index", "value")))
        numbers[encoder] = reference(x, approximation.double().numpy(), splits, split, convention)
    (fvu, fvu_p), (nl, nl_p) = ([numbers[e][key] for e in ("own", variant)] for key in ("fvu", "fvu_nonlinear"))
    expected = {
        "decrease": 1 - fvu_p / fvu,
        "absolute_decrease": fvu - fvu_p,
        "change": nl_p / nl - 1,
        "absolute_change": nl_p - nl,
        "share": (nl - nl_p) / (fvu - fvu_p),
    }
    result = results(folder)["saes"][0]["pursuit"][variant]["compared"][split][convention]
    assert expected["decrease"] > 0.05  # the encoder of `make_case` is a poor one
    assert {name: number["value"] for name, number in result.items()} == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert all(number["low"] < number["value"] < number["high"] for number in result.values())


def test_each_encoder_has_the_estimates_of_the_decomposition(case, tmp_path):
    folder, _ = case
    result = plain(results(folder)["saes"][0])
    for encoder, own in {"own": result["encoder"], **result["pursuit"]}.items():
        decomposed = folder / "decomposed" / "sae" / encoder
        estimate_sae(tmp_path, str(folder / "prepared" / MOMENTS), str(decomposed), **BOOTSTRAP)
        assert read_json(tmp_path / "estimates.json").items() <= own.items()


def test_counts_tokens_with_fewer_latents_than_the_sae_gave(case):
    folder, _ = case
    result = results(folder)["saes"][0]["pursuit"]
    l0 = {encoder: read_arrays(folder / "decomposed" / "sae" / encoder / "tokens.npz")["l0"] for encoder in ENCODERS}
    for variant in ("exact_l0", "published"):
        assert result[variant]["share_of_tokens_below_l0"] == np.mean(l0[variant] < l0["own"])
    assert result["published"]["share_of_tokens_below_l0"] > 0


def sums_of(folder, encoder):
    return read_arrays(folder / "decomposed" / "sae" / encoder / "sums.npz")


def hookpoint_of(folder):
    shared = read_arrays(folder / "prepared" / MOMENTS)
    return hookpoint_sums(shared, {name: int(fit["rank"]) for name, fit in regressions(shared).items()}, BOOTSTRAP)


def test_intervals_are_paired(case):
    """A tenth off every error: the decrease is 0.1 without any doubt, though neither FVU is known so well."""
    folder, _ = case
    hookpoint, own = hookpoint_of(folder), sums_of(folder, "own")
    scaled = own | {name: 0.9 * own[name] for name in ("sum/error", "pooled/nonlinear/token/paper")}
    result = compare(hookpoint, own, scaled, "token", "paper")
    for name, value in {"decrease": 0.1, "change": -0.1}.items():
        assert [result[name][end] for end in ("value", "low", "high")] == pytest.approx([value] * 3, abs=1e-12)
    assert result["absolute_decrease"]["high"] - result["absolute_decrease"]["low"] > 1e-3


def test_results_hold_the_estimands_of_the_claims(case):
    folder, _ = case
    result = results(folder)
    variant = result["saes"][0]["pursuit"][result["claimed"]]
    compared = variant["compared"]["token"]["paper"]
    level = {"level": BOOTSTRAP["level"]}  # of one SAE
    assert result["estimands"] == {
        "pursuit_fvu_decrease": {
            name: [{"sae": "sae", **compared[name], **level}] for name in ("decrease", "absolute_decrease")
        },
        "pursuit_nonlinear_change": {name: [{"sae": "sae", **compared[name], **level}] for name in ("change", "share")},
    }
    assert result["estimands"] == result["estimands_by_variant"]["token"]["paper"]
    assert variant["share_of_tokens_below_l0"] <= result["saes"][0]["pursuit"]["published"]["share_of_tokens_below_l0"]


def test_a_share_of_no_fall_is_null_with_its_reason(case):
    folder, _ = case
    hookpoint = hookpoint_of(folder)
    own, better = sums_of(folder, "own"), sums_of(folder, "exact_l0")
    same = compare(hookpoint, own, own, "token", "paper")
    assert [same[name]["value"] for name in ("decrease", "absolute_decrease", "change", "absolute_change")] == [0] * 4
    worse = compare(hookpoint, better, own, "token", "paper")
    assert worse["decrease"]["high"] < 0
    for result in (same, worse):
        assert result["share"]["value"] is None and "does not lower" in result["share"]["reason"]
    assert compare(hookpoint, own, better, "token", "paper")["share"]["value"] is not None


def test_both_modules_name_the_same_encoders():
    """The estimates import no torch, so the names stand twice."""
    assert estimates.OWN == pursuit_codes.OWN
    assert set(estimates.VARIANTS) == set(pursuit.VARIANTS)
    assert estimates.CLAIMED in pursuit.VARIANTS


def test_ranges_cover_every_context_once():
    assert ranges(25) == [(0, 10), (10, 20), (20, 25)]


def test_more_contexts_than_there_are_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 2, 4), np.float32))
    assert write_first_contexts(tmp_path / "first.npy", tmp_path / "x.npy", 2) == (2, 4)
    assert np.load(tmp_path / "first.npy").shape == (2, 2, 4)
    with pytest.raises(ArtifactError, match=r"pursuit.contexts is 4.* has 3: lower it"):
        write_first_contexts(tmp_path / "first.npy", tmp_path / "x.npy", 4)


def test_codes_and_decoders_of_something_else_are_refused(tmp_path):
    make_case(tmp_path)
    (tmp_path / "codes").mkdir()
    write_arrays(tmp_path / "codes" / "codes.npz", read_arrays(tmp_path / "codes.npz"))
    check_codes(tmp_path / "codes", CONTEXTS * POSITIONS)
    with pytest.raises(ArtifactError, match="720 rows, the eval activations 721"):
        check_codes(tmp_path / "codes", CONTEXTS * POSITIONS + 1)
    np.save(tmp_path / "other.npy", np.zeros((CONTEXTS, POSITIONS, D_MODEL + 1), np.float32))
    with pytest.raises(ArtifactError, match=f"decodes to {D_MODEL} dimensions"):
        pursue_contexts(
            tmp_path, str(tmp_path / "other.npy"), str(tmp_path / "codes"), str(tmp_path / "sae"), first=0, last=1
        )


def test_each_sae_has_the_noise_of_those_that_differ_in_their_seed():
    def changes(fall: float | None) -> dict:
        one = {"value": fall, "low": None, "high": None}
        return {"token": {"paper": dict.fromkeys(("decrease", "absolute_decrease", "change", "share"), one)}}

    compared = {"a": changes(0.10), "b": changes(0.14), "c": changes(0.5), "d": changes(None)}
    numbers = estimates.estimands(compared, "token", "paper", [["a", "b"]])["pursuit_fvu_decrease"]["decrease"]
    expected = {"deviation": pytest.approx(0.04 / 2**0.5), "freedom": 1}
    assert [one.get("of_seed") for one in numbers] == [expected, expected, expected, None]
    plain = estimates.estimands(compared, "token", "paper")["pursuit_nonlinear_change"]["change"]
    assert not any("of_seed" in one for one in plain)


def test_the_pairs_of_a_profile_are_those_that_were_pursued():
    params = profile_params("smollm2")
    assert alike(params, ["widths-2048-k32-s0", "seeds-2048-k32-s1", "widths-512-k32-s0"]) == [
        ["widths-2048-k32-s0", "seeds-2048-k32-s1"]
    ]
    assert alike(params, ["widths-2048-k32-s0", "widths-512-k32-s0"]) == []
