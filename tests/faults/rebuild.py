"""The profile smoke in two fresh clones, and stages that are made nondeterministic on purpose."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from workspace import Workspace

from darkmatter.audit.rerun import VOLATILE
from tests.faults.kills import prepared_workspace
from tests.faults.trial import REFUSED, SURVIVED, UNCLEAR, WRONG, Trial

GROUP = "rebuild"
EDITED = Path("stages/random_features.py")
STAGE = EDITED.stem
WRITTEN = "results_of(arrays, stage.params)"  # what the stage writes as JSON
# What is added to it, and what must be imported for that.
NONDETERMINISTIC = {
    "a random number without a seed": ("np.random.default_rng().random()", "import numpy as np"),
    "the time of day": ("time.time()", "import time"),
    "the order of a set": ('list({f"feature {number}" for number in range(100)})', ""),
    "the number of the process": ("os.getpid()", "import os"),
}


def trials(every: int = 1) -> Iterator[Trial]:
    """Each stage of the second clone, then each way to be nondeterministic, or one of so many."""
    with prepared_workspace() as first, tempfile.TemporaryDirectory() as name:
        first.commit("everything ran")
        second = first.clone(Path(name) / "clone")
        second.repro_in_one_process("--force", "--no-run-cache", DARKMATTER_FRESH="1")
        yield from rebuilt(outs(first), outs(second))
        second.commit("everything ran again")
        yield rerun(second, "nothing at all")
        sound = (second.folder / EDITED).read_text()
        for way, (value, needed) in list(NONDETERMINISTIC.items())[::every]:
            made = sound.replace(WRITTEN, f'{WRITTEN} | {{"made on purpose": {value}}}')
            (second.folder / EDITED).write_text(made.replace("import shutil\n", f"import shutil\n{needed}\n"))
            second.repro("--single-item", STAGE)
            second.commit(way)
            yield rerun(second, way)


def outs(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Stage → path → MD5 of its outputs in dvc.lock, but for those that hold times."""
    lock = yaml.safe_load((workspace.folder / "dvc.lock").read_text())
    return {
        stage: {out["path"]: out["md5"] for out in entry["outs"] if out["path"] not in VOLATILE}
        for stage, entry in lock["stages"].items()
    }


def rebuilt(ours: Mapping[str, Mapping[str, str]], theirs: Mapping[str, Mapping[str, str]]) -> Iterator[Trial]:
    """Whether each stage wrote the same in both clones; stages that only one of them has did not."""
    for stage in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(stage, {}), theirs.get(stage, {})
        differ = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
        outcome = WRONG if differ or ours.keys() ^ theirs.keys() >= {stage} else SURVIVED
        yield Trial(GROUP, "a second fresh clone, without stored units", stage, outcome, ", ".join(differ))


def rerun(workspace: Workspace, fault: str) -> Trial:
    """What `darkmatter audit rerun` says of the stage; of one that is sound it must find nothing."""
    said = workspace.run("python", "-m", "darkmatter.cli", "audit", "rerun", STAGE, check=False)
    found = [line for line in said.splitlines() if line.startswith("differs: ")]
    sound = fault not in NONDETERMINISTIC
    if sound:
        outcome = WRONG if found else SURVIVED if "same bytes" in said else UNCLEAR
    else:
        outcome = UNCLEAR if "Traceback" in said else REFUSED if found else WRONG
    return Trial(GROUP, fault, STAGE, outcome, found[0] if found else "" if sound else said.strip()[-400:])
