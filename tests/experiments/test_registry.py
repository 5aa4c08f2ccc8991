"""Every experiment has its record, and the record agrees with dvc.yaml, the figures and the ledger."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from darkmatter.experiments.registry import drawn, records
from darkmatter.figures import FIGURES
from darkmatter.report.sources import OF_DECOMPOSITION, results_shown

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
RECORDS = records()


def test_every_folder_of_an_experiment_has_the_record_of_its_name():
    folders = {path.parent.name for path in (ROOT / "darkmatter" / "experiments").glob("*/__init__.py")}
    assert folders == RECORDS.keys() and folders <= STAGES.keys()


def test_records_never_import_torch():
    code = "import sys; from darkmatter.experiments.registry import records; records()"
    heavy = "{'torch', 'sae_lens', 'transformers'} & sys.modules.keys()"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(str({heavy} or 0))"], capture_output=True, text=True
    )
    assert done.stderr.strip() == "0"


@pytest.mark.parametrize("name", RECORDS)
def test_a_stage_makes_what_its_record_names(name):
    made = {
        path
        for kind in ("outs", "plots")
        for out in STAGES[name].get(kind, [])
        for path in ([out] if isinstance(out, str) else out)
    }
    record = RECORDS[name]
    profile = "${profile}"
    files = [record.results(profile), *record.sums(profile).values()]
    assert {path.as_posix() for path in files} <= made


def test_every_figure_is_that_of_an_experiment_or_of_the_decomposition():
    assert all(results_shown(entry.id) for entry in FIGURES)
    named = {figure for record in RECORDS.values() for figure in record.figures}
    assert named | {*OF_DECOMPOSITION} == {entry.id for entry in FIGURES}
    assert {f"reports/${{profile}}/results/{name}.json" for name in drawn()} <= {*STAGES["figures"]["deps"]}


def test_a_figure_stands_in_the_section_of_its_experiment():
    papers = {entry.id: entry.paper for entry in FIGURES}
    for record in RECORDS.values():
        own = [papers[figure] for figure in record.figures]
        assert not own or any(record.section in paper for paper in own), record.name


def test_no_two_experiments_offer_an_estimand_of_one_name():
    names = [name for record in RECORDS.values() for name in record.estimands]
    assert len(names) == len({*names})
