"""Units on a real Ray cluster of two nodes: the same bytes as here, whatever dies in the middle."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from darkmatter.runner import units
from darkmatter.runner.unit import Unit, UnitError
from darkmatter.runner.units import run_units
from darkmatter.storage.artifacts import ArtifactError, sha256_path
from tests.support.ray_driver import fail, gpus, make, walk

ROOT = Path(__file__).parents[2]
ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, each with its own raylet; the first says that it has a GPU."""
    from ray.cluster_utils import Cluster

    both = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False})
    both.add_node(num_cpus=1)
    yield both
    ray.shutdown()
    both.shutdown()


@pytest.fixture
def folder(cluster, tmp_path, monkeypatch):
    """An empty working directory with a store of its own, in which units run on the cluster."""
    monkeypatch.setenv("DARKMATTER_EXECUTOR", "ray")
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(units, "STORE", tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def local(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """SHA-256 of what the local executor leaves of the same units."""
    (tmp_path / "here").mkdir()
    with monkeypatch.context() as here:
        here.setenv("DARKMATTER_EXECUTOR", "local")
        here.setenv("DARKMATTER_WORKERS", "2")  # pool: this process may have imported NumPy with more threads
        here.setattr(units, "STORE", tmp_path / "here" / "store")
        run_units(walk, make(tmp_path / "here", count), tmp_path / "here" / "out", "walks")
    return sha256_path(tmp_path / "here" / "out")


def started(folder: Path) -> Counter:
    """Unit → how often it began."""
    return Counter(int(line) for line in (folder / "log.txt").read_text().split())


def test_same_bytes_as_the_local_executor_and_a_worker_may_die(folder, monkeypatch):
    ledger = run_units(walk, make(folder, 6, kill_once=str(folder / "killed")), folder / "out", "walks")
    assert (folder / "killed").exists()
    assert len(ledger.computed) == 6
    assert ledger.peak_memory_bytes > 0
    assert started(folder) == Counter([0, 1, 1, 2, 3, 4, 5])  # only what was in flight twice
    assert sha256_path(folder / "out") == local(folder, 6, monkeypatch)
    again = run_units(walk, make(folder, 6, kill_once=str(folder / "killed")), folder / "out", "walks")
    assert (again.computed, len(again.reused)) == ([], 6)


def test_a_node_may_die(cluster, folder, monkeypatch):
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    end = threading.Timer(1.5, lambda: cluster.remove_node(doomed, allow_graceful=False))
    end.start()
    run_units(walk, make(folder, 9, seconds=0.5), folder / "out", "walks")
    end.join()
    twice = [number for number, times in started(folder).items() if times > 1]
    assert started(folder).keys() == set(range(9))
    assert len(twice) <= 1
    assert sha256_path(folder / "out") == local(folder, 9, monkeypatch)


def test_a_killed_driver_resumes(cluster, folder, monkeypatch):
    command = [sys.executable, "-m", "tests.support.ray_driver", str(folder), "8", "0.5"]
    driver = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    store = folder / "store" / "walks"
    end = time.monotonic() + 60
    while time.monotonic() < end and (not store.is_dir() or len(finished(store)) < 3):
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    time.sleep(1.5)  # what was in flight ends or is ended by Ray
    before = len(finished(store))
    assert 3 <= before < 8
    ledger = run_units(walk, make(folder, 8, seconds=0.5), folder / "out", "walks")
    assert len(ledger.reused) == before
    assert sum(started(folder).values()) <= 8 + 2  # two cores: no more than two were in flight
    assert sha256_path(folder / "out") == local(folder, 8, monkeypatch)


def test_a_unit_gets_the_gpus_it_asks_for(folder, monkeypatch):
    for wanted, seen in {"0": "", "1": "0"}.items():
        monkeypatch.setenv("DARKMATTER_GPUS", wanted)
        run_units(gpus, [Unit("one", {"wanted": wanted})], folder / "out", "gpus")
        assert (folder / "out" / "one" / "visible").read_text() == seen


def finished(store: Path) -> list[Path]:
    return [path for path in store.iterdir() if not path.name.startswith(".")]


def test_errors_of_units_nodes_and_settings(folder, monkeypatch):
    with pytest.raises(UnitError, match="unit one: ValueError: number 3"):
        run_units(fail, [Unit("one", {"number": 3})], folder / "out", "fail")
    monkeypatch.setenv("DARKMATTER_GPUS", "many")
    with pytest.raises(ArtifactError, match="DARKMATTER_GPUS='many'"):
        run_units(fail, [Unit("one", {"number": 3})], folder / "out", "fail")
    monkeypatch.setenv("DARKMATTER_EXECUTOR", "slurm")
    with pytest.raises(ArtifactError, match="there are local and ray"):
        run_units(fail, [Unit("one", {"number": 3})], folder / "out", "fail")


def test_a_node_with_other_libraries_is_refused(folder, monkeypatch):
    monkeypatch.setattr("darkmatter.runner.ray_executor.library_versions", lambda: {"torch": "0.0"})
    with pytest.raises(ArtifactError, match="results would differ"):
        run_units(walk, make(folder, 1), folder / "out", "walks")
