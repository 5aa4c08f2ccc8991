"""Every stage of the profile gemma-2-2b on a tiny Gemma 2, SAEs under Gemma Scope's names and a hub of this machine."""

import json
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from dvc.utils.hydra import compose_and_dump
from hub_case import publish_model, publish_saes, publish_text, run_stage
from profiles import composed, profile_params
from shown_runs import copy_shown_runs

from darkmatter.models.activation_files import open_activations, rows_of
from darkmatter.models.load import random_model
from darkmatter.params.schema import parse_params
from darkmatter.report.compared import COMPARED
from darkmatter.runner.units import input_hash
from darkmatter.saes.open import open_decoder
from darkmatter.saes.protocol import Codes
from darkmatter.saes.published import cache
from darkmatter.saes.published.pointer import POINTER, open_pointer
from darkmatter.sources.hub_access import OfflineError, WrongBytesError
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PROFILE = "smoke-hub"
DOCUMENT = (ROOT / "docs" / "extending.md").read_text()


def test_the_whole_graph_runs_on_published_saes(hub, monkeypatch):
    params = profile_params(PROFILE)
    Path("params.yaml").write_text(composed(PROFILE))
    for name in ("claims.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, name)
    original, tokenizer = random_model(params.model)
    publish_model(hub, original.to(torch.bfloat16), tokenizer)
    publish_text(hub)
    COMPARED.mkdir(parents=True)
    copy_shown_runs(Path())

    for name in PIPELINE:
        if name == "saes":
            publish_saes(hub, params)
        for key in params.hookpoints if name == "decomposition" else [None]:
            run_stage(name, params, *([key] if key else []))

    check_pointers(hub, params)
    check_pins(params)
    check_room(params)
    check_results(params)
    check_own_sae(params)
    check_refusals(hub, params, monkeypatch)


def check_pointers(hub, params):
    manifest = {
        f"{sae['release']}/{sae['id']}": sae for sae in read_json(Path("conf/manifests/smoke-hub.json"))["saes"]
    }
    for spec in params.sae_specs():
        folder = Path("data/saes") / spec.path
        assert [file.name for file in folder.iterdir()] == [POINTER]
        pointer = read_json(folder / POINTER)
        served = files_of(spec) / "params.npz"
        assert pointer["source"]["sha256"] == {"params.npz": sha256_file(served)} == manifest[spec.reference]["sha256"]
        assert pointer["source"]["revision"] == hub.commit == manifest[spec.reference]["revision"]
        assert pointer["measured"]["l0"] == pytest.approx(spec.nominal_l0, rel=0.3)
        x = np.asarray(rows_of(open_activations(Path(f"data/activations/eval/{spec.hookpoint}"))))[:50]
        weights = np.load(served)
        pre = x @ weights["W_enc"] + weights["b_enc"]
        dense = np.where(pre > weights["threshold"], pre, 0)
        codes = np.load(f"data/codes/{spec.path}/codes.npz")
        assert np.array_equal(codes["l0"][:50], np.count_nonzero(dense, axis=1))
        result = open_decoder(folder).decode(Codes(*(codes[name][:50] for name in ("index", "value", "l0"))))
        np.testing.assert_allclose(result, dense @ weights["W_dec"] + weights["b_dec"], rtol=1e-4, atol=1e-3)


def check_pins(params):
    """Pins that a run has filled in are no reason to run again; one that says something else is, and is enforced."""
    path = Path("conf/manifests/smoke-hub.json")
    filled = path.read_text()
    stage = run_stage("saes", params)
    assert stage.units.computed == [] and path in stage.inputs
    content = json.loads(filled)
    content["saes"][0]["sha256"] = {"params.npz": "0" * 64}
    write_json(path, content)
    with pytest.raises(ArtifactError, match=f"SHA-256 .*{'0' * 64}"):
        run_stage("saes", params)
    path.write_text(filled)
    assert run_stage("saes", params).units.computed == []
    content["saes"][0] |= {"revision": None, "sha256": {"params.npz": None}}
    write_json(path, content)
    assert len(run_stage("saes", params).units.computed) == 1  # what it is now is settled again
    assert path.read_text() == filled


def check_room(params):
    """What would take a disk at the paper's own scale is not kept."""
    for point in params.hookpoints:
        with np.load(f"data/decomposition/{PROFILE}/{point}/moments/activations.npz") as moments:
            factors = [name for name in moments.files if name.endswith("/root")]
        assert bool(factors) == (point == params.figures.main_hookpoint)
    for spec in params.sae_specs():
        with zipfile.ZipFile(f"data/codes/{spec.path}/codes.npz") as codes:
            assert all(member.compress_type == zipfile.ZIP_DEFLATED for member in codes.infolist())


def check_results(params):
    results = {point: read_json(reports_of(PROFILE).decomposition / f"{point}.json") for point in params.hookpoints}
    saes = [sae for run in results.values() for sae in run["saes"]]
    assert {sae["reference"] for sae in saes} == {spec.reference for spec in params.sae_specs()}
    assert all(sae["train_tokens"] == 0 for sae in saes)
    for sae in saes:
        result = sae["estimates"]["token"]["paper"]
        assert 0 < result["fvu_nonlinear"]["value"] <= result["fvu"]["value"] < 0.9
    components = read_json(reports_of(PROFILE).results / "components.json")
    assert "attn_z.12" in json.dumps(components)
    claims = read_json(reports_of(PROFILE).claims)["claims"]
    assert {claim["verdict"] for claim in claims} >= {"not-testable-in-this-profile"}
    assert Path("reports/report.html").stat().st_size > 1e6
    drawn = [file for file in reports_of(PROFILE).figures.glob("*.json") if "not_drawn" not in file.read_text()]
    assert len(drawn) >= 15


def check_own_sae(params):
    """One more SAE, in a folder: it alone is computed, and what it gives is what the same files gave from the hub."""
    first = params.sae_specs()[0]
    shutil.copytree(files_of(first), "mine")
    own = {"sae": "mine", "hookpoint": first.hookpoint, "d_sae": first.d_sae, "l0": first.nominal_l0}
    content = yaml.safe_load(composed(PROFILE))
    content["saes"]["published"]["groups"] |= {"mine": {"saes": [own]}}
    with pytest.raises(ArtifactError, match="pins no commit"):
        content["saes"]["published"]["manifest"] = None
        run_stage("saes", parse_params(content))
    content["saes"]["published"]["manifest"] = params.saes.published.manifest
    more = parse_params(content)
    for name, key in (("saes", None), ("codes", None), ("decomposition", first.hookpoint)):
        stage = run_stage(name, more, *([key] if key else []))
        assert [unit.rpartition("/")[2] for unit in stage.units.computed] == [f"mine-{first.d_sae}-l0_8"], name
    results = read_json(Path(f"data/results/{PROFILE}/{first.hookpoint}/results.json"))
    saes = {sae["name"]: sae for sae in results["saes"]}
    mine, published = saes[f"mine-{first.d_sae}-l0_8"], saes[first.name]
    assert mine["reference"] == "mine" and mine["estimates"] == published["estimates"]
    check_changed_folder(more, Path("data/saes") / f"{first.hookpoint}/mine-{first.d_sae}-l0_8")


def check_changed_folder(params, pointer):
    """Files that their owner has changed are refused, not to be removed; running the stage again takes them in."""
    weights = dict(np.load("mine/params.npz"))
    np.savez("mine/params.npz", **weights | {"b_dec": weights["b_dec"] * np.float32(1.001)})
    with pytest.raises(WrongBytesError, match="Run `dvc repro -f saes` if you have changed it") as refused:
        open_pointer(pointer)
    assert "rm " not in str(refused.value)
    input_hash.cache_clear()  # kept for the life of a process, which a stage has for itself
    stage = run_stage("saes", params)
    assert stage.units.computed == [pointer.relative_to("data/saes").as_posix()]
    assert open_pointer(pointer).d_sae == 64
    Path("mine/params.npz").rename("mine/elsewhere.npz")
    with pytest.raises(ArtifactError, match="does not exist any more"):
        open_pointer(pointer)


def files_of(spec) -> Path:
    source = read_json(Path("data/saes") / spec.path / POINTER)["source"]
    return Path("served") / source["repo"] / source["folder"]


@pytest.mark.parametrize("command", re.findall(r"^dvc exp run (.*)$", DOCUMENT, re.MULTILINE))
def test_the_commands_of_the_document_compose(command, tmp_path):
    """What they stop with is only what they name: files that are not here."""
    overrides = [word for word in shlex.split(command) if word != "-S"]
    compose_and_dump(tmp_path / "params.yaml", str(ROOT / "conf"), None, "config", "", overrides)
    params = parse_params(yaml.safe_load((tmp_path / "params.yaml").read_text()))
    assert params.model.source != "gguf-wheel" or params.sae_specs()[-1].group == "mine"


def check_refusals(hub, params, monkeypatch):
    """Evicted files come again; other bytes, or none without a network, stop the run before it computes."""
    spec = params.sae_specs()[0]
    folder = Path("data/saes") / spec.path
    monkeypatch.setenv(cache.VARIABLE, "1e-9")
    open_pointer(folder)  # makes room: every other file goes
    kept = list((Path("cache")).rglob("params.npz"))
    assert len(kept) == 1
    other = Path("data/saes") / params.sae_specs()[1].path
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError, match="is not in the cache"):
        open_decoder(other)
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    fetch, there = cache.hub.fetch, []
    monkeypatch.setattr(cache.hub, "fetch", lambda *wanted: there.append(kept[0].exists()) or fetch(*wanted))
    open_decoder(other)
    assert there == [False]  # it made room before the other one came
    vanishing(monkeypatch, fetch)
    open_decoder(other)
    served = files_of(spec) / "params.npz"
    served.write_bytes(served.read_bytes()[:-1] + b"\1")
    with pytest.raises(WrongBytesError, match="that the `saes` stage has seen"):
        open_decoder(folder)
    monkeypatch.setenv(cache.VARIABLE, "much")
    with pytest.raises(ArtifactError, match="DARKMATTER_SAE_CACHE_GB='much', which is no positive number"):
        open_decoder(other)


def vanishing(monkeypatch, fetch):
    """Another process evicts the first file that is fetched, before it is mapped."""
    evicted = []

    def fetch_and_lose(*wanted):
        result = fetch(*wanted)
        if not evicted:
            evicted.append(cache.hub.evict(result.path))
        return result

    monkeypatch.setattr(cache.hub, "fetch", fetch_and_lose)
