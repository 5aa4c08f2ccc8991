"""The whole DAG on tiny random models: what runs, what does not run again, and what it leaves."""

import os
import re
import signal
import subprocess
import time

import psutil
import pytest
from filelock import FileLock
from schema_errors import errors, kind_of, results_files
from workspace import first_run, shared_folder

from darkmatter.storage.artifacts import read_json

CHEAP = ["figures", "report"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    shared = shared_folder(tmp_path_factory)
    with FileLock(shared / "first-run.lock"):
        return first_run(tmp_path_factory.mktemp("workspace"), shared)


@pytest.fixture
def restored(workspace):
    """The workspace as its first run left it; whatever the test changes is put back."""
    params = workspace.folder / "params.yaml"
    before = params.read_bytes()
    yield workspace
    params.write_bytes(before)
    workspace.repro_in_one_process()


def test_everything_is_made(workspace):
    assert workspace.ran[0] in {"corpus", "model"}
    assert {"decomposition@resid_post.0", "decomposition@resid_post.1", *CHEAP} <= set(workspace.ran)
    report = (workspace.folder / "reports" / "report.html").read_text()
    assert "resid_post.1" in report
    results = read_json(workspace.reports.decomposition / "resid_post.1.json")
    assert len(results["saes"]) == 10
    for sae in results["saes"]:
        numbers = sae["estimates"]["token"]["paper"]
        assert 0 < numbers["fvu_nonlinear"]["value"] <= numbers["fvu"]["value"]
        assert numbers["fvu"]["low"] <= numbers["fvu"]["value"] <= numbers["fvu"]["high"]
        assert numbers["fvu"]["contexts"] == 16


def test_results_are_what_their_schemas_say(workspace):
    wrong = {path: errors(read_json(path), kind_of(path)) for path in results_files(workspace.reports)}
    assert not any(wrong.values()), wrong


def test_again_nothing_runs(workspace):
    assert workspace.repro() == []


def test_figure_style_reruns_figures_and_report_only(restored):
    restored.change("figures.font_size", 9)
    assert restored.repro_in_one_process() == CHEAP


def test_one_more_sae_trains_and_decomposes_that_one_only(restored):
    restored.change("saes.groups.seeds.seeds", [1, 2])
    ran = restored.repro_in_one_process("decomposition")
    assert ran == ["saes", "codes", "decomposition@resid_post.1"]
    new = "seeds-64-k4-s2"
    assert restored.receipt("saes")["units"]["computed"] == [f"resid_post.1/{new}"]
    assert restored.receipt("codes")["units"]["computed"] == [f"resid_post.1/{new}"]
    assert restored.receipt("decomposition@resid_post.1")["units"]["computed"] == [new]
    names = [path.name for path in (restored.folder / "data" / "saes" / "resid_post.1").iterdir()]
    assert len(names) == 11


def test_regression_parameter_leaves_activations_and_saes_alone(restored):
    restored.change("decomposition.fit_share", 0.5)
    assert restored.repro_in_one_process("per_token_scaling") == ["decomposition@resid_post.1", "per_token_scaling"]


def test_stages_that_run_again_find_every_shard_and_every_sae(restored):
    stages = ["activations", "saes", "codes"]
    assert restored.repro_in_one_process("--force", "--single-item", *stages) == stages
    for stage in stages:
        units = restored.receipt(stage)["units"]
        assert units["reused"] and not units["computed"]


def test_code_of_an_experiment_or_of_a_figure_runs_no_model(restored):
    files = [restored.folder / "darkmatter" / name for name in ("experiments/downstream/params.py", "figures/maps.py")]
    before = [file.read_text() for file in files]
    try:
        for file, text in zip(files, before, strict=True):
            file.write_text(f"{text}\n\nANOTHER = 1\n")
        assert {*restored.repro_in_one_process()} == {"downstream", "linear_rank", "claims", *CHEAP}
        assert not restored.receipt("downstream")["units"]["computed"]
    finally:
        for file, text in zip(files, before, strict=True):
            file.write_text(text)


def test_killed_run_resumes(restored):
    """kill -9 of `dvc repro` in the middle of training: the stage dies with it, finished units are kept."""
    before = restored.artifacts()
    units = restored.folder / "data" / ".units" / "saes"
    restored.change("saes.groups.widths.train_tokens", 150000)
    known = set(units.iterdir())
    command = ["dvc", "repro", "saes"]
    environment = restored.environment()
    dvc = subprocess.Popen(
        command, cwd=restored.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    finished = wait_for(lambda: {path for path in units.iterdir() if path.name[0] != "."} - known)
    os.kill(dvc.pid, signal.SIGKILL)
    dvc.wait()
    assert len(finished) < 4
    wait_for(lambda: not stage_processes(restored.folder))
    assert restored.repro("saes") == ["saes"]
    receipt = restored.receipt("saes")["units"]
    assert 0 < len(receipt["computed"]) < 4
    restored.compose("smoke")
    restored.repro()
    assert restored.artifacts() == before


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def stage_processes(folder):
    """Processes of a stage that run in this folder."""
    known = psutil.process_iter(["cwd", "cmdline"])
    return [process for process in known if process.info["cwd"] == str(folder) and "-m" in process.info["cmdline"]]


def test_experiment_stays_in_its_profile_and_reruns_what_its_parameter_touches(restored):
    restored.commit("first run")
    output = restored.run("dvc", "exp", "run", "-S", "figures.font_size=10")
    assert re.findall(r"Running stage '([^']+)'", output) == CHEAP
    assert restored.receipt("figures")["profile"] == "smoke"
    assert restored.receipt("figures")["params"]["figures"]["font_size"] == 10


def test_errors_come_before_work(restored):
    restored.change("saes.groups.widths.k", [9999])
    output = restored.run("dvc", "repro", check=False)
    assert "k = 9999 exceeds d_sae = 32" in output
    assert "Traceback" not in output
