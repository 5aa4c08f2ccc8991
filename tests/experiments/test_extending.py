"""The experiment of docs/extending.md, added to a copy of the repository: it runs, is derived again, and is planned."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```(?:python|yaml) file=(\S+)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL))


def python(folder: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """The code and the committed results, with the files of the document."""
    folder = tmp_path_factory.mktemp("extended")
    for name in ("darkmatter", "stages", "conf", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "claims.yaml"):
        shutil.copy(ROOT / name, folder)
    graph = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    (folder / "dvc.yaml").write_text(graph.replace("  claims:\n", FILES["dvc.yaml"] + "  claims:\n", 1))
    for name, text in FILES.items():
        if name != "dvc.yaml":
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    python(folder, "-m", "stages.l0_spread")
    return folder


def test_the_stage_of_the_document_makes_the_numbers_it_says(extended):
    params = yaml.safe_load((extended / "params.yaml").read_text())
    results = extended / "reports" / "smollm2" / "results"
    with np.load(results / "sums" / f"{params['figures']['main_hookpoint']}.npz") as sums:
        rows = sums["rows"][-1]
        expected = {
            key.split("/")[0]: np.std(sums[key][-1] / rows, ddof=1) for key in sums.files if key.endswith("/sum/l0")
        }
    result = json.loads((results / "l0_spread.json").read_text())["saes"]
    assert expected and {sae["name"]: sae["spread"] for sae in result} == pytest.approx(expected)


def test_it_is_derived_again_and_planned_without_another_list(extended):
    derived = python(extended, "-m", "darkmatter.cli", "audit", "derive", "l0_spread")
    assert re.search(r"l0_spread: \d+ numbers derived again", derived) and "DIFFER" not in derived
    planned = json.loads(python(extended, "-m", "darkmatter.cli", "plan", "--no-probe", "--json"))
    (stage,) = (one for one in planned["stages"] if one["stage"] == "l0_spread")
    assert stage["seconds"] > 0.2
