"""The lists of the paper's SAEs follow from the registry, and a pin once recorded is enforced."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from darkmatter.runner.code_identity import closure
from darkmatter.saes.published import manifests, pins, registry
from darkmatter.saes.published.names import named, our_hookpoint
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.paths import MANIFESTS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / MANIFESTS
RELEASE, ID, FILE = "gemma-scope-2b-pt-res", "layer_12/width_16k/average_l0_82", "params.npz"


def test_the_committed_lists_are_what_the_registry_gives(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "lists")  # with their pins
    written = manifests.write(tmp_path / "lists", tmp_path)
    assert {path.name for path in written} == {path.name for path in FOLDER.glob("*.json")}
    for path in [*written, *tmp_path.glob("*.yaml")]:
        committed = (FOLDER if path.suffix == ".json" else ROOT / manifests.PROFILES) / path.name
        assert path.read_text() == committed.read_text(), (
            "the registry or the rules have changed: `python -m darkmatter.saes.published.manifests` writes them again"
        )


def test_roles() -> None:
    saes = read_json(FOLDER / "gemma-2-2b.json")["saes"]
    assert {sae["layer"] for sae in saes if "fig2" in sae["roles"]} == {12}
    assert {sae["layer"] for sae in saes if "figA" in sae["roles"]} == {5, 19}
    for role in ("near60", "near50"):
        places = [(sae["layer"], sae["width"]) for sae in saes if role in sae["roles"]]
        assert len(set(places)) == len(places)
        assert {layer for layer, width in places if width == 16384} == set(range(26))
    main = [sae for sae in saes if (sae["hookpoint"], sae["width"]) == ("resid_post.12", 16384)]
    at_12 = {sae["nominal_l0"]: sae["roles"] for sae in main}
    assert at_12 == {22: ["fig2"], 41: ["fig2", "near60", "near50"], 82: ["fig2"], 176: ["fig2"], 445: ["fig2"]}
    parents = [sae for sae in read_json(FOLDER / "gemma-2-9b.json")["saes"] if sae["roles"] == ["fig9b"]]
    assert sorted(sae["hookpoint"] for sae in parents) == ["attn_z.19", "attn_z.20", "mlp_out.19", "mlp_out.20"]
    assert {sae["hookpoint"]: sae["d_model"] for sae in parents}["attn_z.20"] == 4096


def test_of_two_equally_near_the_sparser_is_taken() -> None:
    def sae(l0: float) -> registry.Listed:
        folder = f"layer_3/width_16k/average_l0_{l0}"
        return registry.Listed("r", folder, "google/gemma-scope-2b-pt-res", folder, "gemma_2", l0, None, None)

    assert [sae.nominal_l0 for sae in manifests.nearest_per_layer_and_width([sae(70), sae(50), sae(10)], 60)] == [50]


def test_lists_are_made_without_torch_or_sae_lens() -> None:
    for path in closure(ROOT / "darkmatter" / "saes" / "published" / "manifests.py"):
        assert not re.search(r"^\s*(import|from) (torch|sae_lens|transformers)", path.read_text(), re.MULTILINE), path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "gemma-2-2b.json"
    path.write_text((FOLDER / "gemma-2-2b.json").read_text())
    return path


def test_a_pin_is_recorded_enforced_and_kept_when_the_list_is_written_again(manifest: Path) -> None:
    pins.record(manifest, RELEASE, ID, "a" * 40, {FILE: "b" * 64})
    entry = pins.entry_of(manifest, RELEASE, ID)
    assert (entry["revision"], entry["sha256"]) == ("a" * 40, {FILE: "b" * 64})
    pins.record(manifest, RELEASE, ID, "a" * 40, {FILE: "b" * 64})
    with pytest.raises(ArtifactError, match=r"params\.npz has SHA-256 c+, but .* pins b+\. Remove the file"):
        pins.record(manifest, RELEASE, ID, "a" * 40, {FILE: "c" * 64})
    with pytest.raises(ArtifactError, match=r"fetched at revision d+, but .* pins a+"):
        pins.record(manifest, RELEASE, ID, "d" * 40, {FILE: "b" * 64})
    with pytest.raises(ArtifactError, match=r"its files are \['other'\]"):
        pins.record(manifest, RELEASE, ID, "a" * 40, {"other": "b" * 64})
    manifests.write(manifest.parent, manifest.parent)
    assert pins.entry_of(manifest, RELEASE, ID) == entry
    others = [sae for sae in read_json(manifest)["saes"] if sae["id"] != ID]
    assert all(sae["revision"] is None and sae["sha256"] == {FILE: None} for sae in others)


def test_what_is_not_listed_has_no_pin(manifest: Path) -> None:
    with pytest.raises(ArtifactError, match="does not list gemma-scope-2b-pt-res/layer_4/width_16k/average_l0_7"):
        pins.entry_of(manifest, RELEASE, "layer_4/width_16k/average_l0_7")


@pytest.mark.parametrize(
    ("repo", "folder", "expected"),
    [
        ("google/gemma-scope-9b-pt-att", "layer_19/width_16k/average_l0_41", ("attn_z.19", 16384, 41)),
        ("google/gemma-scope-9b-pt-res", "layer_20/width_262k/average_l0_64", ("resid_post.20", 262144, 64)),
        ("google/gemma-scope-9b-pt-res", "embedding/width_4k/average_l0_14", (None, 4096, 14)),
        ("google/gemma-scope-2-270m-pt", "resid_post/layer_9_width_1m_l0_small", ("resid_post.9", 1 << 20, None)),
        ("google/gemma-scope-2-270m-pt", "attn_out_all/layer_0_width_16k_l0_big", ("attn_z.0", 16384, None)),
        ("fnlp/Llama3_1-8B-Base-LXM-32x", "Llama3_1-8B-Base-L15M-32x", ("mlp_out.15", 131072, None)),
        ("someone/something", "layer_12/width_16k", (None, None, None)),
    ],
)
def test_names(repo: str, folder: str, expected: tuple) -> None:
    result = named(repo, folder)
    assert (result.hookpoint, result.width, result.nominal_l0) == expected


def test_hookpoints_of_transformer_lens() -> None:
    assert our_hookpoint("blocks.12.hook_resid_post") == "resid_post.12"
    assert our_hookpoint("blocks.3.attn.hook_z") == "attn_z.3"
    assert our_hookpoint("attn_out.14") == "attn_out.14"
    assert our_hookpoint("model.layers.12") == our_hookpoint("model.layers.12.output") == "resid_post.12"
    assert our_hookpoint("blocks.12") is our_hookpoint("model.layers.12.mlp") is None
    assert our_hookpoint("blocks.3.hook_resid_mid") is None


def test_every_loader_of_the_registry_is_read_or_refused_with_a_reason() -> None:
    loaders = {facts.get("conversion_func") for facts in registry.content().values()}
    assert loaders <= registry.FORMAT_OF_LOADER.keys() | registry.REFUSED_LOADERS.keys()
    for release in ("goodfire-llama-3.3-70b-instruct", "gemma-scope-2b-pt-transcoders"):
        with pytest.raises(ArtifactError, match=r"a pickle|a transcoder"):
            _ = registry.saes_of(release)[0].format


def test_the_registry_is_the_one_sae_lens_reads() -> None:
    assert (
        yaml.safe_load(json.dumps(registry.content()["llama_scope_lxr_8x"]))["repo_id"]
        == "fnlp/Llama3_1-8B-Base-LXR-8x"
    )


def test_an_sae_of_unknown_width_layer_or_l0_is_refused() -> None:
    listed = next(sae for sae in registry.saes_of(RELEASE) if sae.id == ID)
    assert manifests.width_of(listed) == 16384
    with pytest.raises(ArtifactError, match="nothing says its width"):
        manifests.width_of(replace(listed, folder="layer_12"))
    for unknown, what in (({"folder": "width_16k"}, "layer"), ({"nominal_l0": None}, "L0")):
        with pytest.raises(ArtifactError, match=f"{ID}: nothing says its {what}"):
            manifests.nearest_per_layer_and_width([replace(listed, **unknown)] * 2, 60)
