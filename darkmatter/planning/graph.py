"""Which stages stand behind a stage, read from dvc.yaml, and which stage makes a claim's numbers, from claims.yaml."""

from pathlib import Path

import yaml

from darkmatter.storage import safe_yaml
from darkmatter.storage.artifacts import ArtifactError

DVC = Path("dvc.yaml")
LEDGER = "claims"  # the stage that judges; a claim that is judged from the text alone has it as its experiment


def parents(path: Path = DVC) -> dict[str, set[str]]:
    """The stages whose outputs each stage reads, in the order of the file.

    Raises:
        ArtifactError: there is no dvc.yaml here, or it is none.
    """
    try:
        stages = safe_yaml.read(path)["stages"]
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist here. Run in the repository: `cd REPOSITORY`.") from None
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())
        raise ArtifactError(f"{path} is not what DVC reads ({said}). Run `git checkout {path}`.") from None
    bodies = {name: stage.get("do", stage) for name, stage in stages.items()}
    made = {
        name: [p for kind in ("outs", "plots", "metrics") for p in paths(body, kind)] for name, body in bodies.items()
    }
    return {
        name: {
            other
            for other, outputs in made.items()
            if other != name and any(overlap(dep, out) for dep in paths(body, "deps") for out in outputs)
        }
        for name, body in bodies.items()
    }


def paths(body: dict, kind: str) -> list[str]:
    """Paths of one kind, with their templates; a dvc.yaml may say more of one in a mapping."""
    results = [next(iter(item)) if isinstance(item, dict) else item for item in body.get(kind, [])]
    return [path for path in results if not path.endswith(".py")]


def overlap(first: str, second: str) -> bool:
    """Whether one path is the other or below it.

    Two templates such as `${profile}` may be the same; one and a name, only in paths of the same length: no folder of a
    profile is `reports/report.html`.
    """
    one, other = first.split("/"), second.split("/")
    needed = 1 if len(one) == len(other) else 2
    return all(a == b or ("${" in a) + ("${" in b) >= needed for a, b in zip(one, other, strict=False))


def behind(stage: str, graph: dict[str, set[str]]) -> set[str]:
    """The stage itself and all that it needs."""
    result, waiting = set(), [stage]
    while waiting:
        if (name := waiting.pop()) not in result:
            result.add(name)
            waiting += graph[name]
    return result


def behind_claim(experiment: str, graph: dict[str, set[str]]) -> set[str]:
    """What a claim needs: the stages behind its experiment, and the judging of what they found."""
    return {LEDGER} if experiment == LEDGER else behind(experiment, graph) | {LEDGER}
