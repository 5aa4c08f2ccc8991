"""`darkmatter doctor`: each fault is provoked, told apart, and comes with the command that fixes it."""

import errno
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import toy
from fake_hub import COMMIT, serve
from huggingface_hub import constants

from darkmatter.cli import main
from darkmatter.costs.workload import from_params
from darkmatter.params.compose import composed
from darkmatter.params.schema import load_params
from darkmatter.planning import doctor, doctor_data, doctor_environment, doctor_hub, doctor_saes
from darkmatter.planning.devices import REFERENCE
from darkmatter.planning.doctor_hub import reachable
from darkmatter.planning.document import DOCUMENT
from darkmatter.planning.plan import make_plan
from darkmatter.planning.text import duration, size
from darkmatter.runner import ray_executor
from darkmatter.sources import hub_access
from darkmatter.storage.artifacts import ArtifactError

OPEN, GATED = ("org/open", COMMIT, "model", False, "config.json"), ("org/gated", COMMIT, "model", True, "config.json")


@pytest.fixture(scope="module")
def params():
    return composed("smoke")


@pytest.fixture(scope="module")
def plan(params):
    return make_plan(from_params(params), REFERENCE)


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in doctor_environment.VARIABLES:
        monkeypatch.delenv(f"DARKMATTER_{name}", raising=False)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub that counts as the real one, so that the token goes there."""
    root = tmp_path / "served"
    for folder in ("org/open", "org/gated"):
        (root / folder).mkdir(parents=True)
        (root / folder / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as models/load.py leaves it
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    monkeypatch.setenv("HF_TOKEN", "secret")
    with serve(root) as result:
        result.gated.add("org/gated")
        monkeypatch.setenv("HF_ENDPOINT", result.url)
        monkeypatch.setattr(hub_access, "HUB", result.url)
        yield result


def test_a_hub_that_answers_is_asked_for_headers_only(served):
    served.granted.add("Bearer secret")
    assert reachable(OPEN).ok and reachable(GATED).ok
    assert {method for method, *_ in served.seen} == {"HEAD"}
    assert [token for *_, token in served.seen] == [None, "Bearer secret"]


def refused(asked, *said):
    finding = reachable(asked)
    assert not finding.ok
    for words in said:
        assert words in f"{finding.message} {finding.command}"


def test_each_refusal_of_the_hub_is_told_apart(served, monkeypatch):
    refused(GATED, "has no access to org/gated", "accept its terms")
    monkeypatch.delenv("HF_TOKEN")
    refused(GATED, "HF_TOKEN is not set", "export HF_TOKEN=…")
    refused(("org/none", COMMIT, "model", False, "config.json"), "no public repository org/none", "correct the name")
    refused(("org/open", "2" * 40, "model", False, "config.json"), "no revision", "git ls-remote")
    refused(("org/open", COMMIT, "model", False, "none.json"), "no file none.json", "correct the file's name")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(OPEN, "cannot be had", "curl -I http://127.0.0.1:9")
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    refused(OPEN, "unset HF_HUB_OFFLINE", f"hf download org/open config.json --revision {COMMIT}")


def test_no_network_is_one_failure(served, monkeypatch):
    three = [OPEN, GATED, ("org/other", COMMIT, "model", False, "config.json")]
    for variable, value, command in (
        ("HF_ENDPOINT", "http://127.0.0.1:9", "curl -I http://127.0.0.1:9"),
        ("DARKMATTER_HUB_OFFLINE", "1", "unset HF_HUB_OFFLINE"),
    ):
        monkeypatch.setenv(variable, value)
        (finding,) = doctor_hub.hub(three)
        assert finding.check == "hub org/open" and finding.command == command
        assert finding.message.endswith("The same of org/gated, org/other")


def test_failures_of_other_causes_stay_apart(served, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    asked = [OPEN, GATED, ("org/none", COMMIT, "model", False, "config.json")]
    assert [finding.ok for finding in doctor_hub.hub(asked)] == [True, False, False]


def test_what_is_in_the_cache_is_not_asked_for(served, monkeypatch, tmp_path):
    snapshot = tmp_path / "cache" / "models--org--gated" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert reachable(GATED).ok and not served.seen


def test_the_hub_is_asked_for_model_and_text_of_a_profile_and_for_every_repository_of_its_saes(params):
    assert doctor_hub.of_params(params) == []
    model, dataset, *repositories = doctor_hub.of_params(composed("gemma-2-9b"))
    assert model[0] == "google/gemma-2-9b" and re.fullmatch("[0-9a-f]{40}", model[1])
    assert model[2:] == ("model", True, "config.json")
    assert dataset[0] == "monology/pile-uncopyrighted" and dataset[2:] == ("dataset", False, "train/00.jsonl.zst")
    parts = ("att", "mlp", "res")
    assert [asked[0] for asked in repositories] == [f"google/gemma-scope-9b-pt-{part}" for part in parts]
    assert all(asked[2] == "model" and not asked[3] and asked[4].endswith("/params.npz") for asked in repositories)


def test_disk_counts_what_is_here_and_the_copies_of_a_file_system_without_reflinks(plan, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    free = SimpleNamespace(free=plan.disk * 1.01)
    monkeypatch.setattr(doctor_data.psutil, "disk_usage", lambda path: free)
    monkeypatch.setattr(doctor_data, "reflinks", lambda folder: True)
    assert doctor_data.disk(plan).ok
    monkeypatch.setattr(doctor_data, "reflinks", lambda folder: False)
    short = doctor_data.disk(plan)
    assert not short.ok and "cache.type hardlink,copy" in short.command and "no reflinks" in short.message
    free.free = plan.disk * 0.99
    shorter = doctor_data.disk(plan)
    assert not shorter.ok and "dvc gc" in shorter.command
    free.free = plan.disk * 1.01
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "once").write_bytes(bytes(1 << 20))
    (tmp_path / "data" / "twice").hardlink_to(tmp_path / "data" / "once")
    assert 1 << 20 <= doctor_data.used(tmp_path / "data") < 2 << 20
    monkeypatch.setattr(doctor_data, "used", lambda folder: plan.layouts[-1].copied / 2)
    assert doctor_data.disk(plan).ok


def test_disk_asks_dvc_where_its_cache_is_and_whether_it_links(plan, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert doctor_data.dvc_cache() == (Path(".dvc/cache"), False)
    monkeypatch.setattr(doctor_data, "reflinks", lambda folder: False)
    assert doctor_data.fullest(plan)[1:] == (False, plan.layouts[-1].copied)
    large, config = tmp_path / "large", tmp_path / ".dvc" / "config.local"
    config.parent.mkdir()
    config.write_text(f'[cache]\n    type = "hardlink,copy"\n    dir = {large}\n')
    assert doctor_data.dvc_cache() == (large, True)
    assert doctor_data.fullest(plan)[1:] == (True, plan.layouts[-1].peak)


def test_memory_names_the_workers_that_fit(plan, monkeypatch):
    monkeypatch.setenv("DARKMATTER_WORKERS", "4")

    def available(times):
        monkeypatch.setattr(
            doctor_data.psutil, "virtual_memory", lambda: SimpleNamespace(available=times * plan.memory)
        )
        return doctor_data.memory(plan)

    assert available(4.1).ok
    assert available(3.5).command == "export DARKMATTER_WORKERS=3" and not available(3.5).ok
    assert "another machine" in available(0.5).command


def test_a_store_that_cannot_be_written(monkeypatch):
    assert doctor_data.store().ok
    for error, command in {errno.EACCES: "chmod u+w", errno.EROFS: "mount -o remount,rw /"}.items():

        def refuse(dir, error=error):
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(doctor_data.tempfile, "TemporaryFile", refuse)
        result = doctor_data.store()
        assert not result.ok and os.strerror(error) in result.message and result.command.startswith(command)


def test_other_pythons_and_other_packages_are_refused(tmp_path):
    assert doctor_environment.python().ok and doctor_environment.packages().ok
    assert not doctor_environment.python((3, 10)).ok and not doctor_environment.python((3, 14)).ok
    lock = tmp_path / "base.lock"
    lock.write_text(
        "# Written\nnumpy==0.1 \\\n    --hash=sha256:00\nno-such-package==1 ; python_version >= '3' \\\n"
        "torch==0.2 ; python_version < '3'\n"
    )
    result = doctor_environment.packages([lock])
    assert not result.ok and "no-such-package missing (locked: 1)" in result.message and "torch" not in result.message
    assert "(locked: 0.1)" in result.message and result.command == "make -B .venv/installed"
    lock.write_text("? no requirement\n")
    assert "has a line that is none" in doctor_environment.packages([lock]).message
    assert "cannot be read" in doctor_environment.packages([tmp_path / "none"]).message


def test_programs_that_are_missing(monkeypatch, tmp_path):
    assert all(finding.ok for finding in doctor_environment.programs())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor_environment.sys, "executable", str(tmp_path / "python"))
    assert [(finding.check, finding.ok) for finding in doctor_environment.programs()] == [
        ("git", False),
        ("dvc", False),
    ]


@pytest.mark.parametrize(
    ("name", "value", "ok"),
    [
        ("WORKERS", "3", True),
        ("WORKERS", "all", False),
        ("GPUS", "0.5", True),
        ("GPUS", "-1", False),
        ("EXECUTOR", "local", True),
        ("EXECUTOR", "slurm", False),
        ("SAE_CACHE_GB", "31", True),
        ("SAE_CACHE_GB", "much", False),
        ("FRESH", "1", True),
        ("FRESH", "yes", False),
        ("WORKER", "3", False),
    ],
)
def test_variables(monkeypatch, name, value, ok):
    monkeypatch.setenv(f"DARKMATTER_{name}", value)
    (result,) = doctor_environment.variables()
    assert result.ok == ok and (ok or result.command == f"unset DARKMATTER_{name}")


def test_a_cluster_is_looked_for_only_when_units_run_on_one(monkeypatch):
    def none():
        raise ArtifactError("no Ray cluster answers at 'auto'")

    monkeypatch.setattr(ray_executor, "connect", none)
    assert doctor_environment.cluster() == []
    monkeypatch.setenv("DARKMATTER_EXECUTOR", "ray")
    (result,) = doctor_environment.cluster()
    assert not result.ok and result.command == "ray start --head"
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 8.0}, shutdown=lambda: None)
    monkeypatch.setattr(ray_executor, "connect", lambda: ray)
    assert doctor_environment.cluster()[0].message == "8 CPUs, 0 GPUs"


def test_a_gpu_is_looked_for_only_when_one_is_asked_for(monkeypatch):
    assert doctor_environment.gpu(False) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    (result,) = doctor_environment.gpu(True)
    assert not result.ok and "torch-pypi.lock" in result.command
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert doctor_environment.gpu(True)[0].command == "nvidia-smi"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(total_memory=80e9))
    assert doctor_environment.gpu(True, 24e9)[0].ok
    (small,) = doctor_environment.gpu(True, 81e9)
    assert not small.ok and "80 GB, 81 GB needed" in small.message


@pytest.mark.parametrize(("device", "asked"), [("cuda:0", True), ("cpu", False)])
def test_a_gpu_is_asked_for_where_the_profile_computes_on_one(params, capsys, monkeypatch, device, asked):
    monkeypatch.setattr(doctor, "planned", lambda given: (params.model_copy(update={"device": device}), None, None))
    exit_code("--json")
    checks = [one["check"] for one in json.loads(capsys.readouterr().out)["findings"]]
    assert ("gpu" in checks) == asked


def test_the_judges_key_must_be_set_and_is_never_shown(params, monkeypatch):
    judge = params.interpretability
    assert doctor_environment.key(judge) == []
    remote = judge.model_copy(update={"endpoint": "https://example.org/v1", "key_variable": "JUDGE_KEY"})
    (result,) = doctor_environment.key(remote)
    assert not result.ok and result.command == "export JUDGE_KEY=KEY"
    monkeypatch.setenv("JUDGE_KEY", "very-secret")
    (result,) = doctor_environment.key(remote)
    assert result.ok and "very-secret" not in str(result)


def test_what_dvc_has_is_told_for_the_profile_that_params_are_of(params, plan):
    other = doctor_data.cache(params, plan)
    assert other.ok and other.command == "darkmatter params --profile smoke"
    current = doctor_data.cache(load_params(), plan)
    assert current.ok and "of 8 packages fetched" in current.message


@pytest.fixture
def toy_repository(tmp_path, monkeypatch, params):
    """A repository of two stages that have run, whose params.yaml stands for that of the profile."""
    root = toy.build(tmp_path)
    monkeypatch.chdir(root)
    monkeypatch.setattr(doctor_data, "load_params", lambda: params)
    return root


def test_what_dvc_has_is_counted_where_something_was_computed(toy_repository, params, plan):
    result = doctor_data.cache(params, plan)
    assert result.ok and "1 of 1 recorded outputs are in DVC's cache, 0 stages are to run anew" in result.message
    assert result.command is None


def test_a_bare_clone_has_nothing_computed_and_is_told_what_that_costs(toy_repository, params, plan):
    shutil.rmtree(".dvc/cache")
    assert "0 of 1 recorded outputs" in doctor_data.cache(params, plan).message  # data/ is here
    shutil.rmtree("data")
    result = doctor_data.cache(params, plan)
    assert result.ok and result.command == "make repro"
    cost = f"about {duration(plan.seconds)} (on two cores; `darkmatter plan` measures this machine)"
    needed = [size(layout) for layout in (plan.layouts[0].peak, plan.layouts[0].copied)]
    assert result.message.startswith(f"nothing computed yet: `make repro`, {cost}, ")
    assert any(f", {count} of disk; " in result.message for count in needed)


def exit_code(*arguments, command="doctor"):
    try:
        main([command, *arguments])
    except SystemExit as left:
        return left.code
    return 0


def test_the_command_leaves_with_1_where_something_stops_a_run(capsys, monkeypatch):
    enough = SimpleNamespace(free=1e15)
    monkeypatch.setattr(doctor_data.psutil, "disk_usage", lambda path: enough)
    monkeypatch.setattr(doctor_data, "used", lambda folder: 0.0)  # whatever ran in this tree before
    assert exit_code("--profile", "smoke") == 0
    assert capsys.readouterr().out.endswith("all fine\n")
    enough.free = 0
    assert exit_code("--profile", "smoke", "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["ok"] and [one["check"] for one in result["findings"] if not one["ok"]] == ["disk"]
    assert exit_code("--profile", "none") == 1
    assert "no profile 'none'" in capsys.readouterr().out


def test_a_profile_of_published_saes_needs_a_gpu_and_room_for_its_saes(capsys, monkeypatch):
    monkeypatch.setattr(doctor_hub, "reachable", lambda asked: doctor.Finding(f"hub {asked[0]}", True, "answers"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    room = SimpleNamespace(free=400e9)
    monkeypatch.setattr(doctor_data.psutil, "disk_usage", lambda path: room)
    monkeypatch.setattr(doctor_data, "reflinks", lambda folder: True)
    monkeypatch.setattr(doctor_data, "used", lambda folder: 0)
    assert exit_code("--profile", "gemma-2-9b", "--json") == 1
    result = {one["check"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert result["hub google/gemma-scope-9b-pt-res"]["ok"] and not result["gpu"]["ok"] and not result["disk"]["ok"]
    assert result["disk"]["command"].startswith("export DARKMATTER_SAE_CACHE_GB=31")
    monkeypatch.setenv("DARKMATTER_SAE_CACHE_GB", "31")
    exit_code("--profile", "gemma-2-9b", "--json")
    assert {one["check"]: one for one in json.loads(capsys.readouterr().out)["findings"]}["disk"]["ok"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"sae": "google/gemma-scope-2b-pt-res@" + "0" * 40 + ":layer_12"}, None),
        ({"sae": "google/gemma-scope-2b-pt-res:layer_12"}, "conf/manifests/gemma-2-2b.json does not list it"),
        ({"sae": "nowhere"}, "nowhere is no folder here, and conf/manifests/gemma-2-2b.json does not list it"),
        ({"d_sae": 512}, "has d_sae 16384, the parameters say 512"),
        ({"architecture": "topk"}, "has architecture jumprelu, the parameters say topk"),
        ({"hookpoint": "resid_post.5"}, "has hookpoint resid_post.12, the parameters say resid_post.5"),
    ],
)
def test_published_saes_are_looked_up_before_anything_runs(changed, said):
    params = composed("gemma-2-2b")
    first = params.saes.published.groups["widths"].saes[0]
    first.__dict__.update(changed)
    (result,) = doctor_saes.saes(params)
    assert result.ok == (said is None) and (said or "each a folder here or pinned") in result.message
    params.saes.published.__dict__["manifest"] = None
    (result,) = doctor_saes.saes(params)
    assert not result.ok and "pins no commit" in result.message
    assert doctor_saes.saes(composed("smoke")) == []


def test_the_commands_of_the_document_run(capsys, monkeypatch):
    monkeypatch.setattr(doctor_hub, "reachable", lambda asked: doctor.Finding(f"hub {asked[0]}", True, "answers"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lines = re.findall(r"^darkmatter (plan|doctor)(.*?)  +#", DOCUMENT.read_text(), re.MULTILINE)
    assert {command for command, _ in lines} == {"plan", "doctor"}
    for command, arguments in lines:
        expected = 1 if command == "doctor" else 0  # there is no GPU here
        assert exit_code(*shlex.split(arguments), command=command) == expected
        assert "gemma-2-" in capsys.readouterr().out
