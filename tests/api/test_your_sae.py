"""docs/your_sae.md and its notebook: commands and programs run on tiny data, numbers are the committed run's."""

import ast
import json
import re
import shlex

import numpy as np
import pytest
import transcoder_case as case
from api_case import POSITIONS, TopK

from darkmatter.cli import main
from darkmatter.params.schema import load_params
from darkmatter.results.load import estimate, load_results
from darkmatter.runner.code_identity import ROOT

PAGE = (ROOT / "docs" / "your_sae.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash many|python run)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash many" for line in block.splitlines()]
PROGRAM = "\n".join(block for kind, block in BLOCKS if kind == "python run")
NOTEBOOK = json.loads((ROOT / "docs" / "your_sae.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
WIDTHS = (512, 1024, 2048, 4096)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """What the page and the notebook name, on tiny data."""
    monkeypatch.chdir(tmp_path)
    y = case.make_targets(case.D_MODEL)
    for name, rows in {"acts": case.X, "mlp_in": case.X, "mlp_out": y}.items():
        np.save(f"{name}.npy", rows)
        np.save(f"{name}_train.npy", rows)
    for name in ("saes/narrow", "saes/wide", *(f"data/saes/resid_post.14/widths-{width}-k32-s0" for width in WIDTHS)):
        folder = tmp_path / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        TopK(case.X).save(folder)
    case.sae_lens(tmp_path / "my_transcoder", case.make_weights(case.D_MODEL, True))
    shards = tmp_path / "data" / "activations" / "eval" / "resid_post.14"
    shards.mkdir(parents=True)
    np.save(shards / "000000.npy", case.X)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_runs(home, capsys, command):
    program, *arguments = shlex.split(command)
    main(arguments)
    said = capsys.readouterr().out
    tables = 1 if "--targets" in command else 2
    assert program == "darkmatter" and len(re.findall(r"^\d+ rows of", said, re.MULTILINE)) == tables
    assert ("without the skip connection" in said) == ("--targets" in command)


def test_every_program_of_the_page_runs(home, capsys):
    exec(PROGRAM.replace("range(600)", "range(60)"), space := {})  # noqa: S102
    said = capsys.readouterr().out
    assert "without the skip connection" in said and "fvu_nonlinear" in said
    assert (home / "fvu.png").stat().st_size > 1000
    assert space["evaluator"].every == 5 and len(space["parts"].error) == case.X.shape[0] * POSITIONS


def test_every_cell_of_the_notebook_runs(home, capsys):
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5) and len(CELLS) >= 5
    space, shown = {}, []
    for cell in CELLS:
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), space)  # noqa: S102
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), space))  # noqa: S307
    assert "FVU_nonlinear" in capsys.readouterr().out
    table, figure, by_position = (one for one in shown if one is not None)
    assert len(table) == len(WIDTHS) and table.notna().all(axis=None)
    assert len(figure.axes[0].patches) == 2 * len(WIDTHS) and len(by_position)


# What is printed is what the run of the committed reports came to.


@pytest.fixture(scope="module")
def committed():
    params = load_params(ROOT / "params.yaml")
    results = load_results(ROOT / "reports" / "smollm2" / "results", params.hookpoints, [])
    return {sae["name"]: sae for sae in results.saes("resid_post.14")}


def test_the_frame_of_the_page_is_the_committed_run(committed):
    lines = re.findall(r"^\d+ +(widths-\S+) +(\d+) +([\d.]+) +(\w+) +([\d.]+) +([\d.]+) +([\d.]+)$", PAGE, re.MULTILINE)
    assert len(lines) == 2 * len(WIDTHS)
    for sae, d_sae, l0, name, *numbers in lines:
        wanted = estimate(committed[sae], name)
        assert [float(number) for number in numbers] == pytest.approx(
            [wanted[end] for end in ("value", "low", "high")], abs=1e-6
        )
        assert int(d_sae) == committed[sae]["d_sae"] and float(l0) == pytest.approx(committed[sae]["l0"], abs=1e-5)


def test_the_tables_of_the_page_are_the_committed_run(committed):
    tables = dict(re.findall(r"^(widths-\S+)\n82,300 rows.*?\n\n[^\n]+\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL))
    assert tables
    for name, table in tables.items():
        (shown,) = re.findall(r"^FVU {2,}(.*)$", table, re.MULTILINE)
        both = [estimate(committed[name], "fvu", split=split) for split in ("token", "context")]
        assert shown.split("  ") == [f"{one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})" for one in both]


def test_the_outputs_of_the_notebook_are_the_committed_run(committed):
    (shown,) = (
        "".join(output["data"]["text/plain"])
        for cell in NOTEBOOK["cells"]
        for output in cell.get("outputs", [])
        if "vector_r2" in "".join(output.get("data", {}).get("text/plain", []))
    )
    rows = re.findall(r"^(widths-\S+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) *$", shown, re.MULTILINE)
    assert [name for name, *_ in rows] == [f"widths-{width}-k32-s0" for width in WIDTHS]
    for name, *numbers in rows:
        wanted = [estimate(committed[name], one)["value"] for one in ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2")]
        assert [float(number) for number in numbers] == pytest.approx(wanted, abs=5.1e-4)


def test_the_count_of_the_registry_is_that_of_the_installed_one():
    from darkmatter.saes.published.names import names_transcoder
    from darkmatter.saes.published.registry import releases, saes_of
    from darkmatter.saes.published.transcoders import LOADERS, REFUSED

    known = [one for name in releases() for one in saes_of(name) if names_transcoder(f"{one.repo}/{one.folder}")]
    read = [one for one in known if one.loader in LOADERS]
    assert {one.loader for one in known} == {one.loader for one in read} | REFUSED.keys()
    assert f"{len(read):,} of the {len(known):,} transcoders" in PAGE and f"other {len(known) - len(read)} are" in PAGE
