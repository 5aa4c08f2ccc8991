"""Transcoders are refused wherever it is said, an SAE beside each is taken; references that miss are put right."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import published_saes as published
import pytest
import transcoder_case as case
from fake_hub import COMMIT, Hub, serve
from huggingface_hub import constants

from darkmatter.saes.published import registry
from darkmatter.saes.published.adopt import adopt_sae
from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.locate import local_files
from darkmatter.saes.published.pointer import POINTER, open_pointer
from darkmatter.saes.published.transcoders import REFUSED as REFUSED_CLT
from darkmatter.saes.published.transcoders import load_transcoder
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json

ROWS = published.rows()
REFUSED = "it is a transcoder: it predicts another activation than it reads"
PLACE = "model.layers.9.{}.output"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve(tmp_path / "served") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield hub


def change(path: Path, **changed: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def gemma_scope_2(root: Path, name: str, latents: int = 128) -> Path:
    """One under another folder of the same repository."""
    folder = root / published.GEMMA_2[0] / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    return published.gemma_scope_2(root / "made", latents).rename(folder)


# What the files say.


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "transcoder"},
        {"type": "clt"},
        {"type": None, "hf_hook_point_out": PLACE.format("post_feedforward_layernorm")},
    ],
)
def test_gemma_scope_2_says_so_in_its_description(tmp_path, changed):
    folder = gemma_scope_2(tmp_path, "mlp_out/layer_9_width_16k_l0_small")
    assert load_pretrained(folder, rows=ROWS).hookpoint == "attn_z.9"
    change(folder / "config.json", **changed)
    with pytest.raises(ArtifactError, match=rf"config\.json: (`type` is|reads .* and predicts) .*: {REFUSED}"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"type": "crosscoder"}, "`type` is 'crosscoder'"), ({"affine_connection": True}, "`affine_connection` is True")],
)
def test_other_kinds_of_gemma_scope_2(tmp_path, changed, message):
    folder = gemma_scope_2(tmp_path, "mlp_out/layer_9_width_16k_l0_small")
    change(folder / "config.json", **changed)
    with pytest.raises(ArtifactError, match=message):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("place", "ours"),
    [
        ("model.layers.9.output", "resid_post.9"),
        (PLACE.format("post_feedforward_layernorm"), "mlp_out.9"),
        (PLACE.format("pre_feedforward_layernorm"), None),
    ],
)
def test_gemma_scope_2_names_its_hookpoint(tmp_path, place, ours):
    folder = published.gemma_scope_2(tmp_path, 128)
    change(folder / "config.json", hf_hook_point_in=place, hf_hook_point_out=place)
    assert load_pretrained(folder).hookpoint == ours


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hook_point_out": "blocks.15.hook_mlp_out"}, r"reads .*resid_post and predicts .*_mlp_out"),
        ({"dataset_average_activation_norm": {"in": 64.0, "out": 3.4}}, r"is 64\.0 in and 3\.4 out"),
    ],
)
def test_llama_scope_of_two_activations(tmp_path, changed, message):
    folder = published.llama_scope(tmp_path, 128)
    load_pretrained(folder)
    change(folder / "hyperparams.json", **changed)
    with pytest.raises(ArtifactError, match=f"{message}.*{REFUSED}"):
        load_pretrained(folder)


def test_an_output_without_an_input_is_no_evidence_of_an_sae(tmp_path):
    folder = published.llama_scope(tmp_path, 128)
    change(folder / "hyperparams.json", hook_point_in=None)
    with pytest.raises(ArtifactError, match=r"predicts, blocks\.15\.hook_resid_post, but not the one that it reads"):
        load_pretrained(folder)
    change(folder / "hyperparams.json", hook_point_out=None)
    assert load_pretrained(folder).hookpoint is None


@pytest.mark.parametrize("run", [{"transcode": True}, {"sae": {"transcode": True}}])
def test_sparsify_says_so_in_its_own_or_its_run_s_configuration(tmp_path, run):
    folder = published.sparsify(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"transcode": False, "sae": {"k": 8}, "model": "org/llama"}))
    assert load_pretrained(folder, rows=ROWS).hookpoint == "resid_post.12"
    (tmp_path / "config.json").write_text(json.dumps(run))
    with pytest.raises(ArtifactError, match=rf"config\.json: `transcode` is set: {REFUSED}"):
        load_pretrained(folder)
    seed = folder.rename(tmp_path / "moved").rename(
        (tmp_path / "layers.12").mkdir() or tmp_path / "layers.12" / "seed0"
    )
    with pytest.raises(ArtifactError, match="`transcode` is set"):
        load_pretrained(seed)
    (tmp_path / "config.json").write_text("[]")  # of something else
    assert load_pretrained(seed).hookpoint == "resid_post.12"
    change(seed / "cfg.json", transcode=True)
    with pytest.raises(ArtifactError, match=f"`transcode` is True: {REFUSED}"):
        load_pretrained(seed)


# What names say.


@pytest.mark.parametrize(
    "reference",
    [
        "google/gemma-scope-2b-pt-transcoders:layer_0/width_16k/average_l0_76",
        "google/gemma-scope-2b-pt-transcoders:layer_3/width_16k/average_l0_9",
        "google/gemma-scope-2-270m-pt:transcoder_all/layer_9_width_16k_l0_small",
        "google/gemma-scope-2-270m-pt:clt/width_262k_l0_big",
        "google/gemma-scope-2-270m-pt:crosscoder/layer_5_9_12_15_width_1m_l0_big",
        "EleutherAI/skip-transcoder-Llama-3.2-1B-131k:layers.5.mlp",
    ],
)
def test_repositories_and_folders_named_so_are_not_fetched(served, reference):
    with pytest.raises(ArtifactError, match="transcoder"):
        load_pretrained(reference)
    assert not served.seen


@pytest.mark.parametrize(
    ("folder", "refused"),
    [
        ("transcoder_all/layer_9_width_16k_l0_small", True),
        ("clt/width_262k_l0_big", True),
        ("crosscoder/layer_5_9_12_15_width_1m_l0_big", True),
        ("models--google--gemma-scope-2b-pt-transcoders/snapshots/1/layer_3/width_16k/average_l0_9", True),
        ("gemma-scope-2b-pt-transcoders/layer_3/width_16k/average_l0_9", True),
        ("models--google--gemma-scope-2b-pt-res/snapshots/1/layer_3/width_16k/average_l0_9", False),
        ("sae_or_transcoder/mine", False),  # one's own names may say anything
        ("eclts/layer_9", False),
    ],
)
def test_local_folders_named_so(tmp_path, folder, refused):
    made = published.gemma_scope(tmp_path / "made", 128)
    place = tmp_path / folder
    place.parent.mkdir(parents=True)
    made.rename(place)
    if refused:
        with pytest.raises(ArtifactError, match=f"the name .* says that {REFUSED}.*move it under another name"):
            load_pretrained(place)
    else:
        assert load_pretrained(place, rows=ROWS).measured.explained_variance > 0.3


# Files that may be missing.


def test_a_description_on_the_hub_is_fetched_hashed_and_checked_again(served, tmp_path, monkeypatch):
    folder = published.gemma_scope_2(served.root)
    reference = f"{published.GEMMA_2[0]}@{COMMIT}:{published.GEMMA_2[1]}"
    loaded = load_pretrained(reference)
    names = ("params.safetensors", "config.json")
    assert loaded.source["sha256"] == {name: sha256_file(folder / name) for name in names}
    np.save(tmp_path / "x.npy", ROWS.reshape(4, 50, -1))
    facts = {"group": "g", "hookpoint": "attn_z.9", "architecture": "jumprelu", "d_sae": 16384, "k": None}
    facts |= {"nominal_l0": None, "manifest": None, "pinned": None, "activations": str(tmp_path / "x.npy")}
    adopt_sae(tmp_path, reference, **facts)
    again = open_pointer(tmp_path)
    assert np.array_equal(again.reconstruct(ROWS), loaded.sae.reconstruct(ROWS))
    pointer = read_json(tmp_path / POINTER)
    pointer["source"]["sha256"]["config.json"] = "0" * 64
    write_json(tmp_path / POINTER, pointer)
    monkeypatch.setattr("darkmatter.saes.published.cache.checked", set())
    with pytest.raises(ArtifactError, match=r"config\.json has SHA-256"):
        open_pointer(tmp_path)
    change(folder / "config.json", type="transcoder")
    served.commit = "2" * 40
    with pytest.raises(ArtifactError, match=REFUSED):
        load_pretrained(f"{published.GEMMA_2[0]}:{published.GEMMA_2[1]}")


def test_a_run_s_configuration_on_the_hub(served):
    published.sparsify(served.root / "someone" / "saes")
    assert load_pretrained("someone/saes:layers.12").source["sha256"].keys() == {"cfg.json", "sae.safetensors"}
    (served.root / "someone" / "saes" / "config.json").write_text('{"transcode": true}')
    served.commit = "2" * 40
    with pytest.raises(ArtifactError, match=REFUSED):
        load_pretrained("someone/saes:layers.12")


@pytest.mark.parametrize("down", ["offline", "unreachable"])
def test_without_a_network_a_missing_description_is_no_error(served, tmp_path, monkeypatch, down):
    (published.gemma_scope_2(served.root) / "config.json").unlink()
    reference = f"{published.GEMMA_2[0]}@{COMMIT}:{published.GEMMA_2[1]}"
    before = load_pretrained(reference)
    asked = len(served.seen)
    assert load_pretrained(reference).source == before.source
    assert len(served.seen) == asked, "the hub is asked once whether it has a description"
    for noted in (tmp_path / "cache").rglob(".no_exist"):
        shutil.rmtree(noted)
    if down == "offline":
        monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    else:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = load_pretrained(reference)
    assert again.source == before.source
    assert again.source["sha256"].keys() == {"params.safetensors"}


def test_manifests_pin_the_files_that_every_sae_has(served, tmp_path):
    published.gemma_scope_2(served.root)
    manifest = tmp_path / "gemma3-270m.json"
    content = read_json(Path(__file__).parents[2] / "conf" / "manifests" / "gemma3-270m.json")
    release, name = "gemma-scope-2-270m-pt-att", "layer_9_width_16k_l0_small"
    place = {"release": release, "id": name, "folder": published.GEMMA_2[1], "d_model": published.D_MODEL}
    results = [content["saes"][0] | place | {"width": 16384}]
    write_json(manifest, content | {"saes": results})
    loaded = load_pretrained(f"{release}/{name}", manifest=manifest)
    assert loaded.source["sha256"].keys() == {"params.safetensors", "config.json"}
    (entry,) = read_json(manifest)["saes"]
    assert entry["sha256"] == {"params.safetensors": loaded.source["sha256"]["params.safetensors"]}
    assert load_pretrained(f"{release}/{name}", manifest=manifest).source == loaded.source


# References and folders.


def test_a_cache_that_knows_commits_but_no_branch_lists_them(served, tmp_path, monkeypatch):
    published.llama_scope(served.root, 32768)
    reference = f"{published.LLAMA[0]}@{COMMIT}:{published.LLAMA[1]}"
    load_pretrained(reference)
    repository = tmp_path / "cache" / f"models--{published.LLAMA[0].replace('/', '--')}"
    (repository / "snapshots" / ("3" * 40)).mkdir()  # without the SAE
    for path in (repository / "refs").glob("*"):
        path.unlink()
    for variable, value in (("DARKMATTER_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "http://127.0.0.1:9")):
        with monkeypatch.context() as context:
            context.setenv(variable, value)
            for asked in (f"{published.LLAMA[0]}:{published.LLAMA[1]}", "llama_scope_lxr_8x/l15r_8x"):
                with pytest.raises(ArtifactError, match=rf"which commit `main` is.* at 1: name it, as `{reference}`\."):
                    load_pretrained(asked)
            load_pretrained(reference)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("org/repo/some/folder", "`org/repo:some/folder`"),
        ("org/repo", "`org/repo:FOLDER`, or `org/repo:` where the SAE lies at its top"),
        (f"org/repo@{COMMIT}/folder", f"`org/repo@{COMMIT}:folder`"),
        ("https://huggingface.co/org/repo/tree/main/some/folder", "`org/repo:some/folder`"),
        (f"https://huggingface.co/org/repo/tree/{COMMIT}/folder", f"`org/repo@{COMMIT}:folder`"),
    ],
)
def test_a_repository_with_a_slash_is_told_the_right_form(given, right):
    with pytest.raises(ArtifactError, match=f"If it is a repository of the hub, write {right}"):
        load_pretrained(given)


def test_a_folder_of_saes_names_them(tmp_path):
    for name in ("layers.3", "layers.5.mlp"):
        published.sparsify(tmp_path / "made").rename((tmp_path / "run").mkdir(exist_ok=True) or tmp_path / "run" / name)
    llama = published.llama_scope(tmp_path / "suite", 128).relative_to(tmp_path)
    run = tmp_path / "run"
    with pytest.raises(ArtifactError, match=rf"do: name one of them, {run}/layers\.3, {run}/layers\.5\.mlp$"):
        local_files(run, None)
    with pytest.raises(ArtifactError, match=f"name one of them, .*{llama}"):
        local_files(tmp_path / "suite", None)
    for place in range(8):
        (run / f"more{place}").mkdir()
        (run / f"more{place}" / "sae.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"more5 and 2 more$"):
        local_files(run, None)


@pytest.mark.parametrize(
    ("name", "model", "ours"),
    [
        ("layers.3", None, "resid_post.3"),
        ("layers.5.mlp", None, "mlp_out.5"),
        ("layers.5.self_attn", None, "attn_out.5"),
        ("layers.0.attention", "EleutherAI/pythia-70m", "attn_out.0"),
        ("h.7", None, "resid_post.7"),
        ("layers.5.mlp", "google/gemma-2-2b", None),  # normalised once more before it is mlp_out
        ("layers.5", "google/gemma-2-2b", "resid_post.5"),
        ("layers.5.mlp.act", None, None),
        ("embed_tokens", None, None),
    ],
)
def test_hookpoints_of_sparsify_are_modules(tmp_path, name, model, ours):
    folder = published.sparsify(tmp_path / "made").rename(tmp_path / name)
    (tmp_path / "config.json").write_text(json.dumps({"model": model}))
    assert load_pretrained(folder).hookpoint == ours


# Opened as transcoders, where their targets are given.


@pytest.mark.parametrize(
    ("repo", "place", "write", "skip"),
    [
        ("google/gemma-scope-2-270m-pt", "transcoder_all/layer_9_width_16k_l0_small_affine", "gemma_scope_2", True),
        ("google/gemma-scope-2b-pt-transcoders", "layer_0/width_16k/average_l0_76", "gemma_scope", False),
        ("someone/skips", "layers/9", "sae_lens", True),
        ("mwhanna/qwen3-4b-transcoders", "layer_0.safetensors", "layer", False),
    ],
)
def test_a_transcoder_of_the_hub_is_fetched_at_one_commit(served, repo, place, write, skip):
    folder = served.root / repo / (place if write != "layer" else ".made")
    weights = case.make_weights(case.D_MODEL, skip)
    made = getattr(case, write)(folder, weights)
    if write == "layer":
        made.rename(served.root / repo / place)
    loaded = load_transcoder(f"{repo}:{place}")
    assert loaded.source["revision"] == COMMIT and loaded.source["sha256"]
    assert (getattr(loaded.sae, "skip", None) is not None or hasattr(loaded.sae, "W_skip")) == skip
    assert (loaded.d_model, loaded.d_sae) == (case.D_MODEL, case.D_SAE)


def test_a_layer_of_a_cross_layer_transcoder_is_refused_with_the_reason(served):
    loaders = {name: facts.get("conversion_func") for name, facts in registry.content().items()}
    release = next(name for name, loader in loaders.items() if loader in REFUSED_CLT)
    with pytest.raises(ArtifactError, match="alone it predicts no activation"):
        load_transcoder(f"{release}/{registry.saes_of(release)[0].id}")
