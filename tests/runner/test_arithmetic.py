"""The arithmetic of products: what the switch changes and what it leaves alone, what is recorded, what does not mix."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from darkmatter.params.compose import composed
from darkmatter.params.schema import parse_params
from darkmatter.params.types import ParamsError
from darkmatter.runner import arithmetic_probe, rounded_products, units
from darkmatter.runner.arithmetic import MARK, arithmetic_of, check_mark, mark, products, said
from darkmatter.runner.arithmetic_probe import MARGIN, ProductRates, measure_rates, settle
from darkmatter.runner.ray_executor import compute_on_node
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import ArtifactError, sha256_bytes, write_json

ROOT = Path(__file__).parents[2]
SIZE = 256
LEFT, RIGHT, BIAS = (
    torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()
    for seed, shape in enumerate([(300, SIZE), (SIZE, SIZE), (SIZE,)])
)
HEADS = LEFT[:256].reshape(2, 2, 256, 64)
attention = torch.nn.functional.scaled_dot_product_attention

PRODUCTS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "matmul": lambda a, b: a @ b,
    "linear": lambda a, b: torch.nn.functional.linear(a, b.T, BIAS.to(a)),
    "into a buffer": lambda a, b: torch.addmm(BIAS.to(a), a, b, out=torch.empty(len(a), SIZE, dtype=a.dtype)),
    "batched": lambda a, b: a.view(3, 100, SIZE) @ b.expand(3, SIZE, SIZE),
    "vector": lambda a, b: a @ b[0],
}


def distance(result: torch.Tensor, exact: torch.Tensor) -> float:
    return float((result.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("name", PRODUCTS)
def test_factors_are_rounded_and_sums_are_float32(monkeypatch, name):
    monkeypatch.setattr(rounded_products, "rounds_by_itself", lambda: False)
    check_product(name)


@pytest.mark.parametrize("name", ["matmul", "linear", "into a buffer"])  # of a block, and of an SAE's encoder
def test_a_cpu_with_amx_does_the_same(name):
    if not rounded_products.rounds_by_itself():
        pytest.skip("oneDNN does not round on this CPU")
    check_product(name)


def check_product(name: str) -> None:
    multiply = PRODUCTS[name]
    exact = multiply(LEFT.double(), RIGHT.double())
    coarse = multiply(LEFT.bfloat16().double(), RIGHT.bfloat16().double())
    with products("bfloat16"):
        result = multiply(LEFT, RIGHT)
    assert result.dtype == torch.float32
    assert distance(result, exact) > 1e-3  # 8 bits: 2.4e-3 of two factors
    assert distance(result, coarse) < 1e-5
    assert distance(multiply(LEFT, RIGHT), exact) < 1e-6  # and off again


def test_attention_rounds_what_it_multiplies():
    exact = attention(*[HEADS.double()] * 3, is_causal=True)
    with rounded_products.RoundedFactors():
        assert distance(attention(HEADS, HEADS, HEADS, is_causal=True), exact) > 1e-3
    assert distance(attention(HEADS, HEADS, HEADS, is_causal=True), exact) < 1e-6


def test_gradients_are_products_too():
    weight = RIGHT.clone().requires_grad_()
    with products("bfloat16"):
        (LEFT @ weight).square().sum().backward()
    exact = RIGHT.double().requires_grad_()
    (LEFT.double() @ exact).square().sum().backward()
    assert 1e-3 < distance(weight.grad, exact.grad) < 2e-2


def test_float64_and_numpy_are_left_alone():
    exact = LEFT.double() @ RIGHT.double()
    with products("bfloat16"):
        assert torch.equal(LEFT.double() @ RIGHT.double(), exact)
        assert distance(torch.from_numpy(LEFT.numpy() @ RIGHT.numpy()), exact) < 1e-6


def test_the_switch_is_taken_back_after_an_error():
    before = torch.backends.mkldnn.matmul.fp32_precision
    for way in (rounded_products.switched, rounded_products.rounded):
        with pytest.raises(ZeroDivisionError), way():
            raise ZeroDivisionError
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    assert distance(LEFT @ RIGHT, LEFT.double() @ RIGHT.double()) < 1e-6


def taken(way: str) -> str:
    """What oneDNN may do within products of this arithmetic."""
    with products(way):
        return torch.backends.mkldnn.matmul.fp32_precision


@pytest.mark.parametrize(
    ("errors", "float32", "bfloat16"),
    [((4e-7, 4e-7, 4e-7), "bf16", "bf16"), ((3e-3, 3e-3, 3e-3), "none", "bf16"), ((4e-7, 3e-3, 4e-7), "none", "none")],
    ids=["a CPU that never rounds", "one that does", "one that does now and then"],
)
def test_float32_products_go_to_onednn_where_it_leaves_them_as_they_are(monkeypatch, errors, float32, bfloat16):
    monkeypatch.setattr(rounded_products, "rounding_errors", lambda: errors)
    assert (taken("float32"), taken("bfloat16")) == (float32, bfloat16)
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_in_float32_are_those_of_float32(name):
    multiply = PRODUCTS[name]
    with products("float32"):
        assert distance(multiply(LEFT, RIGHT), multiply(LEFT.double(), RIGHT.double())) < 1e-6


def test_float32_asks_for_no_torch():
    """A stage that only draws starts in a fraction of the second that torch takes."""
    code = """
import sys
from darkmatter.runner.arithmetic import products
with products("float32"):
    assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def square(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((SIZE, SIZE))).float()


def assert_made_in_its_arithmetic(unit: Unit, folder: Path) -> None:
    a = square(unit.arguments["seed"]).double()
    far = distance(torch.from_numpy(np.load(folder / "product.npy")), a @ a)
    assert far < 1e-6 if unit.arithmetic == "float32" else far > 1e-3


def multiply_here(out: Path, seed: int) -> None:
    a = square(seed)
    np.save(out / "product.npy", (a @ a).numpy())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unit_computes_in_its_own_arithmetic_wherever_it_runs(tmp_path, monkeypatch, workers):
    """In the stage's process and in workers, each unit beside units of the other arithmetic; each is stored apart."""
    monkeypatch.setattr(units, "STORE", tmp_path / "store")
    monkeypatch.setenv("DARKMATTER_WORKERS", workers)
    made = [Unit(f"{name}/{seed}", {"seed": seed}, arithmetic=name)
            for seed in (0, 1) for name in ("float32", "bfloat16")]  # fmt: skip
    run_units(multiply_here, made, tmp_path / "out", "s")
    for unit in made:
        assert_made_in_its_arithmetic(unit, tmp_path / "out" / unit.name)
    assert len({units.key(multiply_here, unit) for unit in made}) == len(made)


IMPORTS_LATE = """
import sys
from pathlib import Path
from darkmatter.runner.unit import Unit, UnitError, compute

def multiply(out):
    import torch
    (out / "product").write_text(str(torch.ones(2, 2) @ torch.ones(2, 2)))

assert "torch" not in sys.modules
try:
    compute(multiply, Unit("u", {}), Path("stored"))
except UnitError as error:
    print(error)
"""


def test_a_unit_that_imports_torch_inside_its_function_is_refused_and_not_stored(tmp_path):
    """Its products would be those of other kernels than the next unit's in the same process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", IMPORTS_LATE]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "imported too late for its products" in done.stdout
    assert not (tmp_path / "stored").exists()


@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
def test_a_node_of_a_cluster_computes_in_the_arithmetic_of_the_unit(tmp_path, monkeypatch, arithmetic):
    """Without a cluster: what Ray calls on a node, with what it sends there."""
    monkeypatch.chdir(tmp_path)
    unit = pickle.loads(pickle.dumps(Unit("u", {"seed": 0}, arithmetic=arithmetic)))  # noqa: S301 - its own bytes
    place = tmp_path / "stored"
    compute_on_node(f"{__name__}:multiply_here", unit, place, tmp_path, units.library_versions(), fresh=False)
    assert_made_in_its_arithmetic(unit, place)


def test_what_is_float32_keeps_the_key_that_it_had_before_there_was_a_choice():
    """So that activations and SAEs of hours are found stored. The content of the key is spelt out here."""
    content = {
        "function": f"{__name__}.multiply_here",
        "code": units.code_hash(Path(__file__).resolve()),
        "arguments": {"seed": 0},
        "inputs": {},
        "libraries": units.library_versions(),
    }
    expected = sha256_bytes(json.dumps(content, sort_keys=True).encode())[:32]
    assert units.key(multiply_here, Unit("u", {"seed": 0})) == expected
    assert units.key(multiply_here, Unit("u", {"seed": 0}, arithmetic="bfloat16")) != expected


def test_another_way_of_rounding_is_another_key(tmp_path, monkeypatch):
    unit = Unit("u", {"seed": 0}, arithmetic="bfloat16")
    before = units.key(multiply_here, unit)
    monkeypatch.setattr(units, "code_hash", lambda path: f"changed {path.name}" if path == units.ROUNDING else "same")
    one = units.key(multiply_here, unit)
    monkeypatch.setattr(units, "code_hash", lambda path: "same")
    assert len({before, one, units.key(multiply_here, unit)}) == 3


@pytest.mark.parametrize(
    ("ratio", "taken"), [(0.9, "float32"), (1.2, "float32"), (MARGIN, "bfloat16"), (8.6, "bfloat16")]
)
def test_auto_takes_bfloat16_only_where_it_pays_by_the_margin(monkeypatch, ratio, taken):
    rates = ProductRates(150e9, ratio * 150e9)
    monkeypatch.setattr(arithmetic_probe, "measure_rates", lambda: rates)
    monkeypatch.setattr(rounded_products, "rounds_by_itself", lambda: True)
    assert settle("auto", "cpu") == (taken, rates)
    assert settle("auto", "cuda") == ("float32", None)
    for wanted in ("float32", "bfloat16"):
        assert settle(wanted, "cpu") == (wanted, None)  # nothing is measured


def test_the_probe_measures_real_products():
    rates = measure_rates()
    assert 1e9 < rates.float32 < 1e13 and 1e8 < rates.bfloat16 < 1e14


def test_a_cpu_that_rounds_before_the_product_is_never_taken_to_be_faster(monkeypatch):
    """It does the same float32 product, and more; a busy machine may measure otherwise."""
    monkeypatch.setattr(rounded_products, "rounds_by_itself", lambda: False)
    monkeypatch.setattr(arithmetic_probe, "measure_rates", lambda: pytest.fail("measured"))
    assert settle("auto", "cpu") == ("float32", None)


@pytest.mark.parametrize("wanted", ["float16", "BFLOAT16", "", None])
def test_an_unknown_arithmetic_is_refused(tmp_path, wanted):
    with pytest.raises(ParamsError, match="there are auto, float32 and bfloat16"):
        settle(wanted, "cpu")
    with pytest.raises(ArtifactError, match="there are float32 and bfloat16"), products(wanted):
        pass
    write_json(tmp_path / "manifest.json", {"arithmetic": wanted})
    with pytest.raises(ArtifactError, match=r"manifest\.json names arithmetic"):
        arithmetic_of(tmp_path / "manifest.json")
    params = composed("smoke").model_dump()
    with pytest.raises(ParamsError, match="arithmetic"):
        parse_params(params | {"arithmetic": wanted})


def test_bfloat16_products_are_of_the_cpu():
    params = composed("smoke").model_dump()
    parse_params(params | {"arithmetic": "bfloat16"})
    parse_params(params | {"arithmetic": "auto", "device": "cuda"})
    with pytest.raises(ParamsError, match="about products on the CPU, and device is cuda"):
        parse_params(params | {"arithmetic": "bfloat16", "device": "cuda"})


@pytest.mark.parametrize("made", ["float32", "bfloat16"])
def test_what_was_made_in_one_arithmetic_is_refused_in_another(tmp_path, made):
    mark(tmp_path, made)
    assert (tmp_path / MARK).exists() == bool(said(made))
    check_mark(tmp_path, made, "dvc repro activations")
    other = "bfloat16" if made == "float32" else "float32"
    with pytest.raises(ArtifactError, match=f"made with {made} products.* says {other}.*dvc repro activations"):
        check_mark(tmp_path, other, "dvc repro activations")
