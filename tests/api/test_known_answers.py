"""FVU and R² give the known answers: by exact arithmetic, from per-context sums, and from a whole decomposition."""

import re
import runpy
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import pytest
from known_answers import CASES, KEYS, answer, exact, rows

from darkmatter import decompose
from darkmatter.runner.code_identity import ROOT
from darkmatter.statistics import metrics

PAGE = (ROOT / "docs" / "known-answers.md").read_text(encoding="utf-8")
CONTEXTS, TIMES = 6, 8


@pytest.mark.parametrize("name", CASES)
def test_the_answers_are_those_of_exact_arithmetic(name):
    given = {key: CASES[name][key] and Fraction(CASES[name][key]) for key in KEYS}
    assert given == exact(CASES[name])


@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("name", CASES)
def test_sums_of_contexts_give_them(name, shift):
    """Rows one by one as contexts; the sums are shifted, as those of the pipeline are."""
    x, x_hat = (part.astype(np.float64) for part in rows(CASES[name]))
    moved, error = x - shift, x - x_hat
    count, weights = np.ones(len(x)), np.ones((1, len(x)))
    cross = moved @ moved.T
    fvu = metrics.fvu(weights, count, (moved**2).sum(1), cross, (error**2).sum(1))[0]
    r2 = metrics.r2_mean(weights, count, moved, moved**2, error**2)[0]
    for key, result in zip(KEYS, (fvu, 1 - r2), strict=True):
        wanted = answer(CASES[name], key)
        assert np.isnan(result) if wanted is None else result == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["fvu_pooled"] is not None])
def test_a_whole_decomposition_gives_them(name):
    """The rows again and again, which changes neither number; the convention that scores all rows."""
    x, x_hat = (np.tile(part, (CONTEXTS, TIMES, 1)) for part in rows(CASES[name]))
    options = {"mask": "none", "max_fvu": float("inf"), "resamples": 100, "threads": 1}
    result = decompose(x, reconstructions=x_hat, **options)
    for key, estimate in zip(KEYS, ("fvu", "fvu_per_dim"), strict=True):
        wanted = answer(CASES[name], key)
        assert result.estimate(estimate, convention="authors")["value"] == pytest.approx(wanted, rel=1e-5, abs=1e-9)


def test_the_page_has_every_case_with_its_answers():
    lines = dict(re.findall(r"^\| ([\w ]+) \| [^|]+ \| (\S+ \| \S+) \|$", PAGE, re.MULTILINE))
    for name, case in CASES.items():
        shown = (str(Fraction(case[key])) if case[key] else "none" for key in KEYS)
        assert lines[name] == " | ".join(shown), name


def test_the_table_of_other_packages_has_what_the_installed_one_answers():
    """Of sae-lens, which is here; `make conformance` asks the others in environments of their own."""
    rival = runpy.run_path(str(ROOT / "tests" / "conformance" / "rival.py"))
    conform = runpy.run_path(str(ROOT / "tests" / "conformance" / "conform.py"))
    head, *lines = re.findall(r"^\| (.+) \|$", PAGE.split(conform["MARKS"][0])[1], re.MULTILINE)
    column = head.split(" | ").index(f"sae-lens {version('sae-lens')}")
    shown = {cells[0]: cells for cells in (line.split(" | ") for line in lines)}
    assert CASES.keys() <= shown.keys()
    for name, case in CASES.items():
        result = rival["sae_lens"](rival["in_batches"](case))
        assert shown[name][column] == conform["cell"](result, case["fvu_pooled"]), name


def test_an_answer_that_is_another_one_stands_out():
    cell = runpy.run_path(str(ROOT / "tests" / "conformance" / "conform.py"))["cell"]
    assert (cell(0.5, "1/2"), cell(0.501, "1/2"), cell(0.0, "0/1")) == ("0.5", "**0.501**", "0")
    assert (cell("nan", None), cell("nan", "1/2"), cell(1.0, None)) == ("nan", "**nan**", "**1**")
