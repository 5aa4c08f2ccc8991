"""Numbers that costs take from code which loads torch, and so may not import: they are the same."""

from darkmatter.costs.workload import FLOAT32
from darkmatter.experiments.pursuit import algorithm, compute
from darkmatter.experiments.pursuit import costs as pursuit
from darkmatter.planning import data_costs
from darkmatter.saes.published.gate import DEFAULT


def test_gradient_pursuit_costs_what_its_code_does():
    assert FLOAT32 * pursuit.GRAM_LATENTS**2 == algorithm.GRAM_BYTES
    assert pursuit.DIMS_PER_GRAM_ROW == algorithm.DIMS_PER_GRAM_ROW and pursuit.BATCH == algorithm.BATCH
    assert pursuit.CONTEXTS_PER_UNIT == compute.CONTEXTS_PER_UNIT


def test_a_gate_sees_as_many_rows_as_are_counted():
    assert DEFAULT.rows == data_costs.GATED_ROWS
