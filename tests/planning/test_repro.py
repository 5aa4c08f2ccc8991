"""`darkmatter repro`: every stage of the graph has a plan, and each line says where the run is."""

import subprocess
from itertools import pairwise

import pytest

from darkmatter.costs.workload import from_params
from darkmatter.params.schema import load_params
from darkmatter.planning import repro
from darkmatter.planning.repro import planned_seconds, with_places

PLANNED = {"corpus": 60.0, "saes": 600.0, "report": 60.0}
NAMED = ("corpus", "saes", "report")


def run(lines: list[str], moments: list[float]) -> list[str]:
    ticks = iter(moments)
    return [line for line in with_places(lines, PLANNED, lambda: next(ticks)) if line.startswith("stage ")]


def test_every_stage_that_dvc_names_is_planned():
    named = subprocess.run(["dvc", "stage", "list", "--name-only"], capture_output=True, text=True, check=True)
    planned = planned_seconds(from_params(load_params()))
    assert set(named.stdout.split()) == set(planned)
    assert all(seconds > 0 for seconds in planned.values())


def test_lines_of_dvc_pass_through_in_order():
    lines = ["Running stage 'corpus':\n", "> python -m stages.corpus\n", "Stage 'saes' didn't change, skipping\n"]
    assert [line for line in with_places(lines, PLANNED) if not line.startswith("stage ")] == lines


def test_what_is_left_follows_the_pace_of_this_machine():
    lines = [f"Running stage '{name}':\n" for name in NAMED]
    assert run(lines, [0.0, 120.0, 1320.0]) == [  # twice as long as planned
        "stage 1 of 3; at most 12.0 min left\n",
        "stage 2 of 3; at most 22.0 min left\n",
        "stage 3 of 3; at most 2.0 min left\n",
    ]


def test_stored_units_do_not_make_the_machine_fast():
    lines = [f"Running stage '{name}':\n" for name in NAMED]
    assert run(lines, [0.0, 60.0, 65.0])[-1] == "stage 3 of 3; at most 1.0 min left\n"


@pytest.mark.parametrize(
    "passed", ["Stage 'saes' didn't change, skipping\n", "Stage 'saes' is cached - skipping run\n"]
)
def test_stages_that_do_not_run_count_and_cost_nothing(passed):
    assert run([passed, "Running stage 'report':\n"], [0.0, 0.0]) == ["stage 2 of 3; at most 2.0 min left\n"]


def test_the_exit_code_and_the_targets_are_those_of_dvc(tmp_path, monkeypatch, capsys):
    program = tmp_path / "dvc"
    program.write_text('#!/bin/sh\necho "Running stage \'tokens\':"; echo "$@"; exit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(repro, "forget_what_nobody_has", lambda: ["saes"])
    assert repro.run_repro(["tokens"]) == 255
    said, first, place, arguments = capsys.readouterr().out.splitlines()
    assert said == "dvc.lock is another machine's; here the run-cache has these stages, too: saes"
    assert (first, arguments) == ("Running stage 'tokens':", "repro tokens")
    assert place.startswith(f"stage 1 of {len(planned_seconds(from_params(load_params())))}; at most ")


def test_minutes_left_fall_along_the_graph():
    planned = planned_seconds(from_params(load_params()))
    lines = [f"Running stage '{name}':\n" for name in planned]
    places = [line for line in with_places(lines, planned, lambda: 0.0) if line.startswith("stage ")]
    minutes = [float(line.split("at most ")[1].split()[0].replace(",", "")) for line in places]
    assert all(later <= earlier for earlier, later in pairwise(minutes)) and minutes[-1] > 0
