"""The parameters of a profile, composed as `darkmatter params` composes them."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.hydra import compose_and_dump

from darkmatter.params.schema import Params, parse_params

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def composed(profile: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "params.yaml"
        compose_and_dump(target, str(ROOT / "conf"), None, "config", "", [f"profile={profile}"])
        return target.read_text()


def profile_params(profile: str, **figures: Any) -> Params:
    """A profile, with some values of its section `figures` changed."""
    content = yaml.safe_load(composed(profile))
    content["figures"] |= figures
    return parse_params(content)
