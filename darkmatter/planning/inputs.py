"""What `darkmatter plan` and `darkmatter doctor` are asked about: a profile, a suite, or params.yaml as it is."""

import argparse

from darkmatter.composing import composed
from darkmatter.params import PARAMS, Params, load_params
from darkmatter.planning.suites import from_suite
from darkmatter.planning.workload import Workload, from_params

DEFAULT = "smollm2"


def add_what(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--profile", help=f"a file of conf/profile (default: {PARAMS} as it is)")
    what.add_argument("--suite", help="a list of published SAEs of conf/manifests: the paper's protocol on them")


def workload(given: argparse.Namespace) -> tuple[Workload, Params]:
    """What is to be planned, and the parameters it comes from (a suite's: what is ours and not the paper's).

    Raises:
        ParamsError: no such profile or suite.
    """
    if given.suite:
        defaults = composed(DEFAULT)
        return from_suite(given.suite, defaults), defaults
    params = composed(given.profile) if given.profile or not PARAMS.is_file() else load_params()
    return from_params(params), params
