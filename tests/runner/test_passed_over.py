"""A stage that DVC passes over for one profile has its receipt from the folder of another."""

from pathlib import Path

import pytest

from darkmatter.runner.passed_over import bring_receipts
from darkmatter.storage.artifacts import read_json, write_json
from darkmatter.storage.listings import folder_sha256
from darkmatter.storage.paths import reports_of

FILES = {"data/saes/a/cfg.json": "ab" * 32, "data/saes/b/cfg.json": "cd" * 32}
OTHERS = FILES | {"data/saes/b/cfg.json": "ef" * 32}
A = folder_sha256({"cfg.json": "ab" * 32})
B = folder_sha256({"cfg.json": "cd" * 32})


def receipt(profile: str, stage: str, started: str, files: dict[str, str]) -> Path:
    path = reports_of(profile).receipts / f"{stage}.json"
    write_json(path, {"profile": profile, "started": started, "outputs": {"data/saes": "12" * 32}, "files": files})
    return path


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    receipt("one", "saes", "2026-01-02", FILES)
    receipt("one", "codes", "2026-01-02", {"data/codes/a": "ab" * 32})


def brought(*inputs: tuple[str, str]) -> dict[str, str]:
    """Stage → the profile whose receipt it is, in the folder of profile `two`."""
    folder = reports_of("two").receipts
    folder.mkdir(parents=True, exist_ok=True)
    bring_receipts(dict(inputs), folder)
    return {path.stem: read_json(path)["profile"] for path in folder.iterdir()}


def test_the_receipt_of_what_was_read_is_brought():
    assert brought(("data/saes/a", A), ("claims.yaml", "ab" * 32)) == {"saes": "one"}


def test_of_other_bytes_it_is_not():
    assert brought(("data/saes/b", A)) == {}


def test_the_last_of_those_that_wrote_it_counts():
    receipt("three", "saes", "2026-01-03", OTHERS)
    assert brought(("data/saes/a", A)) == {"saes": "three"}
    assert brought(("data/saes/a", A), ("data/saes/b", B)) == {"saes": "three"}


def test_an_own_receipt_stays_unless_another_is_younger():
    own = receipt("two", "saes", "2026-01-02", FILES)
    assert brought(("data/saes/a", A)) == {"saes": "two"}
    receipt("two", "saes", "2026-01-01", FILES)
    assert brought(("data/saes/a", A)) == {"saes": "one"} and own.exists()


def test_what_is_no_receipt_is_left_to_the_audit():
    path = reports_of("three").receipts / "saes.json"
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"files": 1}'):
        path.write_text(text)
        assert brought(("data/saes/a", A)) == {"saes": "one"}
