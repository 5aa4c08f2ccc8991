"""Corpus: readers lose no text, duplicates go, and every document keeps its licence and origin."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile_params
from tiny_wheels import make_wheel

from darkmatter.params.data import Corpus, Source
from darkmatter.sources.packages import Archive
from darkmatter.storage.artifacts import ArtifactError, sha256_file
from darkmatter.text import corpus, readers
from darkmatter.text.corpus import build, capped, mark_duplicates, read_documents, read_source, write_corpus
from darkmatter.text.readers import Document, chapters, flatten, pieces, strip_html

WORDS = st.lists(st.sampled_from("abc"), max_size=20).map(" ".join)


def source(**keys) -> Source:
    pinned = {"package": "tiny-text==1.0", "sha256": "0" * 64, "include": ["*"]}
    return Source(**{"reader": "files", "domain": "d", "licence": "CC0 1.0", **pinned, **keys})


def read(tmp_path: Path, members: dict[str, object], **keys) -> list[Document]:
    content = {name: (text if isinstance(text, str) else json.dumps(text)).encode() for name, text in members.items()}
    _, _, path = make_wheel(tmp_path, members=content)
    configured = source(**{"include": ["data/*"], **keys})
    with Archive(path) as archive:
        return list(readers.READERS[configured.reader]("name", configured, archive))


def naive_duplicates(texts: list[str], ngram: int, share: float) -> list[str | None]:
    verdicts, kept, seen = [], set(), set()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        grams = [tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)]
        if tuple(words) in kept:
            verdicts.append("exact")
        elif grams and sum(gram in seen for gram in grams) / len(grams) > share:
            verdicts.append("near")
        else:
            verdicts.append(None)
            kept.add(tuple(words))
            seen |= set(grams)
    return verdicts


@given(texts=st.lists(WORDS, max_size=8), ngram=st.integers(1, 9), share=st.sampled_from([0.25, 0.5, 1.0]))
def test_duplicates_equal_the_naive_definition(texts, ngram, share):
    assert mark_duplicates(texts, ngram, share) == naive_duplicates(texts, ngram, share)


def test_a_light_edit_is_near_and_fresh_text_is_not():
    text = " ".join(f"word{i}" for i in range(100))
    edited = text.replace("word50", "other")
    fresh = " ".join(f"new{i}" for i in range(100))
    assert mark_duplicates([text, text.upper() + "!", edited, fresh], 8, 0.5) == [None, "exact", "near", None]


@given(st.lists(st.sampled_from(["Chapter 1", "IV.", "THE DEAD", "", "He said so.", "x" * 600]), max_size=30))
def test_chapters_lose_no_line(lines):
    text = "\n".join(lines)
    result = chapters(text)
    assert [line for part in result for line in part.split("\n") if line] == [line for line in lines if line]


def test_chapters_begin_at_headings_between_blank_lines():
    body = "It was so.\n" * 60
    text = (
        f"CHAPTER I.\n\n{body}\nTHE END OF IT\n\nII. WORDS\n\n{body}\nHe cried\nSTOP\nand went.\n\nChapter 3\n\n{body}"
    )
    result = chapters(text)
    assert [part.split("\n")[0] for part in result] == ["CHAPTER I.", "THE END OF IT", "Chapter 3"]
    assert "II. WORDS" in result[1] and "STOP" in result[1]


@given(parts=st.lists(st.text("ab ", max_size=30), max_size=20), characters=st.integers(1, 60))
def test_pieces_lose_nothing_and_end_as_soon_as_they_are_long_enough(parts, characters):
    result = list(pieces(parts, characters))
    assert re.sub(r"\s", "", "".join(result)) == re.sub(r"\s", "", "".join(parts))
    assert all(len(piece) >= characters for piece in result[:-1])
    assert all(len(piece.rpartition("\n\n")[0]) < characters for piece in result)


def test_a_book_is_cut_into_chapters_of_one_source_and_code_is_not(tmp_path):
    chapter = "IV\n\n" + "It was so.\n" * 3000
    documents = read(tmp_path, {"data/book.txt": chapter + "\n\nV\n\n" + chapter, "data/code.py": chapter * 3})
    assert [document.id for document in documents] == ["name/data/book#000", "name/data/book#001", "name/data/code"]
    assert {document.source for document in documents} == {"name/data/book", "name/data/code"}
    assert documents[-1].text == (chapter * 3).strip("\n") and documents[0].origin == "data/book.txt"


def test_licence_template_marks_leave_their_original_words(tmp_path):
    text = "A\n<<beginOptional;name=x>>(c) <<var;name=c;original=<year> owner;match=.+>><<endOptional>> B"
    assert read(tmp_path, {"data/l.txt": text})[0].text == "A\n(c) <year> owner B"


def test_wiki_packs_articles_of_one_topic(tmp_path):
    articles = {
        str(i): {"title": f"T{i}", "extract": f"Text {i}", "topic": "Arts" if i % 2 else "Earth science"}
        for i in range(7)
    }
    documents = read(tmp_path, {"data/w.json": articles}, reader="wiki", pack=3)
    assert [document.id for document in documents] == ["name/arts/0000", "name/earth-science/0000",
                                                       "name/earth-science/0001"]  # fmt: skip
    assert documents[0].text == "T1\n\nText 1\n\n\nT3\n\nText 3\n\n\nT5\n\nText 5"
    assert documents[1].origin == "Earth science" and len({document.source for document in documents}) == 3


def test_recipes_keep_ingredients_and_steps_and_skip_the_empty(tmp_path):
    full = {
        "title": "Soup",
        "category": None,
        "servings": "4",
        "time": None,
        "ingredients": ["1 leek"],
        "steps": ["Boil."],
    }
    documents = read(tmp_path, {"data/r.json": {"b": full, "a": {**full, "steps": []}}}, reader="recipes", pack=6)
    assert [document.text for document in documents] == [
        "Soup\nServings: 4\n\nIngredients\n- 1 leek\n\nProcedure\n1. Boil."
    ]


def test_factbook_is_flat_text_by_country(tmp_path):
    country = {
        "Land": {"Area": {"text": "<p>5&nbsp;km<br>dry</p>", "water ": {"text": "1 km"}}},
        "People": {"text": "many"},
    }
    (document,) = read(tmp_path, {"data/x/aa.json": country}, reader="factbook")
    assert document.text == "Land\n\nArea: 5 km\ndry\nArea - water: 1 km\n\nPeople\n\nmany"
    cut = read(tmp_path, {"data/x/aa.json": country}, reader="factbook", piece_characters=10)
    assert [document.id for document in cut] == ["name/aa#00", "name/aa#01"]
    assert {document.source for document in cut} == {"name/aa"}


def test_html_goes_and_entities_turn_into_characters():
    assert strip_html("a<b>b</b> &amp; c<br/>d < e") == "ab & c\nd < e"
    assert list(flatten({"a": {"text": ""}})) == []


def test_bad_json_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"data/w\.json is not valid JSON"):
        read(tmp_path, {"data/w.json": "{"}, reader="wiki")
    with pytest.raises(ArtifactError, match="holds a list, expected an object"):
        read(tmp_path, {"data/w.json": []}, reader="wiki")


def test_synthetic_text_is_seeded_by_its_name():
    configured = source(reader="synthetic", max_characters=20_000)
    first, again, other = (read_source(name, configured, None) for name in ("a", "a", "b"))
    assert first == again
    assert [document.text for document in first] != [document.text for document in other]
    assert sum(len(document.text) for document in first) <= 20_000
    with pytest.raises(ArtifactError, match="needs max_characters"):
        read_source("a", source(reader="synthetic"), None)


@pytest.mark.parametrize("profile", ["smoke", "smoke-gemma2"])
def test_smoke_profiles_have_enough_long_documents_in_each_domain(profile):
    params = profile_params(profile)
    needed = -(-(params.tokens.train_contexts + params.tokens.eval_contexts) // len(params.corpus.sources))
    for name, configured in params.corpus.sources.items():
        documents = read_source(name, configured, None)
        assert sum(len(document.text) >= params.tokens.context_length for document in documents) >= 1.5 * needed


def test_sources_that_cannot_be_read_say_what_to_correct(tmp_path, monkeypatch):
    _, _, path = make_wheel(tmp_path)
    monkeypatch.setattr(corpus, "fetch", lambda *arguments: path)
    with pytest.raises(ArtifactError, match=r"corpus\.sources\.s: no text in tiny-text==1\.0 matches include"):
        read_source("s", source(include=["*.nothing"]), None)
    with pytest.raises(ArtifactError, match="`pack` has no meaning for reader files"):
        read_source("s", source(pack=2), None)


@given(lengths=st.lists(st.integers(1, 50), max_size=20), characters=st.integers(1, 300))
def test_a_cap_is_kept_and_leaves_the_order(lengths, characters):
    documents = [Document(f"d{i}", f"s{i}", "o", "x" * length) for i, length in enumerate(lengths)]
    kept = capped(documents, characters)
    assert sum(len(document.text) for document in kept) <= characters
    assert kept == [document for document in documents if document in kept]
    assert capped(documents, None) == documents


def test_written_documents_keep_licence_package_and_origin(tmp_path):
    one = source(package="one==1.0", sha256="1" * 64, domain="prose", licence="CC BY-SA 4.0")
    two = source(package="two==1.0", sha256="2" * 64, domain="verse")
    configured = Corpus(wheelhouse=None, sources={"two": two, "one": one}, duplicate_ngram=8, duplicate_share=0.5)
    text = " ".join(f"w{i}" for i in range(30))
    documents = {
        "two": [Document("two/a", "two/a", "a.txt", text)],
        "one": [Document("one/a", "one/a", "a.txt", text), Document("one/b", "one/b", "b.txt", "line\u2028é")],
    }
    entries, table = build(configured, documents)
    write_corpus(tmp_path / "1", configured, entries, table)
    write_corpus(tmp_path / "2", configured, *build(configured, dict(reversed(documents.items()))))
    lines = list(read_documents(tmp_path / "1" / "documents.jsonl"))
    assert lines[0] == {"id": "one/a", "source": "one/a", "domain": "prose", "licence": "CC BY-SA 4.0",
                        "package": "one==1.0", "origin": "a.txt", "text": text}  # fmt: skip
    assert [line["id"] for line in lines] == ["one/a", "one/b"] and lines[1]["text"] == "line\u2028é"
    manifest = json.loads((tmp_path / "1" / "manifest.json").read_text())
    assert manifest["sources"]["two"]["dropped"] == {"exact": 1, "near": 0} and manifest["documents"] == 2
    assert manifest["sources"]["one"]["sha256"] == "1" * 64
    assert manifest["sha256"] == sha256_file(tmp_path / "1" / "documents.jsonl")
    for name in ("documents.jsonl", "manifest.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_two_documents_of_one_id_are_refused():
    configured = Corpus(wheelhouse=None, sources={"a": source()}, duplicate_ngram=8, duplicate_share=0.5)
    with pytest.raises(ArtifactError, match="share their id"):
        build(configured, {"a": [Document("x", "x", "o", "one"), Document("x", "x", "o", "two")]})
