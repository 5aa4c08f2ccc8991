import copy
from pathlib import Path

import pytest

from darkmatter.artifacts import sha256_file
from darkmatter.declared import current_params, declared_params
from darkmatter.params import load_params
from darkmatter.staleness import makers, stages_behind, stale_stages

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "one.py").write_text("1")
    (tmp_path / "two.py").write_text("2")
    (tmp_path / "claims.yaml").write_text("claims")
    return tmp_path


@pytest.fixture
def receipts(root: Path) -> dict:
    """saes → codes (one file of saes' folder) → results (a folder above codes' output) → claims."""

    def receipt(inputs: dict, outputs: dict) -> dict:
        return {"code": {"one.py": sha256_file(root / "one.py")}, "inputs": inputs, "outputs": outputs}

    return {
        "saes": receipt({}, {"data/saes": A}),
        "codes": receipt({"data/saes/layer.1": B}, {"data/codes/layer.1": C}),
        "results": receipt({"data/codes": B}, {"reports/results": A}),
        "claims": receipt(
            {"reports/results": A, "claims.yaml": sha256_file(root / "claims.yaml")}, {"reports/claims.json": B}
        ),
        "lemmas": receipt({}, {"reports/lemmas.json": C}),
    }


def test_nothing_is_stale_when_hashes_agree(receipts: dict, root: Path) -> None:
    assert stale_stages(receipts, root) == {}
    assert stale_stages({}, root) == {}


def test_other_code_is_named(receipts: dict, root: Path) -> None:
    receipts["codes"]["code"] |= {"two.py": A, "gone.py": A}
    assert stale_stages(receipts, root) == {"codes": "codes ran with another two.py (and 1 more) than is here"}


def test_other_parameters_are_named(receipts: dict, root: Path) -> None:
    (root / "params.yaml").write_text("tokens: {first_position: 200}\nprofile: smoke\n")
    receipts["saes"]["params"] = {"tokens.first_position": 200, "profile": "smoke"}
    assert stale_stages(receipts, root) == {}
    receipts["saes"]["params"] = {"tokens.first_position": 1, "tokens.gone": 2, "profile": "smoke"}
    reason = "saes ran with another tokens.first_position (and 1 more) in params.yaml"
    assert stale_stages(receipts, root) == {"saes": reason}


def test_declared_parameters_are_those_of_the_pipeline() -> None:
    repository = Path(__file__).parent.parent
    keys = declared_params("decomposition@resid_post.14", repository)
    assert keys == declared_params("decomposition", repository)
    assert {"profile", "tokens.first_position", "decomposition"} <= set(keys)
    assert declared_params("nothing", repository) == []
    assert current_params(["tokens.first_position", "tokens.gone"], repository) == {
        "tokens.first_position": load_params(repository / "params.yaml").tokens.first_position,
        "tokens.gone": None,
    }


def test_other_inputs_are_named(receipts: dict, root: Path) -> None:
    rerun = copy.deepcopy(receipts)
    rerun["results"]["outputs"]["reports/results"] = C
    assert stale_stages(rerun, root) == {"claims": "claims read another reports/results than results has written"}
    (root / "claims.yaml").write_text("other claims")
    assert stale_stages(receipts, root) == {"claims": "claims read another claims.yaml than is here"}


def test_stages_behind_follow_folders_both_ways(receipts: dict) -> None:
    assert stages_behind("claims", receipts) == {"claims", "results", "codes", "saes"}
    assert stages_behind("saes", receipts) == {"saes"}
    assert stages_behind("unknown", receipts) == set()
    assert makers(["reports"], receipts) == {"results", "claims", "lemmas"}
    assert makers(["reports/results-old"], receipts) == set()
