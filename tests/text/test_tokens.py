"""Contexts: no source on both sides, domains in balance, the same choice for the same seed."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import profile_params

from darkmatter.models.load import byte_tokenizer
from darkmatter.params.tokens import TokenWindows
from darkmatter.runner.stage import Stage
from darkmatter.storage.artifacts import ArtifactError, open_array, read_json, sha256_file, sha256_path, write_json
from darkmatter.storage.paths import reports_of
from darkmatter.text.corpus import read_documents
from darkmatter.text.tokens import (
    Context,
    array_sha256,
    balance,
    contexts_of,
    manifest,
    shares,
    split_contexts,
    stack,
    whole_sources,
)


def tokens(train: int, held_out: int, seed: int = 0, length: int = 4, windows: int = 1) -> TokenWindows:
    return TokenWindows(
        context_length=length,
        first_position=1,
        train_contexts=train,
        eval_contexts=held_out,
        seed=seed,
        windows=windows,
    )


def pool(sizes: dict[str, list[int]]) -> list[Context]:
    """Contexts of sources with so many documents each, by domain."""
    return [
        Context(f"{domain}/{source}#{number}", f"{domain}/{source}", domain, np.full(4, number, np.int32))
        for domain, counts in sizes.items()
        for source, count in enumerate(counts)
        for number in range(count)
    ]


SIZES = st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(1, 12), min_size=1, max_size=8), min_size=1)


@settings(max_examples=300)
@given(sizes=SIZES, train=st.integers(1, 30), held_out=st.integers(4, 12), seed=st.integers(0, 3))
def test_any_split_keeps_sources_apart_and_has_the_wanted_size(sizes, train, held_out, seed):
    contexts, wanted = pool(sizes), tokens(train, held_out, seed)
    try:
        split = split_contexts(contexts, wanted)
    except ArtifactError:
        return
    assert (len(split.train), len(split.eval)) == (train, held_out)
    assert not {c.source for c in split.train} & {c.source for c in split.eval}
    chosen = [c.document for c in (*split.train, *split.eval)]
    assert len(set(chosen)) == len(chosen) and set(chosen) <= {c.document for c in contexts}
    again = split_contexts(contexts, wanted)
    assert [c.document for c in (*again.train, *again.eval)] == chosen


@given(
    counts=st.lists(st.integers(1, 25), min_size=1, max_size=4), train=st.integers(1, 40), held_out=st.integers(4, 16)
)
def test_with_one_document_per_source_every_possible_split_is_found_and_in_balance(counts, train, held_out):
    sizes = {f"d{i}": [1] * count for i, count in enumerate(counts)}
    if sum(counts) < train + held_out:
        with pytest.raises(ArtifactError, match=r"only .* documents"):
            split_contexts(pool(sizes), tokens(train, held_out))
        return
    split = split_contexts(pool(sizes), tokens(train, held_out))
    for side, other in ((split.train, split.eval), (split.eval, split.train)):
        given_, rest = Counter(c.domain for c in side), Counter(c.domain for c in other)
        most = max(given_.values())
        for domain, ones in sizes.items():
            assert given_[domain] >= most - 1 or given_[domain] + rest[domain] == len(ones)


def test_every_prefix_of_train_is_in_balance():
    split = split_contexts(pool({domain: [1] * 20 for domain in "abc"}), tokens(30, 9))
    for length in range(1, 31):
        counts = Counter(c.domain for c in split.train[:length])
        assert max(counts.values()) - min(counts[domain] for domain in "abc") <= 1


def test_another_seed_chooses_otherwise_and_the_order_of_domains_in_the_corpus_does_not_matter():
    contexts = pool({"a": [1] * 20, "b": [1] * 20})
    names = lambda split: [c.document for c in (*split.train, *split.eval)]  # noqa: E731
    first = names(split_contexts(contexts, tokens(10, 4)))
    assert first != names(split_contexts(contexts, tokens(10, 4, seed=1)))
    assert first == names(split_contexts(sorted(contexts, key=lambda c: c.domain == "a"), tokens(10, 4)))


def test_whole_books_stay_on_one_side_and_leave_train_its_share():
    books = [61, 127, 30, 27, 22, 15, 4, 3, 3]
    split = split_contexts(pool({"books": books, "code": [1] * 300}), tokens(400, 30))
    assert Counter(c.domain for c in split.eval) == {"books": 15, "code": 15}
    assert Counter(c.domain for c in split.train) == {"books": 200, "code": 200}
    assert len({c.source for c in split.eval if c.domain == "books"}) >= 3


def test_a_domain_of_one_source_goes_to_train_and_others_make_it_up():
    split = split_contexts(pool({"one": [30], "many": [1] * 60}), tokens(40, 10))
    assert Counter(c.domain for c in split.eval) == {"many": 10}
    assert Counter(c.domain for c in split.train) == {"one": 20, "many": 20}


def test_too_few_documents_are_counted_by_domain():
    with pytest.raises(
        ArtifactError, match=r"only 5 documents with at least 4 tokens.*\(a 3, b 2\).*Lower tokens\.train"
    ):
        split_contexts(pool({"a": [3], "b": [2]}), tokens(10, 4))
    with pytest.raises(ArtifactError, match=r"only 0 documents .*none in any domain"):
        split_contexts([], tokens(10, 4))
    with pytest.raises(ArtifactError, match=r"on the eval side .*without a source on both sides"):
        split_contexts(pool({"a": [20]}), tokens(10, 4))


@given(supply=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20)), number=st.integers(0, 60))
def test_shares_fill_the_lowest_first(supply, number):
    result = shares(supply, number)
    level = dict.fromkeys(supply, 0)
    for _ in range(min(number, sum(supply.values()))):
        lowest = min((d for d in supply if level[d] < supply[d]), key=level.__getitem__)
        level[lowest] += 1
    assert sorted(result.values()) == sorted(level.values()) and result == level


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), wanted=st.integers(0, 20), spare=st.integers(0, 10))
def test_whole_sources_never_take_more_than_allowed(sizes, wanted, spare):
    contexts = pool({"a": sizes})
    taken = whole_sources(contexts, wanted, wanted + spare)
    assert sum(c.source in taken for c in contexts) <= wanted + spare
    if set(sizes) == {1}:
        assert len(taken) == min(wanted, len(sizes))


def test_contexts_are_the_first_tokens_of_documents_that_are_long_enough():
    tokenizer = byte_tokenizer(add_bos=False)
    texts = ["short", "exactly8", "é" * 50, "longer than eight"]
    documents = [{"id": str(i), "source": f"s{i}", "domain": "d", "text": text} for i, text in enumerate(texts)]
    contexts = list(contexts_of(iter(documents), tokenizer, 8))
    assert [c.document for c in contexts] == ["1", "2", "3"]
    for context in contexts:
        assert context.ids.dtype == np.int32
        assert context.ids.tolist() == tokenizer(texts[int(context.document)])["input_ids"][:8]
    with_bos = list(contexts_of(documents, byte_tokenizer(add_bos=True), 8))
    assert {int(c.ids[0]) for c in with_bos} == {256} and with_bos[0].ids[1:].tolist() == contexts[0].ids[:-1].tolist()


def test_documents_keep_their_order_across_batches():
    documents = [{"id": str(i), "source": str(i), "domain": "d", "text": f"{i:08d}"} for i in range(150)]
    contexts = list(contexts_of(documents, byte_tokenizer(add_bos=False), 8))
    assert [byte_tokenizer(add_bos=False).decode(c.ids) for c in contexts] == [d["text"] for d in documents]


@settings(max_examples=50)
@given(text=st.text("ab c", min_size=0, max_size=60), windows=st.integers(1, 9), add_bos=st.booleans())
def test_windows_of_a_document_follow_each_other_and_repeat_no_token(text, windows, add_bos):
    tokenizer = byte_tokenizer(add_bos)
    document = {"id": "0", "source": "s", "domain": "d", "text": text}
    contexts = list(contexts_of([document], tokenizer, 8, windows))
    ids = tokenizer(text)["input_ids"][int(add_bos) :]
    size = 8 - int(add_bos)
    assert len(contexts) == min(windows, len(ids) // size)
    assert [context.window for context in contexts] == list(range(len(contexts)))
    assert all(context.ids[0] == 256 for context in contexts if add_bos)
    joined = [token for context in contexts for token in context.ids[int(add_bos) :].tolist()]
    assert joined == ids[: len(contexts) * size]
    assert all(
        one.ids.tolist() == other.ids.tolist()
        for one, other in zip(contexts, contexts_of([document], tokenizer, 8), strict=False)
    )


def windows_of(documents: dict[str, int], each: int) -> list[Context]:
    """So many windows of each document, every document a source of its own."""
    return [
        Context(f"{domain}/{number}", f"{domain}/{number}", domain, np.full(4, window, np.int32), window)
        for domain, count in documents.items()
        for number in range(count)
        for window in range(each)
    ]


def test_with_windows_train_takes_all_and_eval_one_of_each_document():
    contexts = windows_of({"a": 30, "b": 30}, each=5)
    split = split_contexts(contexts, tokens(200, 12, windows=5))
    assert Counter(c.domain for c in split.train) == {"a": 100, "b": 100}
    assert len({(c.document, c.window) for c in split.train}) == 200 > len({c.document for c in split.train})
    assert len({c.document for c in split.eval}) == 12 and len({c.window for c in split.eval}) > 1
    assert not {c.source for c in split.train} & {c.source for c in split.eval}


def test_with_windows_a_small_domain_holds_out_a_third_of_its_documents_at_most():
    split = split_contexts(windows_of({"small": 9, "large": 90}, each=3), tokens(150, 30, windows=3))
    assert Counter(c.domain for c in split.eval) == {"small": 3, "large": 27}
    assert Counter(c.domain for c in split.train) == {"small": 18, "large": 132}


def test_the_manifest_names_windows_only_where_there_are_several():
    contexts, tokenizer = windows_of({"a": 12, "b": 12}, each=2), byte_tokenizer(add_bos=False)
    for windows, keys in ((1, {"document", "source", "domain"}), (2, {"document", "source", "domain", "window"})):
        wanted = tokens(10, 4, windows=windows)
        own = [context for context in contexts if context.window < windows]
        facts = manifest(split_contexts(own, wanted), own, wanted, tokenizer, "hash")
        assert {frozenset(row) for side in facts["contexts"].values() for row in side} == {frozenset(keys)}


@pytest.mark.parametrize("add_bos", [False, True])
def test_the_manifest_describes_every_row(add_bos):
    tokenizer = byte_tokenizer(add_bos)
    documents = [
        {"id": f"{d}{i}", "source": f"{d}{i}", "domain": d, "text": f"{i:08d}"} for d in "ab" for i in range(20)
    ]
    contexts = list(contexts_of(documents, tokenizer, 8))
    split = split_contexts(contexts, tokens(10, 4, length=8))
    facts = manifest(split, contexts, tokens(10, 4, length=8), tokenizer, "hash")
    assert facts["begins_with_bos"] is add_bos
    assert [row["document"] for row in facts["contexts"]["train"]] == [c.document for c in split.train]
    assert facts["counts"] == {"train": {"a": 5, "b": 5}, "eval": {"a": 2, "b": 2}}
    assert facts["available"] == {"a": 20, "b": 20}
    assert facts["tokens_sha256"]["eval"] == array_sha256(stack(split.eval))
    changed = stack(split.eval)
    changed[0, 0] += 1
    assert facts["tokens_sha256"]["eval"] != array_sha256(changed)


def test_imbalance_is_named_and_balance_is_not_called_imbalance():
    assert balance({"train": {"a": 5, "b": 4}}, {"a": 9, "b": 9}) == "every domain gives the same number, to one"
    assert balance({"train": {"a": 5, "b": 3}}, {"a": 9, "b": 3}) == "domains that give less: train: b 3 of 5 (has 3)"
    assert "c 0 of 5 (has 2)" in balance({"eval": {"a": 5, "b": 5}}, {"a": 9, "b": 9, "c": 2})


@pytest.mark.parametrize("profile", ["smoke", "smoke-gemma2"])
def test_the_three_stages_leave_the_same_bytes_twice(tmp_path, monkeypatch, profile):
    from stages import corpus, model
    from stages import tokens as tokens_stage

    params = profile_params(profile)
    hashes = []
    for run in ("1", "2"):
        (tmp_path / run).mkdir()
        monkeypatch.chdir(tmp_path / run)
        for name, module in (("corpus", corpus), ("model", model), ("tokens", tokens_stage)):
            module.main(Stage(name, params, Path(module.__file__)))
        hashes.append((sha256_path(Path("data")), sha256_path(Path("reports"))))
    assert hashes[0] == hashes[1]

    length, wanted = params.tokens.context_length, params.tokens
    train = open_array(Path("data/tokens/train.npy"), (wanted.train_contexts, length), "int32")
    held_out = open_array(Path("data/tokens/eval.npy"), (wanted.eval_contexts, length), "int32")
    facts = read_json(Path("data/tokens/manifest.json"))
    assert facts["tokens_sha256"] == {"train": array_sha256(train), "eval": array_sha256(held_out)}
    assert int(train.max()) < params.model.config["vocab_size"]
    assert set(facts["counts"]["eval"].values()) == {wanted.eval_contexts // 2}
    data = read_json(reports_of(profile).results / "data.json")
    assert set(data) == {"model", "corpus", "tokens"} and data["model"]["label"] == params.model.label


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_once_they_are_used(tmp_path, monkeypatch):
    from stages import corpus, model
    from stages import tokens as tokens_stage

    params = profile_params("smoke")
    monkeypatch.chdir(tmp_path)

    def run(name, module):
        module.main(Stage(name, params, Path(module.__file__)))

    for name, module in (("corpus", corpus), ("model", model), ("tokens", tokens_stage)):
        run(name, module)
    before = open_array(Path("data/tokens/train.npy"), (None, None), "int32").copy()
    add_token("<image>")
    run("tokens", tokens_stage)
    assert np.array_equal(open_array(Path("data/tokens/train.npy"), (None, None), "int32"), before)
    document = read_json(Path("data/tokens/manifest.json"))["contexts"]["train"][0]["document"]
    text = next(d["text"] for d in read_documents(Path("data/corpus/documents.jsonl")) if d["id"] == document)
    add_token(text[:9])
    with pytest.raises(ArtifactError, match=rf"{document}, position 0: token 258 \('{text[:9]}'\) has no row"):
        run("tokens", tokens_stage)


def add_token(token: str) -> None:
    """Give the tokenizer of data/model token 258, for which the model has no row."""
    folder = Path("data/model")
    content = read_json(folder / "tokenizer.json")
    content["added_tokens"] = [t for t in content["added_tokens"] if t["id"] < 258] + [
        {"id": 258, "content": token, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
    ]
    write_json(folder / "tokenizer.json", content)
    manifest = read_json(folder / "manifest.json")
    manifest["tokenizer_sha256"] = manifest["files"]["tokenizer.json"] = sha256_file(folder / "tokenizer.json")
    write_json(folder / "manifest.json", manifest)
