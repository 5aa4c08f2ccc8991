import copy
from pathlib import Path

import pytest

from darkmatter.params.schema import load_params
from darkmatter.runner.pipeline_file import current_params, declared_params
from darkmatter.runner.staleness import makers, stages_behind, stale_stages, unsaid
from darkmatter.storage.artifacts import ArtifactError, sha256_file, sha256_path
from darkmatter.storage.listings import list_files, listed_sha256

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
    repository = Path(__file__).parents[2]
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


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What two stages leave below data/. As text `one-more` sorts before `one/w`, as a path after it."""
    monkeypatch.chdir(tmp_path)
    for name in ("saes/p.1/one/w", "saes/p.1/one/cfg", "saes/p.1/one-more/w", "saes/p.2", "parts/a/x", "parts/b.npz"):
        path = Path("data") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return Path("data")


def test_listed_hashes_are_those_of_the_files(written: Path) -> None:
    files = list_files(written)
    places = [written, *written.rglob("*")]
    assert len(places) == 13
    for place in places:
        assert listed_sha256(place.as_posix(), files) == sha256_path(place), place
    assert list_files(written / "saes/p.2") == {"data/saes/p.2": sha256_path(written / "saes/p.2")}
    with pytest.raises(ArtifactError, match="data/none does not exist"):
        list_files(written / "none")


def test_what_was_read_inside_or_around_outputs_is_held_against_their_files(written: Path, root: Path) -> None:
    def receipt(reads: list[str], writes: list[str]) -> dict:
        hashes = lambda paths: {path: sha256_path(Path(path)) for path in paths}  # noqa: E731
        files = {file: sha256 for path in writes for file, sha256 in list_files(Path(path)).items()}
        return {"code": {}, "inputs": hashes(reads), "outputs": hashes(writes), "files": files}

    makers = {"saes": ["data/saes"], "parts@a": ["data/parts/a"], "parts@b": ["data/parts/b.npz"]}
    inputs = {
        "file": "data/saes/p.1/one/w",
        "other": "data/saes/p.1/one/cfg",
        "folder": "data/saes/p.1",
        "around": "data/parts",
    }
    receipts = {name: receipt([], paths) for name, paths in makers.items()}
    receipts |= {name: receipt([path], []) for name, path in inputs.items()}
    assert stale_stages(receipts, root) == {} == unsaid(receipts)
    (written / "saes/p.1/one/w").write_text("again")
    (written / "parts/b.npz").write_text("again")
    again = receipts | {name: receipt([], makers[name]) for name in ("saes", "parts@b")}
    assert stale_stages(again, root) == {
        "file": "file read another data/saes/p.1/one/w than saes has written",
        "folder": "folder read another data/saes/p.1 than saes has written",
        "around": "around read another data/parts than parts@a (and 1 more) has written",
    }
    for name in makers:
        del again[name]["files"]
    assert stale_stages(again, root) == {}
    assert unsaid(again) == {
        "saes": "file read data/saes/p.1/one/w",
        "parts@a": "around read data/parts",
        "parts@b": "around read data/parts",
    }
