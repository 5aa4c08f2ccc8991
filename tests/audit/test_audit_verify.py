"""What `audit verify` must catch, each fault on a copy of one small repository."""

import shutil
from pathlib import Path

import pytest
import toy
import yaml

from darkmatter.audit.findings import EXIT_CODES, AuditFinding, as_text, exit_code, printable
from darkmatter.audit.hashing import folder_md5, hash_path, object_path
from darkmatter.audit.verify import verify
from darkmatter.storage.artifacts import read_json, sha256_path, write_json
from darkmatter.storage.listings import listed_sha256

RESULT = "reports/toy/results/use.json"
OTHER_FILES = {"data/numbers/a.txt": "1" * 64}
OTHER_RUN = {"outputs": {"data/numbers": listed_sha256("data/numbers", OTHER_FILES)}, "files": OTHER_FILES}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return toy.build(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def repository(pristine, tmp_path):
    return toy.copy(pristine, tmp_path / "repository")


def kinds(root: Path, **options: bool) -> dict[str, list[str]]:
    """Kind → paths of what was found."""
    result: dict[str, list[str]] = {}
    for finding in verify(root, **options).findings:
        result.setdefault(finding.kind, []).append(finding.path)
    return result


def locked(root: Path, stage: str, out: str) -> Path:
    """The cache object of a locked output."""
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    md5 = next(item["md5"] for item in lock["stages"][stage]["outs"] if item["path"] == out)
    return object_path(root / ".dvc/cache/files/md5", md5)


def test_nothing_is_wrong(repository):
    done = verify(repository)
    assert done.findings == []
    assert (done.stages, exit_code(done.findings)) == (2, 0)
    assert done.hashed >= 2 + 4  # two outputs; three files and their listing in the cache


def test_flipped_byte_of_an_output(repository):
    toy.flip(repository / "data/numbers/b.txt")
    assert kinds(repository) == {"tampered": ["data/numbers/b.txt"]}


def test_flipped_byte_of_an_output_without_its_listing(repository):
    toy.flip(repository / "data/numbers/b.txt")
    locked(repository, "make", "data/numbers").unlink()
    assert kinds(repository) == {"tampered": ["data/numbers"]}


def test_flipped_byte_of_a_committed_result(repository):
    toy.flip(repository / RESULT)
    assert kinds(repository) == {"tampered": [RESULT]}


def test_flipped_byte_of_a_cache_object_names_the_output(repository):
    path = object_path(repository / ".dvc/cache/files/md5", hash_path(repository / "data/numbers/c.txt").md5)
    toy.flip(path)
    findings = verify(repository).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("tampered", str(path))]
    assert "data/numbers/c.txt" in findings[0].message
    assert verify(repository, committed=True).findings == []


def test_flipped_byte_of_an_object_in_a_remote_that_is_a_folder(repository, tmp_path):
    toy.dvc(repository, "remote", "add", "beside", str(tmp_path / "remote"))
    toy.dvc(repository, "push", "--remote", "beside")
    assert kinds(repository) == {}
    path = object_path(tmp_path / "remote/files/md5", hash_path(repository / "data/numbers/c.txt").md5)
    toy.flip(path)
    findings = verify(repository).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("tampered", str(path))]
    assert "remote object of data/numbers/c.txt" in findings[0].message and "dvc push" in findings[0].message


def test_result_edited_by_hand_and_blessed(repository):
    toy.edit(repository / RESULT, value=1.0)
    toy.dvc(repository, "commit", "-f", "use")
    findings = verify(repository).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("tampered", RESULT)]
    assert "dvc.lock agrees" in findings[0].message


def test_lock_of_other_code(repository):
    (repository / "use.py").write_text(toy.USE + "# other\n")
    assert kinds(repository) == {"stale": ["use"]}


def test_lock_of_other_parameters_commands_or_paths(repository):
    (repository / "params.yaml").write_text("profile: toy\nsize: 4\n")
    assert kinds(repository) == {"stale": ["make"]}
    (repository / "params.yaml").write_text("profile: toy\nsize: 3\n")
    (repository / "dvc.yaml").write_text(toy.PIPELINE.replace("python use.py", "python -s use.py"))
    assert kinds(repository) == {"stale": ["use"]}
    (repository / "dvc.yaml").write_text(toy.PIPELINE.replace("deps: [make.py]", "deps: [make.py, params.yaml]"))
    assert kinds(repository) == {"stale": ["make"]}


def test_stage_that_never_ran(repository):
    more = "  more:\n    cmd: python more.py\n    outs: [data/more]\n"
    (repository / "dvc.yaml").write_text(toy.PIPELINE + more)
    assert kinds(repository) == {"stale": ["more"]}


@pytest.mark.parametrize(
    ("gone", "fix"),
    [("data/numbers/a.txt", "dvc checkout"), ("data/numbers", "dvc checkout"), (RESULT, "git checkout")],
)
def test_deleted_artifact_is_missing_not_tampered(repository, gone, fix):
    path = repository / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    findings = verify(repository).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("missing", gone)]
    assert fix in findings[0].message


def test_artifact_in_no_cache_has_to_be_pulled(repository):
    shutil.rmtree(repository / "data/numbers")
    (folder,) = repository.glob(".dvc/cache/files/md5/*/*.dir")
    folder.unlink()
    findings = verify(repository).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("missing", "data/numbers")]
    assert "dvc pull make" in findings[0].message
    assert verify(repository, committed=True).findings == []


def test_without_any_data_one_line_names_the_audit_of_what_git_holds(repository):
    shutil.rmtree(repository / "data/numbers")
    shutil.rmtree(repository / ".dvc/cache")
    done = verify(repository)
    assert [(finding.kind, finding.path) for finding in done.findings] == [("missing", "data")]
    assert "none of the 1 outputs" in done.findings[0].message and "--committed`" in done.findings[0].message
    assert done.hashed == verify(repository, committed=True).hashed == 1
    (repository / RESULT).write_text("{}")
    assert kinds(repository) == {"missing": ["data"], "tampered": [RESULT]}


def test_file_that_no_stage_wrote(repository):
    (repository / "data/numbers/d.txt").write_text("4")
    assert kinds(repository) == {"tampered": ["data/numbers/d.txt"]}


def test_receipts(repository):
    receipt = repository / "reports/toy/receipts/make.json"
    content = read_json(receipt)
    receipt.unlink()
    assert kinds(repository) == {"missing": ["reports/toy/receipts/make.json"]}
    write_json(receipt, content | {"code": {"make.py": "0" * 64}})
    assert kinds(repository) == {"stale": ["make"]}
    write_json(receipt, content | OTHER_RUN | {"code": {"make.py": "0" * 64}})
    assert kinds(repository) == {"stale": ["make", "data/numbers", "use"]}  # of another run, so no proof of a forgery
    write_json(receipt, content | OTHER_RUN | {"params": {"size": 4}})
    assert kinds(repository) == {"stale": ["make", "data/numbers", "use"]}
    write_json(receipt, content | {"outputs": {}})
    assert kinds(repository) == {"missing": ["data/numbers"]}


def test_lock_of_another_run_than_output_and_receipt(repository):
    """Everything was run again with another result, but for the lock, which is an old one."""
    old = (repository / "dvc.lock").read_text()
    toy.edit(repository / RESULT, value=1.0)
    toy.receipts(repository)
    assert kinds(repository) == {"stale": [RESULT]}
    assert (repository / "dvc.lock").read_text() == old


def test_input_that_its_maker_has_since_changed(repository):
    (repository / "data/numbers/a.txt").write_text("5\n")
    toy.dvc(repository, "commit", "-f", "make")
    toy.receipts(repository)
    assert kinds(repository) == {"stale": ["use"]}


def without_data(root: Path) -> None:
    """As a clone is: what git holds, and no cache."""
    shutil.rmtree(root / "data")
    shutil.rmtree(root / ".dvc/cache")


def make_again(root: Path, old: str, new: str) -> None:
    """Run `make` with other code, commit, and leave `use` as it ran before."""
    (root / "make.py").write_text(toy.MAKE.replace(old, new))
    toy.dvc(root, "repro", "--single-item", "make")
    toy.receipts(root, "make")
    toy.commit(root)


def test_maker_alone_made_again(repository):
    make_again(repository, "* 1000", "* 1001")
    assert kinds(repository) == {"stale": ["use"]}
    assert kinds(repository, committed=True) == {"stale": ["use"]}
    without_data(repository)
    findings = verify(repository, committed=True).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("stale", "use")]
    assert "use read another data/numbers/a.txt than make has written" in findings[0].message
    assert exit_code(findings) == 6


def test_maker_made_again_what_nobody_reads(repository):
    """Another b.txt; `use` reads a.txt."""
    make_again(repository, "* 1000", "* (1001 if name == 'b' else 1000)")
    assert kinds(repository) == {}
    without_data(repository)
    assert kinds(repository, committed=True) == {}


def test_maker_that_no_longer_writes_what_was_read(repository):
    make_again(repository, '"abc"', '"bc"')
    without_data(repository)
    assert kinds(repository, committed=True) == {"stale": ["use"]}


def test_receipt_of_a_revision_that_listed_no_files(repository):
    path = repository / "reports/toy/receipts/make.json"
    content = read_json(path)
    del content["files"]
    write_json(path, content)
    without_data(repository)
    findings = verify(repository, committed=True).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("missing", "reports/toy/receipts/make.json")]
    assert "whether use read data/numbers/a.txt: made by an older revision" in findings[0].message
    assert "dvc repro --force make" in findings[0].message
    write_json(path, content | {"params": {"size": 4}})  # of a stage that has to run again anyway
    assert kinds(repository, committed=True) == {"stale": ["make"]}


def test_receipt_whose_list_was_made_to_fit_what_was_read(repository):
    """`make` ran again alone, and its receipt was edited by hand to name the file that `use` read."""
    path = repository / "reports/toy/receipts/make.json"
    read = read_json(path)["files"]["data/numbers/a.txt"]
    make_again(repository, "* 1000", "* 1001")
    content = read_json(path)
    write_json(path, content | {"files": content["files"] | {"data/numbers/a.txt": read}})
    without_data(repository)
    findings = verify(repository, committed=True).findings
    assert [(finding.kind, finding.path) for finding in findings] == [("tampered", "reports/toy/receipts/make.json")]
    assert "its hash of data/numbers is not that of the files it lists" in findings[0].message
    write_json(path, content)
    assert kinds(repository, committed=True) == {"stale": ["use"]}


def test_folder_in_a_folder_is_held_against_the_cache(repository):
    """Receipts say nothing here: there are none."""
    code = toy.MAKE.replace("    (folder / f", "    (folder / name).mkdir(exist_ok=True)\n    (folder / name / f")
    (repository / "make.py").write_text(code)
    (repository / "use.py").write_text(toy.USE.replace("a.txt", "a/a.txt"))
    (repository / "dvc.yaml").write_text(toy.PIPELINE.replace("numbers/a.txt", "numbers/a"))
    toy.dvc(repository, "repro")
    shutil.rmtree(repository / "reports/toy/receipts")
    receipts = ["reports/toy/receipts/make.json", "reports/toy/receipts/use.json"]
    assert kinds(repository) == {"missing": receipts}
    for other, stale in (("(1001 if name == 'b' else 1000)", []), ("1001", ["use"])):
        (repository / "make.py").write_text(code.replace("1000", other))
        toy.dvc(repository, "repro", "--single-item", "make")
        assert kinds(repository).get("stale", []) == stale


def test_receipts_of_another_run_are_no_forgery(repository):
    """DVC brought an earlier run back from its run-cache: outputs and lock are of that one, the receipts are not."""
    other = {"make": OTHER_RUN | {"params": {"size": 4}}}
    other["use"] = {"inputs": OTHER_FILES, "outputs": {RESULT: "2" * 64}}
    for stage, values in other.items():
        toy.edit(repository / f"reports/toy/receipts/{stage}.json", **values)
    assert kinds(repository) == {"stale": ["make", "data/numbers", RESULT]}
    assert kinds(repository, committed=True) == {"stale": ["make", RESULT]}
    shutil.rmtree(repository / "data")
    assert kinds(repository, committed=True) == {"stale": ["make", RESULT]}


def test_deleted_result_below_a_folder_that_a_stage_reads(repository):
    folder = RESULT.rpartition("/")[0]
    more = f"  show:\n    cmd: cat {RESULT} > shown\n    deps: [{folder}]\n    outs: [shown]\n"
    (repository / "dvc.yaml").write_text(toy.PIPELINE + more)
    toy.dvc(repository, "repro", "-q")
    receipt = read_json(repository / "reports/toy/receipts/use.json")
    outputs = {"shown": sha256_path(repository / "shown")}
    write_json(repository / "reports/toy/receipts/show.json", receipt | {"code": {}, "inputs": {}, "outputs": outputs})
    assert kinds(repository) == {}
    (repository / RESULT).unlink()
    assert kinds(repository) == {"missing": [RESULT]}


def test_folder_that_git_keeps_is_told_file_by_file_without_a_cache(repository):
    show = (
        "  show:\n    cmd: mkdir -p shown && touch shown/a && echo 1 > shown/b\n    outs: [{shown: {cache: false}}]\n"
    )
    (repository / "dvc.yaml").write_text(toy.PIPELINE + show)
    toy.dvc(repository, "repro", "-q")
    outputs = {"shown": sha256_path(repository / "shown")}
    write_json(repository / "reports/toy/receipts/show.json", {"code": {}, "inputs": {}, "outputs": outputs})
    toy.commit(repository)
    shutil.rmtree(repository / ".dvc/cache")
    (repository / "shown/a").unlink()
    assert kinds(repository, committed=True) == {"missing": ["shown/a"]}
    (repository / "shown/b").write_text("2")
    assert kinds(repository, committed=True) == {"missing": ["shown/a"], "tampered": ["shown/b"]}
    toy.commit(repository)
    assert kinds(repository, committed=True) == {"tampered": ["shown"]}


def test_download_without_git(repository):
    shutil.rmtree(repository / ".git")
    assert kinds(repository) == {}


def test_paths_of_another_profile_in_the_lock(repository):
    """The pipeline no longer has them, so nobody is told to bring them back."""
    text = toy.PIPELINE.replace("data/numbers", "data/others")
    (repository / "dvc.yaml").write_text(text)
    assert kinds(repository) == {"stale": ["make", "use"]}


def test_name_that_is_no_utf8(repository):
    (repository / "data/numbers/\udcff").write_text("")
    assert kinds(repository) == {"tampered": ["data/numbers/\udcff"]}


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"code": [], "inputs": {}, "outputs": {}}'])
def test_file_that_is_no_receipt(repository, text):
    (repository / "reports/toy/receipts/make.json").write_text(text)
    receipt = "reports/toy/receipts/make.json"
    assert kinds(repository) == {"tampered": [receipt], "missing": [receipt]}


def test_folder_hash_is_that_of_dvc(repository):
    hashes = hash_path(repository / "data/numbers")
    assert f"{hashes.md5[:2]}/{hashes.md5[2:]}" in str(locked(repository, "make", "data/numbers"))
    assert hashes.sha256 == sha256_path(repository / "data/numbers")
    assert folder_md5({}) == "d751713988987e9331980363e24189ce.dir"  # MD5 of []


def test_name_of_a_file_does_not_reach_the_terminal_as_a_command():
    assert printable("data/\x1b[2J\udc80") == "data/\\u001b[2J\\udc80"
    assert printable("data/‖x‖²") == "data/‖x‖²"


def test_gravest_finding_decides_the_exit_code():
    findings = [AuditFinding("missing", "b", ""), AuditFinding("tampered", "a", "x"), AuditFinding("stale", "c", "")]
    assert exit_code(findings) == EXIT_CODES["tampered"] == 3
    assert [line.split(":")[0] for line in as_text(findings)] == ["tampered", "stale", "missing"]
    assert len({*EXIT_CODES.values(), 0, 1, 2}) == len(EXIT_CODES) + 3
