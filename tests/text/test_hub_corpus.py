"""Text of the hub: the order of datasets 2, only the blocks that are needed, and what makes a document."""

import hashlib
import itertools
import json
import time

import pyarrow
import pytest
from fake_hub import COMMIT, serve
from huggingface_hub import constants

from darkmatter.params.data import Corpus, Dataset
from darkmatter.sources.hub_access import Repo
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.text.hub_corpus import read_dataset, read_shard, shard_names, shuffled, write_dataset

NAME = "monology/pile-uncopyrighted"


def dataset(**changes) -> Dataset:
    facts = {"repo": NAME, "revision": COMMIT, "files": "train/{:02d}.jsonl.zst", "shards": 5, "text_field": "text",
             "domain_field": "meta.pile_set_name", "licence": "various", "shuffle_seed": 42, "buffer": 100,
             "min_bytes": 1, "documents": 1500}  # fmt: skip
    return Dataset(**facts | changes)


def test_rows_come_in_the_order_of_datasets_2():
    """Made once with datasets 2.21 from five shards of 300 rows {"text": "SHARD-ROW"}:
    load_dataset("json", data_files=…, split="train", streaming=True).shuffle(seed=42, buffer_size=100)."""
    rows = [f"{int(name[6:8])}-{row}" for name in shard_names(dataset()) for row in range(300)]
    result = list(shuffled(rows, 42, 100))
    assert result[:5] == ["4-8", "4-77", "4-65", "4-43", "4-103"] and result[-2:] == ["0-297", "0-259"]
    digest = hashlib.sha256("\n".join(result).encode()).hexdigest()
    assert digest == "0a2acc9aa5d43bdb2541b0330e8ab133d4f03c1e5f61c95c4ce299b99421dca1"


def write_shards(root, rows_by_shard) -> None:
    folder = root / "datasets" / NAME / "train"
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(rows_by_shard):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        with pyarrow.CompressedOutputStream(folder / f"{number:02d}.jsonl.zst", "zstd") as file:
            file.write(lines.encode())


def pile_row(text: str, domain: str = "Pile-CC") -> dict:
    return {"text": text, "meta": {"pile_set_name": domain}}


@pytest.fixture
def served(tmp_path, monkeypatch):
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with serve(tmp_path / "served") as result:
        monkeypatch.setenv("HF_ENDPOINT", result.url)
        yield result


def test_long_enough_documents_come_with_domain_and_place(served, tmp_path):
    write_shards(served.root, [[pile_row(f"{shard}-{row}é", "ArXiv" if row % 2 else "FreeLaw") for row in range(12)]
                               for shard in range(2)])  # fmt: skip
    wanted = dataset(shards=2, buffer=4, documents=3, min_bytes=6)
    first = list(read_dataset(wanted))
    assert len(first) == 3 and all(int(d["text"][2:-1]) > 9 for d in first)  # "0-9é" has 5 bytes, "0-10é" 6
    assert first[0]["domain"] in ("ArXiv", "FreeLaw") and first[0]["package"] == f"{NAME}@{COMMIT}"
    assert len({document["id"] for document in first}) == 3
    assert list(read_dataset(wanted)) == first
    assert len(list(read_dataset(dataset(shards=2, buffer=4)))) == 24  # the stream may end before

    corpus = Corpus(wheelhouse=None, dataset=wanted, duplicate_ngram=None, duplicate_share=0.5)
    twice = [*first, {**first[0], "id": "again"}]
    for ngram, kept in ((None, 4), (8, 3)):
        write_dataset(tmp_path, corpus.model_copy(update={"duplicate_ngram": ngram}), twice)
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        lines = (tmp_path / "documents.jsonl").read_text().splitlines()
        assert manifest["documents"] == kept == len(lines) and json.loads(lines[0])["id"] == first[0]["id"]
        assert sum(entry["dropped"]["exact"] for entry in manifest["sources"].values()) == 4 - kept


def test_no_more_of_a_shard_is_read_than_needed(served):
    noise = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(8000)]
    rows = [pile_row("".join(noise[i : i + 40])) for i in range(0, 8000, 2)]
    write_shards(served.root, [rows])
    path = served.root / "datasets" / NAME / "train" / "00.jsonl.zst"
    path.write_bytes(path.read_bytes() * 2)  # several frames, as some tools write them
    block = path.stat().st_size // 20
    shard = read_shard(Repo(NAME, COMMIT, "dataset"), "train/00.jsonl.zst", block)
    assert len(list(itertools.islice(shard, 100))) == 100
    assert 1 <= len(served.seen) == len(served.ranges) < 8
    assert [item["row"] for item in shard] == rows[100:] + rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"plain text", "no JSON lines in Zstandard"),
        (pyarrow.compress(b'{"text": \n', "zstd", asbytes=True), "no JSON lines in Zstandard"),
        (pyarrow.compress(b'["text"]\n', "zstd", asbytes=True), "no text in field 'text'"),
        (pyarrow.compress(b'{"text": "a"}\n', "zstd", asbytes=True), "no text in field 'meta.pile_set_name'"),
    ],
)
def test_shards_of_another_format_are_refused(served, content, message):
    write_shards(served.root, [[]])
    (served.root / "datasets" / NAME / "train" / "00.jsonl.zst").write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        list(read_dataset(dataset(shards=1)))
