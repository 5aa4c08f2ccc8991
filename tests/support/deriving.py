"""A results file made again from sums, and what is at a place in one: for the tests of every experiment's `derive`."""

import functools

from darkmatter.experiments.registry import records
from darkmatter.storage.artifacts import plain


def stored_in(name):
    """Names of the files that hold the sums of an experiment, as `derive` takes them."""
    return records()[name].committed


def derived(name, sums, committed, params):
    return plain(records()[name].derive(sums, committed, params))


def at(tree, place):
    return functools.reduce(lambda inner, key: inner[key], place, tree)
