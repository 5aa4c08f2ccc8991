"""data/README.md: every artifact of dvc.lock with its size, and what git holds of data/."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "data" / "README.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+ \wB) \|", PAGE, re.MULTILINE))
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


def sizes():
    """Folder of data/ → bytes of the outputs below it."""
    outs = [
        out for stage in yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"].values() for out in stage["outs"]
    ]
    total = Counter()
    for path, size in {out["path"]: out["size"] for out in outs}.items():
        if path.startswith("data/"):
            total[path.split("/")[1]] += size
    return total


def test_every_artifact_is_listed():
    assert sorted(ROWS) == sorted(sizes())


@pytest.mark.parametrize("name", ROWS)
def test_its_size_is_that_of_the_lock(name):
    number, unit = ROWS[name].split()
    assert float(number) * UNITS[unit] == pytest.approx(sizes()[name], rel=0.05)


def test_git_holds_of_data_what_the_page_says():
    held = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sae = [f"data/demo/sae/{name}" for name in ("cfg.json", "sae_weights.safetensors", "training.json")]
    assert held.split() == ["data/README.md", *sae]
    ignored = ["data/saes", "data/demo/model", "data/demo/tokens.npy", "data/.wheels"]
    told = subprocess.run(["git", "check-ignore", *ignored], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.stdout.split() == ignored
