"""Sets of other architectures at layer 12: their lists and profiles, and tiny files of each kind under the real names.

Files in sae-lens's format are written by sae-lens's own training classes, as their authors exported theirs.
"""

from pathlib import Path
from typing import Any

import numpy as np
import published_saes as published
import pytest
import torch
from fake_hub import COMMIT, Hub
from profiles import profile_params
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    MatchingPursuitTrainingSAE,
    MatchingPursuitTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import SAEMetadata

from darkmatter import decompose
from darkmatter.planning import doctor_hub, doctor_saes
from darkmatter.saes.open import open_sae
from darkmatter.saes.published import layer_sets, pins
from darkmatter.saes.published.adopt import adopt_sae
from darkmatter.saes.published.dense import measurable
from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.profile_lists import reference
from darkmatter.saes.published.streamed import StreamedSae
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json
from darkmatter.storage.paths import MANIFESTS

SAE_LENS, SAEBENCH = layer_sets.LAYER_SETS
LISTS = {
    name: read_json(Path(__file__).parents[2] / MANIFESTS / f"{name}.json")["saes"] for name in (SAE_LENS, SAEBENCH)
}
EXPORTED = [sae for sae in LISTS[SAE_LENS] if sae["format"] == "sae-lens"]
PURSUIT = [sae for sae in EXPORTED if sae["architecture"] == "matching_pursuit"]
LATENTS, STEPS = 128, 20
CONTEXTS, POSITIONS = 12, 50
ROWS = published.rows(CONTEXTS * POSITIONS)
X = ROWS.reshape(CONTEXTS, POSITIONS, published.D_MODEL)
DICTIONARIES = {"relu": "AutoEncoder", "topk": "AutoEncoderTopK", "jumprelu": "MatryoshkaBatchTopKSAE"}


def name_of(entry: dict[str, Any]) -> str:
    return f"{entry['roles'][0]}/{entry['id'].rpartition('/')[2]}"


@pytest.mark.parametrize("name", layer_sets.LAYER_SETS)
def test_a_profile_names_all_of_its_list_but_matching_pursuit(name: str) -> None:
    params = profile_params(name)
    (found,) = doctor_saes.saes(params)
    assert found.ok, found.message
    named = {spec.reference for spec in params.sae_specs()}
    assert named == {reference(sae) for sae in LISTS[name] if sae["architecture"] != "matching_pursuit"}
    repositories = {sae["repo"] for sae in LISTS[name]}
    assert {asked[0] for asked in doctor_hub.of_saes(params)} == repositories


def test_the_sets_are_those_that_were_published() -> None:
    assert len(LISTS[SAE_LENS]) == 7 + 4 + 2 + 3 and len(PURSUIT) == 3
    trained = {sae["folder"].split("/")[2] for sae in LISTS[SAE_LENS] if sae["repo"] == layer_sets.BASELINES}
    assert trained == {"50M", "500M"}
    kinds = [(sae["architecture"], sae["width"]) for sae in LISTS[SAEBENCH] if sae["hookpoint"] == "resid_post.12"]
    assert len(kinds) == 3 * 3 * 6 == 6 * len(set(kinds))
    everything = [sae for saes in LISTS.values() for sae in saes]
    assert all(sae["revision"] is None and set(sae["sha256"].values()) == {None} for sae in everything)


def trained(entry: dict[str, Any]) -> Any:
    """An SAE of sae-lens as it stands at the end of training; entry: of a list, of which the architecture counts."""
    weights = {name: torch.from_numpy(array) for name, array in published.toy(LATENTS).items()}
    common = {"d_in": published.D_MODEL, "d_sae": LATENTS, "dtype": "float32", "device": "cpu"}
    common["metadata"] = SAEMetadata(model_name="google/gemma-2-2b", hook_name="model.layers.12")
    if entry["architecture"] == "matching_pursuit":
        sae: Any = MatchingPursuitTrainingSAE(
            MatchingPursuitTrainingSAEConfig(
                **common, residual_threshold=2.0, max_iterations=STEPS, decoder_init_norm=1.0
            )
        )
        weights["W_dec"] /= weights["W_dec"].norm(dim=1, keepdim=True)
        kept = {"W_dec", "b_dec"}
    elif "matryoshka" in entry["roles"][0]:
        options = {"k": 30, "matryoshka_widths": [32, LATENTS]}
        sae = MatryoshkaBatchTopKTrainingSAE(MatryoshkaBatchTopKTrainingSAEConfig(**common, **options))
        kept = {"W_enc", "W_dec", "b_enc", "b_dec"}
    else:
        sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**common, k=30))
        kept = {"W_enc", "W_dec", "b_enc", "b_dec"}
    state = sae.state_dict()
    state.update({name: weights[name] for name in kept})
    if "topk_threshold" in state:
        state["topk_threshold"] = torch.ones_like(state["topk_threshold"])
        state["b_enc"] += weights["b_dec"] @ weights["W_enc"]  # these see x − b_dec
    sae.load_state_dict(state)
    return sae


def tiny(tmp_path: Path, name: str, **sizes: object) -> Path:
    """A list for SAEs of fewer dimensions and latents."""
    saes = [sae | {"d_model": published.D_MODEL, "width": LATENTS} | sizes for sae in LISTS[name]]
    write_json(tmp_path / f"{name}.json", {"saes": saes})
    return tmp_path / f"{name}.json"


def nominal(entry: dict[str, Any]) -> float:
    return STEPS if entry["architecture"] == "matching_pursuit" else 36.0


@pytest.mark.parametrize("entry", EXPORTED, ids=name_of)
def test_an_export_of_sae_lens_opens_as_its_list_says(hub: Hub, tmp_path: Path, entry: dict[str, Any]) -> None:
    folder = hub.root / entry["repo"] / entry["folder"]
    trained(entry).save_inference_model(folder)
    manifest = tiny(tmp_path, SAE_LENS)
    loaded = load_pretrained(reference(entry), rows=ROWS, nominal_l0=nominal(entry), manifest=manifest)
    assert (loaded.architecture, loaded.hookpoint) == (entry["architecture"], "resid_post.12")
    pinned = pins.entry_named(manifest, reference(entry))
    assert pinned["revision"] == COMMIT
    assert pinned["sha256"] == {file: sha256_file(folder / file) for file in ("cfg.json", "sae_weights.safetensors")}

    lens = SAE.load_from_disk(folder)
    with torch.no_grad():
        acts = lens.encode(torch.from_numpy(ROWS))
        output = lens.decode(acts).numpy()
    sae = loaded.sae if isinstance(loaded.sae, StreamedSae) else measurable(loaded.sae, "the SAE")
    codes, result = sae.rebuild(ROWS)
    assert np.array_equal(codes.l0, acts.count_nonzero(dim=1).numpy()) and codes.l0.mean() > 5
    np.testing.assert_allclose(result, output, rtol=1e-4, atol=1e-4)


def dictionary(folder: Path, entry: dict[str, Any]) -> None:
    """A tiny SAE in dictionary_learning's format."""
    sae = {name: torch.from_numpy(array) for name, array in published.toy(LATENTS).items()}
    inside = sae["b_enc"] + sae["b_dec"] @ sae["W_enc"]  # all three classes see x − b_dec
    linear = {"encoder.weight": sae["W_enc"].T.contiguous(), "decoder.weight": sae["W_dec"].T.contiguous()}
    k = torch.tensor(30, dtype=torch.int)
    match entry["architecture"]:
        case "relu":
            state = {**linear, "encoder.bias": inside - 1, "bias": sae["b_dec"]}
        case "topk":
            state = {**linear, "encoder.bias": inside, "b_dec": sae["b_dec"], "k": k}
        case "jumprelu":
            state = {name: sae[name] for name in ("W_enc", "W_dec", "b_dec")} | {"b_enc": inside, "k": k}
            state |= {"threshold": torch.tensor(1.0), "group_sizes": torch.tensor([32, LATENTS - 32])}
    folder.mkdir(parents=True)
    torch.save(state, folder / "ae.pt")
    facts = {"dict_class": DICTIONARIES[entry["architecture"]], "activation_dim": published.D_MODEL, "layer": 12}
    facts |= {"dict_size": LATENTS, "lm_name": "google/gemma-2-2b", "submodule_name": "resid_post_layer_12", "k": 30}
    facts = {key: value for key, value in facts.items() if key != "k" or entry["architecture"] != "relu"}
    write_json(folder / "config.json", {"trainer": facts, "buffer": {"ctx_len": 128, "io": "out"}})


ADOPTED = [
    *((SAE_LENS, sae) for sae in EXPORTED if sae["id"] in ("batchtopk/l0-85", "matryoshka/l0-265")),
    *((SAE_LENS, sae) for sae in EXPORTED if "/500M/" in sae["id"]),
    *((SAEBENCH, sae) for sae in LISTS[SAEBENCH] if sae["id"].endswith("trainer_3") and sae["width"] == 4096),
]


@pytest.mark.parametrize(("name", "entry"), ADOPTED, ids=lambda one: name_of(one) if isinstance(one, dict) else one)
def test_one_of_a_set_is_taken_into_the_graph(hub: Hub, tmp_path: Path, name: str, entry: dict[str, Any]) -> None:
    folder = hub.root / entry["repo"] / entry["folder"]
    if name == SAE_LENS:
        trained(entry).save_inference_model(folder)
    else:
        dictionary(folder, entry)
    manifest, out = tiny(tmp_path, name), tmp_path / "data" / "saes" / "resid_post.12" / "one"
    out.mkdir(parents=True)
    np.save("x.npy", X)
    adopt_sae(out, **arguments(manifest, entry))
    sae = open_sae(out, entry["architecture"], LATENTS, None, ROWS)
    codes, result = sae.rebuild(ROWS)
    loaded = load_pretrained(reference(entry)).sae
    assert isinstance(loaded, StreamedSae)
    assert np.array_equal(codes.l0, loaded.encode(ROWS).l0) and np.array_equal(result, loaded.reconstruct(ROWS))


def arguments(manifest: Path, entry: dict[str, Any]) -> dict[str, Any]:
    named = {key: entry[key] for key in ("hookpoint", "architecture")}
    return named | {
        "reference": reference(entry),
        "group": entry["roles"][0],
        "d_sae": LATENTS,
        "k": 100,
        "nominal_l0": None,
        "manifest": manifest.as_posix(),
        "pinned": pins.entry_named(manifest, reference(entry)),
        "activations": "x.npy",
    }


def test_matching_pursuit_is_decomposed_and_kept_out_of_the_graph(hub: Hub, tmp_path: Path) -> None:
    entry = PURSUIT[0]
    trained(entry).save_inference_model(hub.root / entry["repo"] / entry["folder"])
    manifest = tiny(tmp_path, SAE_LENS)
    np.save("x.npy", X)
    with pytest.raises(ArtifactError, match=r"matching_pursuit: .*`darkmatter decompose --sae` runs"):
        adopt_sae(tmp_path, **arguments(manifest, entry))
    loaded = load_pretrained(reference(entry), manifest=manifest)
    with torch.no_grad():
        rebuilt = loaded.sae(torch.from_numpy(ROWS)).numpy().reshape(X.shape)
    options: dict[str, Any] = {"resamples": 100, "folds": 3, "threads": 1, "max_fvu": np.inf}
    result, right = decompose(X, loaded.sae, **options), decompose(X, reconstructions=rebuilt, **options)
    for quantity in ("fvu", "fvu_nonlinear"):
        value, expected = (one.estimates["token"]["paper"][quantity]["value"] for one in (result, right))
        assert value == pytest.approx(expected, rel=1e-4) and 0 < value < 1


def test_a_width_that_was_assumed_wrongly_is_refused(hub: Hub, tmp_path: Path) -> None:
    entry = EXPORTED[0]
    trained(entry).save_inference_model(hub.root / entry["repo"] / entry["folder"])
    with pytest.raises(ArtifactError, match=r"W_enc has latents × d_model \[128, 48\], expected \[256, 48\]"):
        load_pretrained(reference(entry), manifest=tiny(tmp_path, SAE_LENS, width=2 * LATENTS))
