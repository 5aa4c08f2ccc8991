"""`darkmatter decompose` on the command line, and every command and program of docs/extending.md, on tiny data."""

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from api_case import CONTEXTS, D_MODEL, save_all

from darkmatter import decompose
from darkmatter.api.commands import warnings
from darkmatter.api.numbers import as_float32
from darkmatter.cli import main
from darkmatter.runner.code_identity import ROOT
from darkmatter.saes.published.load import load_pretrained
from darkmatter.storage.artifacts import read_json

DOCUMENT = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"^```(bash|python) run\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
ROW = re.compile(r"^FVU_nonlinear  +0\.\d+ \(", re.MULTILINE)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extending")
    x = save_all(folder)
    np.save(folder / "flat.npy", x.reshape(-1, D_MODEL))
    np.save(folder / "ids.npy", np.repeat(np.arange(CONTEXTS), x.shape[1]))
    np.save(folder / "mask_of_flat.npy", np.ones(x.shape[:2], dtype=bool))
    mask = np.arange(x.shape[1]) < np.where(np.arange(CONTEXTS) % 2, x.shape[1], 40)[:, None]
    np.save(folder / "padded.npy", x * mask[..., None])
    np.save(folder / "mask.npy", mask)
    np.savez(folder / "acts.npz", layer_1=x, layer_2=x + 1)
    snapshot = folder / "hub" / "models--org--name" / "snapshots" / COMMIT
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder / "my_model")
    return folder


@pytest.fixture(autouse=True)
def inside(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_document_runs(capsys, command):
    program, *arguments = shlex.split(command)
    main(arguments)
    said = capsys.readouterr().out
    assert program == "darkmatter"
    assert (
        json.loads(said)["contexts"] == 10 if "--json" in command else re.search(r"^FVU_nonlinear  +0\.\d+", said, re.M)
    )


def test_every_program_of_the_document_runs(capsys):
    exec("\n".join(block for kind, block in BLOCKS if kind == "python"), {})  # noqa: S102
    assert len(ROW.findall(capsys.readouterr().out)) == 3


def test_command_and_function_model_and_activations_agree(capsys):
    main(["decompose", "--activations", "acts.npy", "--sae", "my_sae", "--out", "a.json", "--threads", "1"])
    model = ["--model", "my_model", "--tokens", "tokens.npy"]
    main(["decompose", *model, "--sae", "my_sae", "--out", "m.json", "--threads", "1"])
    table = capsys.readouterr().out
    result = decompose("acts.npy", load_pretrained("my_sae").sae, threads=1)
    of_activations, of_model = (read_json(Path(name)) for name in ("a.json", "m.json"))
    assert of_activations["estimates"] == of_model["estimates"] == result.estimates
    assert str(result) in table
    assert of_model["source"]["hookpoint"] == "resid_post.1"  # the SAE names it
    assert "model.safetensors" in of_model["source"]["rows"]["sha256"]


ERRORS = {
    "no file": (["--activations", "nowhere.npy"], "nowhere.npy does not exist"),
    "no npy": (["--activations", "texts.txt"], "texts.txt is no .npy"),
    "flat": (["--activations", "flat.npy"], "which rows belong to one context"),
    "no folder": (["--activations", "acts.npy", "--out", "nowhere/r.json"], "there is no such folder"),
    "out is a folder": (["--activations", "acts.npy", "--out", "my_sae"], "--out my_sae is a folder"),
    "first position": (["--activations", "acts.npy", "--first-position", "200"], "--first-position is about --model"),
    "tokens of rows": (["--activations", "acts.npy", "--tokens", "tokens.npy"], "--tokens is about --model"),
    "saebench is a file": (
        ["--activations", "acts.npy", "--saebench", "acts.npy"],
        "acts.npy is a file; give",
    ),
    "parts in use": (["--activations", "acts.npy", "--parts", "my_sae"], "my_sae is not empty"),
    "length of tokens": (
        ["--model", "my_model", "--tokens", "tokens.npy", "--context-length", "9"],
        "--tokens has contexts of its own",
    ),
    "revision": (["--model", "my_model", "--revision", COMMIT], "my_model is a folder here"),
    "nothing in it": (["--model", "my_model", "--text", "empty.txt"], "empty.txt holds no text"),
    "few": (["--activations", "acts.npy", "--contexts", "3"], "3 contexts are too few"),
    "poor": (["--activations", "acts.npy", "--max-fvu", "0.01"], "--max-fvu"),
    "no model": (["--model", "org/other"], "--revision with its 40 hex digits"),
    "not cached": (["--model", "org/other", "--revision", COMMIT], "not in the local cache"),
    "not a model": (["--model", "my_sae"], "my_sae holds no config.json"),
    "unknown model": (["--model", "unknown"], "transformers knows no such model"),
    "layer": (["--model", "my_model", "--hookpoint", "resid_post.3"], "the model has 3 layers"),
    "heads": (["--model", "my_model", "--hookpoint", "attn_z.3"], "the model has 3 layers; there are"),
    "no hookpoint": (["--model", "my_model", "--hookpoint", "blocks.1.x"], "is no hookpoint; there are resid_post.L"),
    "no text": (["--model", "my_model"], "give --text FILE or --tokens"),
    "short": (
        ["--model", "my_model", "--text", "texts.txt", "--context-length", "5000"],
        "no document has 5000",
    ),
    "positions": (["--model", "my_model", "--tokens", "tokens.npy", "--first-position", "255"], "leave no row"),
    "ids": (["--model", "my_model", "--tokens", "wrong.npy"], "another tokenizer's"),
    "before the first": (["--model", "my_model", "--tokens", "tokens.npy", "--first-position", "-1"], "from 0"),
    "rows": (["--model", "my_model", "--tokens", "tokens.npy", "--first-position", "254"], "12 rows of 12 contexts"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_refused_before_any_weights_are_loaded(capsys, monkeypatch, case):
    np.save("wrong.npy", np.full((CONTEXTS, 256), 300, dtype=np.int32))
    Path("empty.txt").write_text("\n \n")
    Path("unknown").mkdir(exist_ok=True)
    Path("unknown", "config.json").write_text('{"model_type": "none of these"}')
    monkeypatch.setattr("darkmatter.models.extract.load_once", lambda *a: pytest.fail("the model was loaded"))
    arguments, message = ERRORS[case]
    with pytest.raises(SystemExit) as stopped:
        main(["decompose", "--sae", "my_sae", *arguments])
    said = capsys.readouterr()
    assert stopped.value.code == 1 and said.out == ""
    assert said.err.startswith("error: ") and message in said.err and said.err.count("\n") == 1


def test_pickled_weights_and_a_model_of_another_width_are_refused(capsys, home):
    (home / "pickled").mkdir(exist_ok=True)
    (home / "pickled" / "config.json").write_text((home / "my_model" / "config.json").read_text())
    (home / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(SystemExit):
        main(["decompose", "--sae", "my_sae", "--model", "pickled", "--hookpoint", "resid_post.1", "--json"])
    assert "no .safetensors" in json.loads(capsys.readouterr().err)["error"]


SAID_AND_FOUND = [(50, 26, 0), (50, 99, 0), (50, 24, 1), (50, 101, 1), (None, 1, 0)]


@pytest.mark.parametrize(("said", "result", "noted"), SAID_AND_FOUND)
def test_an_l0_that_is_not_the_published_one_is_noted(said, result, noted):
    sae = SimpleNamespace(hookpoint=None, nominal_l0=said)
    assert len(warnings(SimpleNamespace(hookpoint=None), sae, result)) == noted


def test_bfloat16_becomes_float32():
    assert as_float32(torch.ones(2, 3, dtype=torch.bfloat16), 0, "x").dtype == np.float32
