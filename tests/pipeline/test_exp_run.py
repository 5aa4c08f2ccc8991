"""`dvc exp run -S ...` stays in the profile that params.yaml has: what docs/running.md shows, from several profiles."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from profiles import composed
from workspace import Workspace

from darkmatter.params.schema import parse_params

ROOT = Path(__file__).parents[2]
RUNNING = (ROOT / "docs" / "running.md").read_text()
EXPERIMENTS = [
    shlex.split(given)[1::2] for given in re.findall(r"^dvc exp run (-S .*?)(?:  +#|$)", RUNNING, re.MULTILINE)
]
TRAINED_ONLY = "saes.groups.seeds.seeds=[1,2]"  # as the page says: there is no seed of a published SAE
# What `dvc exp run` does with its overrides before it runs a stage. Hydra reads plugins once in the life of a process.
COMPOSE = """
import json, sys
from pathlib import Path
from dvc.repo import Repo
queue, made = Repo().experiments.workspace_queue, []
for overrides in json.loads(sys.argv[1]):
    queue._update_params({"params.yaml": overrides})
    made.append(Path("params.yaml").read_text())
print(json.dumps(made))
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("workspace"))


def compose(workspace: Workspace, before: str, experiments: list[list[str]]) -> list[str]:
    """Texts of params.yaml: what each experiment makes of a params.yaml with the text `before`."""
    (workspace.folder / "params.yaml").write_text(before)
    said = workspace.run("python", "-W", "ignore", "-c", COMPOSE, json.dumps(experiments))
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("profile", ["smoke", "smoke-hub", "gemma3-270m-trained"])
def test_the_experiments_of_the_readme_stay_in_the_profile(workspace, profile):
    kept = [
        one
        for one in EXPERIMENTS
        if not one[0].startswith("profile=") and (profile != "smoke-hub" or one != [TRAINED_ONLY])
    ]
    assert len(kept) >= 4 and [TRAINED_ONLY] in EXPERIMENTS
    same, *changed, other = compose(workspace, composed(profile), [[], *kept, ["profile=smollm2-full"]])
    assert same == composed(profile)
    assert other == composed("smollm2-full")
    for (override,), text in zip(kept, changed, strict=True):
        key, _, value = override.partition("=")
        assert parse_params(yaml.safe_load(text)).profile == profile
        assert text == with_value(profile, key, yaml.safe_load(value)) != composed(profile)


def with_value(profile: str, key: str, value: object) -> str:
    """The profile's params.yaml with one other value, written as Hydra writes it."""
    content = OmegaConf.create(composed(profile))
    OmegaConf.update(content, key, value)
    return OmegaConf.to_yaml(content)


@pytest.mark.parametrize("before", ["", "profile: [", "other: 1\n"])
def test_without_parameters_of_ours_the_default_is_composed(workspace, before):
    assert compose(workspace, before, [[]]) == [composed("smollm2")]


def test_parameters_of_a_profile_that_is_not_here_are_refused(workspace):
    workspace.commit("of another profile")
    (workspace.folder / "params.yaml").write_text("profile: gone\n")
    said = workspace.run("dvc", "exp", "run", "-S", "figures.font_size=10", check=False)
    assert "Could not find 'profile/gone'" in said and "Running stage" not in said
