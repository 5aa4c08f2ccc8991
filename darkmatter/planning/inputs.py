"""What `darkmatter plan` and `darkmatter doctor` are asked about: a profile, or params.yaml as it is."""

import argparse

from darkmatter.params.compose import composed
from darkmatter.params.schema import PARAMS, Params, load_params


def add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", help=f"a file of conf/profile (default: {PARAMS} as it is)")


def wanted(given: argparse.Namespace) -> Params:
    """The parameters of the profile that is asked for, or else those of params.yaml.

    Raises:
        ParamsError: no such profile.
    """
    return composed(given.profile) if given.profile or not PARAMS.is_file() else load_params()
