"""`dvc exp run` stays in the profile that params.yaml has.

Composing starts from conf/config.yaml, whose default is one profile. DVC loads this file first (`hydra.plugins_path` in
.dvc/config). It stores a config `here/profile`, which conf/config.yaml includes where there is one, and which puts the
profile of params.yaml in place of the default. `-S profile=NAME` goes before both. No import of ours: `dvc` runs it.
"""

from pathlib import Path

import yaml
from hydra.core.config_store import ConfigStore

PARAMS = Path(__file__).parents[2] / "params.yaml"


def store_profile() -> None:
    try:
        profile = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["profile"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return  # no params.yaml, or none of ours: the default of conf/config.yaml holds
    ConfigStore.instance().store("profile", {"defaults": [{"override /profile": profile}]}, group="here")


store_profile()
