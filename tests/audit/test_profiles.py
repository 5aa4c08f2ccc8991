"""Reports of a profile that params.yaml does not have: read on request, looked at by every `audit verify`."""

import shutil
from pathlib import Path

import pytest
import toy
from profiles import composed, profile_params

from darkmatter.audit import other_profiles
from darkmatter.audit.derive import Deriver
from darkmatter.audit.explain import explain
from darkmatter.audit.other_profiles import changed_rooms, other_profile
from darkmatter.audit.profiles import chosen, params_of
from darkmatter.audit.receipts import read_receipts
from darkmatter.audit.verify import verify
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
OTHER = "smollm2"
REPORTS = reports_of(OTHER)


@pytest.fixture
def other(tmp_path, monkeypatch):
    """The committed reports beside parameters of another profile, as if the code that is here had made them."""
    for name in (REPORTS.results, REPORTS.receipts):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in (REPORTS.claims, "claims.yaml", "dvc.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "params.yaml").write_text(composed("smoke"))
    monkeypatch.chdir(tmp_path)
    for path in REPORTS.receipts.iterdir():
        receipt = read_json(path)
        write_json(path, receipt | {"code": {}, "outputs": outputs(receipt["outputs"])})
    return tmp_path


def outputs(written):
    """Those files that are copied, with the hashes that they have."""
    return {path: sha256_file(Path(path)) for path in written if Path(path).is_file()}


def test_its_parameters_are_those_of_its_receipts(other):
    assert params_of(OTHER, Path()) == profile_params(OTHER)
    assert params_of("smoke", Path()) == profile_params("smoke")


def test_its_numbers_follow_from_its_sums(other):
    (done,) = Deriver(OTHER).derive("random_features")
    assert done.path == "reports/smollm2/results/random_features.json"
    assert done.comparison.derived > 1000 and not done.comparison.differing


def test_its_saes_stand_in_the_order_of_the_run():
    """That of params.yaml, in which results list them; the keys of a receipt are sorted."""
    assert params_of("smollm2-full", ROOT).sae_specs() == profile_params("smollm2-full").sae_specs()


def test_a_claim_is_explained_with_the_stages_of_its_run(other):
    result = explain("random-parabola", OTHER)
    assert [item["stage"] for item in result["stages"]] == ["random_features", "claims"]
    assert not any(item["stale"] for item in result["stages"]) and result["commands"]["rerun"] == []
    assert result["commands"]["derive"] == "darkmatter audit derive random-parabola --profile smollm2"
    assert result["stages"][0]["command"] == "python -m stages.random_features"


def test_a_stage_without_receipt_is_named_and_one_of_another_pipeline_comes_last(other):
    (REPORTS.receipts / "claims.json").unlink()
    (REPORTS.receipts / "random_features.json").rename(REPORTS.receipts / "renamed.json")
    chain = {item["stage"]: item["stale"] for item in explain("random-parabola", OTHER)["stages"]}
    assert list(chain.items()) == [("claims", "has no receipt"), ("renamed", None)]


def test_a_profile_without_reports_is_refused_with_those_that_have_some(other):
    assert chosen(None, Path()) == chosen("smoke", Path()) == "smoke"
    with pytest.raises(ArtifactError, match="no claims of profile 'smollm'; did you mean smollm2"):
        chosen("smollm", Path())


def test_without_receipts_nothing_can_be_derived(other):
    shutil.rmtree(REPORTS.receipts)
    with pytest.raises(ArtifactError, match=r"has no receipts, .* `git checkout -- reports/smollm2` restores them"):
        Deriver(OTHER)


@pytest.fixture
def beside(tmp_path):
    """The toy repository, with the committed reports of a profile `before` that one of its stages made."""
    root = tmp_path / "toy"
    root.mkdir()
    toy.build(root)
    reports = reports_of("before")
    write_json(root / reports.claims, {"profile": "before", "claims": []})
    write_json(root / reports.results / "use.json", {"value": 1.0})
    receipt = read_receipts(root, "toy")["use"]
    result = (reports.results / "use.json").as_posix()
    write_json(
        root / reports.receipts / "use.json",
        receipt | {"profile": "before", "revision": "ab" * 20, "outputs": {result: sha256_file(root / result)}},
    )
    toy.commit(root)
    return root


def test_verify_says_who_made_the_others_and_what_changed_since(beside):
    done = verify(beside, committed=True)
    assert done.others[0] == "before: made by revision abababababab; since changed: nothing"
    (beside / "use.py").write_text("# another\n")
    assert changed_rooms(beside, read_receipts(beside, "before")) == ["use.py"]
    assert verify(beside, committed=True).others[0].endswith("since changed: use.py")


def test_another_byte_in_the_others_is_found_whatever_has_changed(beside):
    path = "reports/before/results/use.json"
    toy.edit(beside / path, value=2.0)
    (beside / "use.py").write_text("# another\n")
    found = {(finding.kind, finding.path) for finding in other_profile(beside, "before")[1]}
    assert found == {("tampered", path)}
    (beside / path).unlink()
    lines, findings = other_profile(beside, "before")
    assert "before: not here: reports/before/results/use.json" in lines and not findings


def test_where_nothing_changed_what_does_not_follow_is_a_fault(beside):
    """It has no parameters that this code knows: nothing here can make its numbers again."""
    lines, findings = other_profile(beside, "before")
    assert [finding.kind for finding in findings] == ["differs"] and "before: not derived: " in lines[-1]
    (beside / "use.py").write_text("# another\n")
    assert other_profile(beside, "before")[1] == []


def test_a_malformed_file_of_another_profile_does_not_end_the_audit(beside, monkeypatch):
    def broken(profile):
        raise KeyError("claims")

    monkeypatch.setattr(other_profiles, "Deriver", broken)
    lines, findings = other_profile(beside, "before")
    assert "before: not derived: KeyError: 'claims'" in lines and [one.kind for one in findings] == ["differs"]


def test_reports_that_git_does_not_hold_are_nobodys_business(beside):
    shutil.copytree(beside / "reports" / "before", beside / "reports" / "draft")
    assert not any("draft" in line for line in verify(beside, committed=True).others)
