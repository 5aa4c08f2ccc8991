"""What `darkmatter plan` and `darkmatter doctor` are asked about: a profile, or params.yaml as it is."""

import argparse

from darkmatter.audit.command_line import did_you_mean
from darkmatter.params.compose import CONF, composed
from darkmatter.params.schema import PARAMS, Params, load_params
from darkmatter.params.types import ParamsError


def add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", metavar="NAME", help=f"a file of conf/profile (default: {PARAMS} as it is)")


def wanted(given: argparse.Namespace) -> Params:
    """The parameters of the profile that is asked for, or else those of params.yaml.

    Raises:
        ParamsError: no such profile, or no params.yaml here.
    """
    if not given.profile:
        return load_params()
    try:
        return composed(given.profile)
    except ParamsError as error:
        raise ParamsError(f"{error}{near_profiles(given.profile)}") from None


def near_profiles(name: str) -> str:
    """The profiles whose names are near one that does not exist, to end a message with."""
    return did_you_mean(name, sorted(path.stem for path in (CONF / "profile").glob("*.yaml")))
