"""Work on another device: the CPU's bytes from a second device that is played, and clear errors without one."""

import components_case as components
import downstream_case as downstream
import numpy as np
import pytest
import torch
from second_device import NAME, SecondDevice

from darkmatter.decomposition.passes import decompose
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.components.compute import explain, write_targets
from darkmatter.experiments.downstream.compute import fit_map
from darkmatter.experiments.pursuit.algorithm import Dictionary, pursue
from darkmatter.models.device import usable
from darkmatter.models.extract import extract, load_once, release_model
from darkmatter.params.types import ParamsError
from darkmatter.runner.local_executor import execute_here
from darkmatter.runner.processes import worker_count
from darkmatter.storage.artifacts import read_arrays

HOOKPOINTS = ["resid_post.1", "attn_z.1", "mlp_out.0"]


@pytest.fixture
def second(monkeypatch):
    """`cuda:0` is there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    release_model()
    yield SecondDevice()
    release_model()


@pytest.fixture(scope="module", params=downstream.EXTRA)
def model_case(request, tmp_path_factory):
    folder = downstream.make_case(tmp_path_factory.mktemp(request.param), request.param)
    fit_map(folder / "map", **downstream.shared(folder), **downstream.files(folder))
    return folder


def test_the_played_device_refuses_what_a_gpu_refuses(second):
    with second:
        there, here = torch.ones(3).to(NAME), torch.ones(3)
        assert str(there.device) == NAME and str((2 * there[1:]).device) == NAME and here.device.type == "cpu"
        for mixed in (lambda: there + here, lambda: torch.cat([here, there]), lambda: here.add_(there), there.numpy):
            with pytest.raises((RuntimeError, TypeError), match=NAME):
                mixed()
        assert (there.cpu() + here).numpy().tolist() == [2, 2, 2]
        assert str(torch.zeros(2, device=NAME).device) == NAME


def test_forward_passes_compute_there_and_leave_the_same_bytes(model_case, tmp_path, second):
    arguments = {"model": str(model_case / "model"), "tokens": str(model_case / "tokens.npy"), "start": 0, "stop": 3}
    arguments |= {"hookpoints": HOOKPOINTS, "first_position": downstream.FIRST, "batch_contexts": 2}
    for with_loss in (False, True):
        (here := tmp_path / f"here-{with_loss}").mkdir(), (there := tmp_path / f"there-{with_loss}").mkdir()
        extract(here, **arguments, with_loss=with_loss)
        before = second.calls
        with second:
            extract(there, **arguments, with_loss=with_loss, device=NAME)
        assert second.calls > before + 50
        names = sorted(path.name for path in here.iterdir())
        assert len(names) == len(HOOKPOINTS) + with_loss
        assert [(here / name).read_bytes() for name in names] == [(there / name).read_bytes() for name in names]


def test_splices_compute_there(model_case, second):
    here = downstream.splice(model_case, 1, ("linear", "nonlinear"))
    with second:
        there = downstream.splice(model_case, 1, ("linear", "nonlinear"), device=NAME)
        model = load_once(model_case / "model", torch.device(NAME))
        assert {str(weight.device) for weight in model.parameters()} == {NAME}
    assert second.calls > 500 and here.keys() == there.keys()
    assert all(np.array_equal(here[name], there[name]) for name in here)
    assert load_once.cache_info().currsize == 2
    release_model()
    assert load_once.cache_info().currsize == 0


@pytest.mark.parametrize("products", ["single", "double"])
def test_the_decomposition_computes_there(model_case, tmp_path, second, monkeypatch, products):
    if products == "double":
        monkeypatch.setattr("darkmatter.decomposition.shared_moments.SINGLE_PRECISION_CONDITION", 0.0)
    result = {}
    for place in ("cpu", NAME):
        folder = tmp_path / place.replace(":", "-")
        for name in ("moments", "out", "map"):
            (folder / name).mkdir(parents=True)
        x = {"activations": str(model_case / "x.npy"), **downstream.SPLIT, "device": place}
        with second:
            prepare(folder / "moments", **x, eigen_cutoff=1e-12)
            x |= {"prepared": str(folder / "moments"), **downstream.files(model_case)}
            decompose(folder / "out", **x)
            fit_map(folder / "map", **x)
        result[place] = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}
        assert (second.calls > 500) == (place == NAME)
    assert result["cpu"] == result[NAME] and len(result["cpu"]) == 4


@pytest.fixture(scope="module")
def parents_case(tmp_path_factory):
    return components.make_case(tmp_path_factory.mktemp("parents"))[0]


def test_regressions_on_parents_compute_there(parents_case, tmp_path, second):
    result = {}
    for place in ("cpu", NAME):
        (folder := tmp_path / place.replace(":", "-")).mkdir()
        sample = {"activations": str(parents_case / "self.npy"), "prepared": str(parents_case / "moments")}
        sample |= components.files(parents_case, "self") | components.SPLIT | {"device": place}
        regressors = [components.files(parents_case, name) for name in components.PARENTS]
        with second:
            write_targets(folder, **sample)
            explain(folder, regressors, str(folder), 1e-12, **sample)
        result[place] = {path.name: read_arrays(path) for path in sorted(folder.iterdir())}
        assert (second.calls > 500) == (place == NAME)
    for name, arrays in result["cpu"].items():
        for key, array in arrays.items():
            assert np.array_equal(array, result[NAME][name][key], equal_nan=True), (name, key)


def test_what_is_not_there_is_refused_with_what_to_do(monkeypatch, model_case, tmp_path):
    assert usable("cpu").type == "cpu"
    with pytest.raises(ParamsError, match=r"device mps: it has no float64"):
        usable("mps")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ParamsError, match=r"device cuda: torch .* is built for the CPU; `darkmatter doctor"):
        usable("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(ParamsError, match=r"finds no GPU or no driver; `nvidia-smi` must list one.*--device"):
        usable("cuda")
    monkeypatch.setattr("darkmatter.models.extract.load_once", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(ParamsError, match="finds no GPU"):
        extract(
            tmp_path, str(model_case / "model"), str(model_case / "tokens.npy"), 0, 1, HOOKPOINTS, 1, 1, False, "cuda"
        )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert usable("cuda:1").index == 1
    with pytest.raises(ParamsError, match="the last GPU here is cuda:1"):
        usable("cuda:2")


def test_one_process_serves_an_accelerator_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("DARKMATTER_WORKERS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert (worker_count(), worker_count("cuda:0")) == (8, 1)
    monkeypatch.setenv("DARKMATTER_WORKERS", "3")
    assert worker_count("cuda:0") == 3
    assert list(execute_here(print, [], {})) == []


def test_pursuit_computes_there_and_leaves_the_same_codes(second):
    torch.manual_seed(0)
    W_dec, signal = torch.randn(40, 12), torch.randn(30, 12)
    l0 = torch.randint(0, 6, (30,))
    here = pursue(signal, l0, Dictionary.of(W_dec), 6)
    with second:
        there = pursue(signal.to(NAME), l0, Dictionary.of(W_dec.to(NAME)), 6)
    assert second.calls
    for variant, arrays in here.items():
        for name, array in arrays.items():
            assert np.array_equal(there[variant][name], array), (variant, name)
