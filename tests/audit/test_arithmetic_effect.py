"""What bfloat16 products change, from made-up runs whose differences are known; and the committed table."""

import copy
import json
from pathlib import Path

import pytest

from darkmatter.audit import arithmetic_effect
from darkmatter.audit.arithmetic_effect import END, MARK, METRICS, effect, main, renewed, table
from darkmatter.storage.artifacts import ArtifactError, write_json

ROOT = Path(__file__).parents[2]
VALUES = {"fvu": 0.2, "fvu_nonlinear": 0.1, "vector_r2": 0.5, "norm_r2": 0.7}


def sae(d_sae: int, seed: int = 0, **shifts: float) -> dict:
    estimates = {name: {"value": value + shifts.get(name, 0.0)} for name, value in VALUES.items()}
    facts = {"name": f"widths-{d_sae}-k32-s{seed}", "architecture": "topk", "d_sae": d_sae, "k": 32, "seed": seed}
    return facts | {"train_tokens": 1000, "estimates": {"token": {"paper": estimates}}}


def run(folder: Path, *saes: dict) -> Path:
    content = {"model": "tiny", "contexts": 8, "saes": list(saes)}
    place = folder / "reports/smollm2/results/decomposition"
    place.mkdir(parents=True)
    write_json(place / "resid_post.1.json", content)
    return folder


@pytest.fixture
def runs(tmp_path):
    exact = run(tmp_path / "f", sae(512), sae(2048), sae(2048, 1, fvu=0.003, fvu_nonlinear=0.0002, norm_r2=-0.01))
    rounded = run(tmp_path / "b", sae(512, fvu=-0.001), sae(2048, fvu=0.002, fvu_nonlinear=0.001), sae(4096))
    cpu = run(tmp_path / "c", sae(512, vector_r2=0.004))
    return exact, rounded, cpu


def effect_of(float32: Path, bfloat16: Path, cpu: Path | None = None) -> dict:
    return effect(float32, bfloat16, "smollm2", cpu)


def test_shifts_are_those_between_the_same_saes_and_between_seeds(runs):
    content = effect_of(*runs)
    fvu = content["metrics"]["fvu"]
    assert fvu["arithmetic"] == {"pairs": 2, "median": pytest.approx(0.0015), "largest": pytest.approx(0.002)}
    assert fvu["seed"] == {"pairs": 1, "median": pytest.approx(0.003), "largest": pytest.approx(0.003)}
    assert content["metrics"]["vector_r2"]["cpu"]["largest"] == pytest.approx(0.004)
    assert content["beyond_the_seed"] == ["fvu_nonlinear"] and content["d_sae"] == [512, 2048]
    assert content["verdicts"] is None
    assert effect_of(*runs[:2])["metrics"]["fvu"]["cpu"] is None


def test_the_table_says_what_moved_and_what_was_not_compared(runs):
    shown = table(effect_of(*runs))
    assert "| FVU | 2.0e-03 (1.5e-03) | 3.0e-03 (3.0e-03) | 0.0e+00 (0.0e+00) |" in shown
    assert "bfloat16 products (2)" in shown and "another CPU (1)" in shown and "512, 2,048 latents" in shown
    assert "Verdicts were not compared" in shown and "Farther than with another seed: FVU_nonlinear." in shown
    assert "another CPU" not in table(effect_of(*runs[:2]))


def test_verdicts_are_compared_where_both_runs_judged(runs):
    claims = json.loads((ROOT / "reports/smollm2/claims.json").read_text())
    other = copy.deepcopy(claims)
    row = other["claims"][0]
    row["verdict"] = "disagrees" if row["verdict"] != "disagrees" else "agrees"
    for folder, content in zip(runs, (claims, other), strict=False):
        write_json(folder / "reports/smollm2/claims.json", content)
        (folder / "reports/smollm2/receipts").mkdir()
    content = effect_of(*runs[:2])
    assert content["verdicts"] == {"claims": len(claims["claims"]), "changed": [row["id"]]}
    assert f"the outcome changed in `{row['id']}`." in table(content)


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    exact, rounded, _ = runs
    with pytest.raises(ArtifactError, match="has no reports/smollm2/results/decomposition"):
        effect_of(exact, tmp_path)
    with pytest.raises(ArtifactError, match="no SAE in common"):
        effect_of(exact, run(tmp_path / "other", sae(8)))
    with pytest.raises(ArtifactError, match="nothing to compare with"):
        effect_of(rounded, exact)
    with pytest.raises(ArtifactError, match="widths-512-k32-s0 was trained otherwise"):
        effect_of(exact, run(tmp_path / "longer", sae(512) | {"train_tokens": 2000}))


def test_the_command_writes_the_json_and_the_page(runs, tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/reliability.md").write_text(f"before\n{MARK}\nold\n{END}\nafter\n")
    monkeypatch.chdir(tmp_path)
    main([*map(str, runs[:2]), "--profile", "smollm2"])
    content = json.loads((tmp_path / "reports/arithmetic.json").read_text())
    assert content["metrics"].keys() == METRICS.keys()
    page = (tmp_path / "docs/reliability.md").read_text()
    assert page == f"before\n{MARK}\n{table(content)}\n{END}\nafter\n" and table(content) in capsys.readouterr().out
    (tmp_path / "docs/reliability.md").write_text("nothing")
    with pytest.raises(SystemExit, match="has no marks"):
        main([*map(str, runs[:2]), "--profile", "smollm2"])


def test_the_committed_page_has_the_committed_table():
    content = json.loads((ROOT / arithmetic_effect.OUT).read_text())
    page = (ROOT / arithmetic_effect.PAGE).read_text(encoding="utf-8")
    assert renewed(page, content) == page
