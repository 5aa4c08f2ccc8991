"""SAEs from folders, an offline cache and a hub on localhost; whatever is not what it claims to be is refused."""

import io
import json
import re
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import published_saes as published
import pytest
from fake_hub import COMMIT, Hub, serve
from huggingface_hub import constants
from safetensors.numpy import save_file

from darkmatter.saes.published import hub
from darkmatter.saes.published.gate import Gate, measure
from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.streamed import StreamedSae
from darkmatter.sources import hub_access
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json

ROWS = published.rows()
RELEASE, ID = "gemma-scope-2b-pt-res", published.GEMMA[1]
REFERENCE = f"{RELEASE}/{ID}"
PAPER_LISTS = ("gemma-2-2b", "gemma-2-9b", "llama-3.1-8b")
MANIFEST = Path(__file__).parents[2] / "conf" / "manifests" / "gemma-2-2b.json"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with an SAE of Gemma Scope, and an empty cache."""
    with serve(tmp_path / "served") as hub_:
        monkeypatch.setenv("HF_ENDPOINT", hub_.url)
        monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
        monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between huggingface_hub's tries
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        published.gemma_scope(hub_.root)
        yield hub_


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The list of Gemma 2 2B, for a model of fewer dimensions."""
    content = read_json(MANIFEST)
    for sae in content["saes"]:
        sae["d_model"] = published.D_MODEL
    write_json(tmp_path / "gemma-2-2b.json", content)
    return tmp_path / "gemma-2-2b.json"


def listed(content: dict) -> dict:
    """The entry of REFERENCE: SAEs of other releases may have the same id."""
    return next(sae for sae in content["saes"] if f"{sae['release']}/{sae['id']}" == REFERENCE)


def test_from_a_hub_then_offline_from_its_cache(served: Hub, manifest: Path, monkeypatch) -> None:
    first = load_pretrained(REFERENCE, rows=ROWS, manifest=manifest)
    weights = served.root / published.GEMMA[0] / ID / "params.npz"
    expected = {"params.npz": sha256_file(weights)}
    assert first.source == {
        "repo": published.GEMMA[0],
        "folder": ID,
        "revision": COMMIT,
        "format": "gemma-scope",
        "sha256": expected,
    }
    entry = listed(read_json(manifest))
    assert (entry["revision"], entry["sha256"]) == (COMMIT, expected)
    assert not any(token for _, _, token in served.seen), "a token was sent to a hub that is not Hugging Face"
    asked = len(served.seen)
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    again = load_pretrained(REFERENCE, manifest=manifest)
    assert len(served.seen) == asked
    assert np.array_equal(again.sae.reconstruct(ROWS), first.sae.reconstruct(ROWS))
    by_repository = load_pretrained(f"{published.GEMMA[0]}@{COMMIT}:{ID}")
    assert (by_repository.hookpoint, by_repository.nominal_l0) == ("resid_post.12", 41)
    assert by_repository.source == again.source


def test_wrong_bytes_of_the_right_length_are_refused(served: Hub, manifest: Path) -> None:
    served.faults["params.npz"] = lambda status, body: (status, body[:-30000] + bytes(30000))
    with pytest.raises(ArtifactError, match=r"SHA-256 \w{64}, not the \w{64} that the hub announced.*Remove it \(`rm "):
        load_pretrained(REFERENCE, manifest=manifest)
    entry = listed(read_json(manifest))
    assert entry["sha256"] == {"params.npz": None}


def test_a_file_that_changed_at_the_source_is_refused(served: Hub, manifest: Path) -> None:
    load_pretrained(REFERENCE, manifest=manifest)
    served.commit = "2" * 40
    with pytest.raises(ArtifactError, match=r"has no revision 1+"):
        hub.fetch(published.GEMMA[0], f"{ID}/other.npz", COMMIT)
    content = read_json(manifest)
    entry = listed(content)
    entry["sha256"]["params.npz"] = "0" * 64
    write_json(manifest, content)
    with pytest.raises(ArtifactError, match=r"not the 0+ pinned in the manifest"):
        load_pretrained(REFERENCE, manifest=manifest)


def test_a_file_outside_its_repository_is_refused() -> None:
    with pytest.raises(ArtifactError, match="outside its repository"):
        hub.needed("layer_12", "../../params.npz")
    assert hub.needed("layer_12", "../params.npz") == "params.npz"


def test_a_truncated_body_is_refused(served: Hub) -> None:
    served.faults["params.npz"] = lambda status, body: (status, body[:-1000])
    with pytest.raises(ArtifactError, match=r"could not be fetched|SHA-256"):
        load_pretrained(REFERENCE)


def test_a_token_goes_to_hugging_face_alone_and_for_gated_repositories_alone(served: Hub, monkeypatch) -> None:
    served.gated.add(published.GEMMA[0])
    with pytest.raises(hub_access.TokenMissingError, match=r"the token is sent to https://huggingface\.co alone"):
        load_pretrained(REFERENCE)
    assert not any(token for _, _, token in served.seen)
    monkeypatch.setattr(hub_access, "HUB", served.url)
    with pytest.raises(hub_access.GrantMissingError, match=r"Accept its terms on .*/google/gemma-scope-2b-pt-res"):
        load_pretrained(REFERENCE)
    assert "Bearer hf_secret" in [token for _, _, token in served.seen]
    served.granted.add("Bearer hf_secret")
    load_pretrained(REFERENCE)


def test_nothing_there_says_what_is_missing(served: Hub, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ArtifactError, match=r"has no file layer_12/width_16k/average_l0_82/params\.npz"):
        load_pretrained(f"{RELEASE}/layer_12/width_16k/average_l0_82")
    with pytest.raises(ArtifactError, match="has no public repository nobody/nothing"):
        load_pretrained("nobody/nothing:folder")
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    with pytest.raises(ArtifactError, match=r"is not in the cache .*, or unset HF_HUB_OFFLINE"):
        load_pretrained(REFERENCE)


def test_eviction_frees_the_cache_and_nothing_else(served: Hub, tmp_path: Path) -> None:
    loaded = load_pretrained(REFERENCE)
    before = loaded.sae.reconstruct(ROWS[:3])
    hub.evict(loaded.files["params.npz"])
    assert sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*") if file.is_file()) < 10_000
    assert np.array_equal(loaded.sae.reconstruct(ROWS[:3]), before), "an open map outlives its file"
    with pytest.raises(ArtifactError, match="not in the cache"):
        hub.evict(served.root / published.GEMMA[0] / ID / "params.npz")


def test_repositories_that_the_registry_does_not_know(served: Hub) -> None:
    published.sparsify(served.root / "someone" / "saes")
    published.sae_lens(served.root / "someone" / "saes" / "own")
    published.llama_scope(served.root)
    assert load_pretrained("someone/saes:layers.12").source["format"] == "sparsify"
    assert load_pretrained("someone/saes:own").source["format"] == "sae-lens"
    assert load_pretrained(f"{published.LLAMA[0]}:{published.LLAMA[1]}", rows=ROWS).nominal_l0 == 50
    (served.root / "someone" / "saes" / "weights.pt").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"neither cfg\.json nor hyperparams\.json.*other pickles .* not opened"):
        load_pretrained("someone/saes:")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_83",
            r"has no SAE .*; it has layer_12/width_16k/average_l0_8",
        ),
        ("gemma-scope-2b-pt-rez/layer_12", r"is none of: a folder.* begin alike: gemma-scope-2b-pt-res"),
        ("no/such/folder", "is none of: a folder"),
        ("org/repo:../../etc", "has no `..`"),
        ("org/repo:/etc", "is relative"),
        ("org/repo:layers.3/sae.safetensors", r"names a file: name its folder, org/repo:layers\.3/$"),
        ("goodfire-llama-3.3-70b-instruct/layer_50", "a pickle, and loading one runs whatever code is in it"),
        ("gemma-scope-2-270m-pt-transcoders-all/layer_0_width_16k_l0_big", "it is a transcoder"),
    ],
)
def test_references_to_nothing(reference: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        load_pretrained(reference)


@pytest.mark.parametrize("reference", ["no/such/folder", "my_sae", "~/my_sae"])
def test_a_path_to_nothing_is_told_no_releases(reference: str) -> None:
    with pytest.raises(ArtifactError) as raised:
        load_pretrained(reference)
    assert "begin alike" not in str(raised.value)


def test_a_file_in_place_of_its_folder(tmp_path: Path) -> None:
    folder = published.sae_lens(tmp_path / "sae")
    for file in ("cfg.json", "sae_weights.safetensors"):
        with pytest.raises(ArtifactError, match=rf"{file} is a file: name the folder of the SAE, {folder}$"):
            load_pretrained(folder / file)
    assert load_pretrained(folder).d_sae == 128


def test_without_a_network_an_empty_cache_says_nothing_of_the_repository(served: Hub, monkeypatch) -> None:
    published.sparsify(served.root / "someone" / "saes")
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    with pytest.raises(ArtifactError, match=r"not in the cache.* hf download someone/saes --include 'layers\.12/\*'`"):
        load_pretrained("someone/saes:layers.12")
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    assert load_pretrained("someone/saes:layers.12").source["format"] == "sparsify"


# Wrong loads: each passes every check of shapes.


def weights_of(folder: Path) -> StreamedSae:
    return load_pretrained(folder, rows=ROWS).sae


def test_missed_bias_when_folding_norms(tmp_path: Path) -> None:
    right = weights_of(published.llama_scope(tmp_path)).weights
    wrong = replace(right, b_dec=right.b_dec * np.float32(published.LLAMA_FACTOR))
    with pytest.raises(
        ArtifactError, match=r"explains -\d+.* of the variance of 20 rows, expected at least 0.3; L0 is 3"
    ):
        measure(StreamedSae(wrong, "llama"), ROWS[:20], "llama", 50)


def test_abnormally_large_l0_of_a_threshold_at_another_scale(tmp_path: Path) -> None:
    right = weights_of(published.llama_scope(tmp_path)).weights
    wrong = replace(right, threshold=right.threshold / np.float32(published.LLAMA_FACTOR))
    with pytest.raises(
        ArtifactError, match=r"llama: L0 is 3\d{4}\.\d on 20 rows, expected about 50 \(25 to 100\). Thresholds"
    ):
        measure(StreamedSae(wrong, "llama"), ROWS[:20], "llama", 50)


def test_topk_read_as_relu(tmp_path: Path) -> None:
    right = weights_of(published.sae_lens(tmp_path / "sae")).weights
    wrong = StreamedSae(replace(right, architecture="relu", k=None), "sae")
    with pytest.raises(ArtifactError, match=r"expected about 8 \(4 to 16\).*TopK read as ReLU"):
        measure(wrong, ROWS, "sae", 8)
    with pytest.raises(ArtifactError, match=r"expected above 0 and at most d_model = 48"):
        measure(wrong, ROWS, "sae")


def test_activations_of_another_place(tmp_path: Path) -> None:
    sae = weights_of(published.gemma_scope(tmp_path))
    with pytest.raises(ArtifactError, match=r"L0 is 0\.0 .* expected about 22 \(11 to 44\). Rows of another model"):
        measure(sae, ROWS / 100 + sae.weights.b_dec, "sae", 22)
    with pytest.raises(ArtifactError, match="are all the same"):
        measure(sae, np.repeat(ROWS[:1], 20, 0), "sae", 22)
    with pytest.raises(ArtifactError, match=r"expected at least 1.09 \(1.29 is published\)"):
        measure(sae, ROWS, "sae", 22, published=1.29)
    with pytest.raises(ArtifactError, match="rows to encode hold NaN"):
        measure(sae, ROWS * np.nan, "sae", 22)
    assert measure(sae, ROWS, "sae", 22, gate=Gate(rows=50)).rows == 50


def rewrite(path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
    with np.load(path) as archive:
        arrays = change({name: archive[name] for name in archive.files})
    np.savez(path, **arrays)


def narrowed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The whole SAE, consistent in itself, with half its latents."""
    first = {"W_enc": np.s_[:, :8192], "W_dec": np.s_[:8192], "b_enc": np.s_[:8192], "threshold": np.s_[:8192]}
    return {name: np.ascontiguousarray(array[first.get(name, ...)]) for name, array in arrays.items()}


def with_nan(array: np.ndarray) -> np.ndarray:
    damaged = array.copy()
    damaged[5000, 3] = np.nan
    return damaged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"W_dec": a["W_dec"].T.copy()}, r"W_dec has .*, so it is stored transposed"),
        (lambda a: a | {"W_enc": a["W_enc"][:, :16000].copy()}, r"W_enc has .* \[16000, 48\], expected \[16384"),
        (narrowed, r"\[8192, 48\], expected \[16384, 48\]"),
        (lambda a: a | {"W_dec": with_nan(a["W_dec"])}, "W_dec holds NaN or infinity among latents 0 to"),
        (lambda a: a | {"threshold": a["threshold"] * np.float32(np.inf)}, "threshold holds NaN or infinity"),
        (lambda a: a | {"b_enc": a["b_enc"].astype(np.int32)}, r"b_enc\.npy holds int32, expected float32, float16 or"),
        (lambda a: a | {"b_enc": a["b_enc"][:, None]}, r"b_enc has shape \[16384, 1\], expected 1 dimensions"),
        (lambda a: {name: a[name] for name in a if name != "threshold"}, r"has no threshold \(it has W_dec, W_enc, b"),
        (lambda a: a | {"W_skip": a["b_dec"]}, "nothing here uses W_skip"),
    ],
)
def test_damaged_npz(served: Hub, change, message: str) -> None:
    rewrite(served.root / published.GEMMA[0] / ID / "params.npz", change)
    with pytest.raises(ArtifactError, match=message):
        load_pretrained(REFERENCE)


def test_npz_with_a_name_twice_truncated_or_with_python_objects(tmp_path: Path) -> None:
    path = published.gemma_scope(tmp_path, 128) / "params.npz"
    whole = path.read_bytes()
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("b_dec.npy", archive.read("b_dec.npy"))
    with pytest.raises(ArtifactError, match="holds an array twice"):
        load_pretrained(path.parent)
    path.write_bytes(whole[:-100])
    with pytest.raises(ArtifactError, match=r"is truncated, damaged or not an \.npz"):
        load_pretrained(path.parent)
    objects = io.BytesIO()
    np.save(objects, np.array([{}]), allow_pickle=True)
    path.write_bytes(whole)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("extra.npy", objects.getvalue())
    with pytest.raises(ArtifactError, match=r"extra\.npy holds object"):
        load_pretrained(path.parent)


def test_safetensors_with_a_name_twice_or_truncated(tmp_path: Path) -> None:
    path = published.sae_lens(tmp_path / "sae") / "sae_weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(ArtifactError, match="is truncated, damaged or no safetensors"):
        load_pretrained(path.parent)
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    entries = [f"{json.dumps(name)}:{json.dumps(entry)}" for name, entry in header.items()]
    twice = ("{" + ",".join([entries[0], *entries]) + "}").encode()
    path.write_bytes(struct.pack("<Q", len(twice)) + twice + whole[8 + length :])
    with pytest.raises(ArtifactError, match="appears twice"):
        load_pretrained(path.parent)
    save_file({"W_enc": np.zeros((48, 128), dtype=np.int32)}, path)
    with pytest.raises(ArtifactError, match="W_enc holds I32, expected one of F32, F16, F64, BF16"):
        load_pretrained(path.parent)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"d_sae": 256}, r"W_enc has latents × d_model \[128, 48\], expected \[256, 48\]"),
        ({"k": 4000}, "TopK with k = 4000 of 128 latents"),
        ({"architecture": "crosscoder"}, "architecture 'crosscoder' is none of"),
        ({"architecture": "jumprelu", "k": None, "drop": True}, "has no threshold"),
    ],
)
def test_sae_lens_configurations_that_contradict_the_file(tmp_path: Path, changed: dict, message: str) -> None:
    dropped = {name: value for name, value in changed.items() if name != "drop"}
    folder = published.sae_lens(tmp_path / "sae", **dropped)
    if dropped != changed:
        published.sae_lens(tmp_path / "topk")
        (tmp_path / "topk" / "sae_weights.safetensors").replace(folder / "sae_weights.safetensors")
    with pytest.raises(ArtifactError, match=message):
        load_pretrained(folder)


def test_configurations_that_are_none(tmp_path: Path) -> None:
    folder = published.llama_scope(tmp_path, 128)
    facts = json.loads((folder / "hyperparams.json").read_text())
    for broken in ({**facts, "d_model": None}, {**facts, "dataset_average_activation_norm": None}, []):
        (folder / "hyperparams.json").write_text(json.dumps(broken))
        with pytest.raises(ArtifactError, match=r"hyperparams\.json is no configuration of the format llama-scope"):
            load_pretrained(folder)
    del facts["jump_relu_threshold"]
    (folder / "hyperparams.json").write_text(json.dumps(facts))
    with pytest.raises(ArtifactError, match=r"has no `jump_relu_threshold`, which a configuration .* correct a copy"):
        load_pretrained(folder)
    with pytest.raises(ArtifactError, match=r"format 'llama' is none of gemma-scope, "):
        load_pretrained(folder, format="llama")
    with pytest.raises(ArtifactError, match=r"cfg\.json does not exist, but an SAE in the format sae-lens has it"):
        load_pretrained(folder, format="sae-lens")


def test_folders_without_an_sae_and_with_a_pickle(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no SAE in a known format"):
        load_pretrained(tmp_path)
    (tmp_path / "sae.pt").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"sae\.pt may be a pickle, which runs code when loaded, and is not opened"):
        load_pretrained(tmp_path)


def test_llama_scope_of_another_norm_factor_is_refused(served: Hub) -> None:
    published.llama_scope(served.root, factor=4.0)
    with pytest.raises(ArtifactError, match=r"norm factor .* = 4 is not the 5\.91908 of sae-lens's registry"):
        load_pretrained("llama_scope_lxr_8x/l15r_8x")


def test_manifest_holds_the_width_the_architecture_and_what_is_listed(served: Hub, manifest: Path) -> None:
    content = read_json(manifest)
    entry = listed(content)
    wrong = {"d_model": (2304, r"\[16384, 48\], expected \[16384, 2304\]")}
    wrong["architecture"] = ("topk", "is jumprelu, but the manifest says topk")
    for key, (value, message) in wrong.items():
        write_json(manifest, {**content, "saes": [entry | {key: value}]})
        with pytest.raises(ArtifactError, match=message):
            load_pretrained(REFERENCE, manifest=manifest)
    write_json(manifest, {**content, "saes": []})
    with pytest.raises(ArtifactError, match="does not list"):
        load_pretrained(REFERENCE, manifest=manifest)


def test_the_program_of_the_document_runs(served: Hub, manifest: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    document = (MANIFEST.parent.parent.parent / "docs" / "paper-scale.md").read_text()
    (program,) = re.findall(r"^```python run\n(.*?load_pretrained.*?)^```", document, re.DOTALL | re.MULTILINE)
    (tmp_path / "conf" / "manifests").mkdir(parents=True)
    manifest.rename(tmp_path / "conf" / "manifests" / manifest.name)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "paper-scale.md", "exec"), {"rows": ROWS})  # noqa: S102
    assert "resid_post.12 Measured(rows=200, l0=3" in capsys.readouterr().out


def test_numbers_of_the_document_are_those_of_the_lists() -> None:
    document = (MANIFEST.parent.parent.parent / "docs" / "paper-scale.md").read_text()
    lists = {path.stem: read_json(path)["saes"] for path in MANIFEST.parent.glob("*.json")}
    for name, saes in lists.items():
        matrices = [1 if sae["architecture"] == "matching_pursuit" else 2 for sae in saes]
        size = sum(4 * n * sae["d_model"] * sae["width"] for n, sae in zip(matrices, saes, strict=True)) / 1e9
        assert re.search(rf"`{name}\.json` \| {len(saes)} \|.*\| {size:.0f} GB", document), (name, len(saes), size)
    roles = [set(sae["roles"]) for name in PAPER_LISTS for sae in lists[name]]
    caption = {"fig2", "near60", "llama"}
    main, swept = sum("fig2" in own for own in roles), sum("near60" in own and "fig2" not in own for own in roles)
    counts = [sum(bool(own & caption) for own in roles), main, swept, sum("llama" in own for own in roles)]
    counts += [sum(len(own & caption) for own in roles), sum(bool(own & (caption | {"figA"})) for own in roles)]
    counts.append(sum(bool(own - {"fig9b", "parents"}) for own in roles))
    text = " ".join(document.split())
    sentence = re.search(r"that is (\d+) of .*?: (\d+) at .*?, (\d+) more .*?, (\d+) of Llama .*? gives (\d+); .*?, (\d+); .*?, (\d+)\.", text)  # fmt: skip # noqa: E501
    assert [int(number) for number in sentence.groups()] == counts
