"""SAEs of every published format taken into the graph: the pointer opens to what the loader gave."""

from pathlib import Path

import numpy as np
import published_saes as published
import pytest
import torch
from fake_hub import COMMIT

from darkmatter.saes.open import open_decoder, open_sae, read_facts
from darkmatter.saes.published.adopt import adopt_sae, check_pinned
from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.pointer import POINTER
from darkmatter.storage.artifacts import ArtifactError, read_json

ROWS = published.rows(220).reshape(4, 55, published.D_MODEL)
FORMATS = {  # how it is published, its reference on a hub (None: a folder), hookpoint, width, architecture, L0
    "gemma-scope": (published.gemma_scope, published.GEMMA, "resid_post.12", 16384, "jumprelu", 41),
    "gemma-scope-2": (published.gemma_scope_2, published.GEMMA_2, "attn_z.9", 16384, "jumprelu", None),
    "llama-scope": (published.llama_scope, published.LLAMA, "resid_post.15", 32768, "jumprelu", 50),
    "sparsify": (published.sparsify, None, "resid_post.12", 128, "topk", 8),
    "dictionary-learning": (published.dictionary_learning, None, "resid_post.12", 128, "topk", 8),
    "sae-lens": (lambda root: published.sae_lens(root / "own"), None, "mlp_out.3", 128, "topk", 8),
}


@pytest.fixture(params=FORMATS)
def adopted(request, hub, tmp_path):
    """(loader's SAE, pointer's folder, arguments) of one format."""
    publish, place, hookpoint, d_sae, architecture, l0 = FORMATS[request.param]
    folder = publish(hub.root if place else tmp_path / "local")
    reference = f"{place[0]}@{COMMIT}:{place[1]}" if place else str(folder)
    np.save("x.npy", ROWS)
    arguments = {"reference": reference, "group": "g", "hookpoint": hookpoint, "architecture": architecture}
    arguments |= {"d_sae": d_sae, "k": None, "nominal_l0": l0, "manifest": None, "pinned": None, "activations": "x.npy"}
    out = Path("data/saes") / hookpoint / "name"
    out.mkdir(parents=True)
    adopt_sae(out, **arguments)
    return load_pretrained(reference).sae, out, arguments


def test_the_pointer_opens_to_what_the_loader_gave(adopted):
    loaded, folder, arguments = adopted
    rows = ROWS.reshape(-1, published.D_MODEL)
    sae = open_sae(folder, arguments["architecture"], arguments["d_sae"], None, rows)
    result, expected = sae.encode(rows), loaded.encode(rows)
    assert all(np.array_equal(a, b) for a, b in zip(result, expected, strict=True))
    codes = [torch.from_numpy(part) for part in result[:2]]
    decoded = open_decoder(folder).decode(result)
    assert np.array_equal(decoded, loaded.decode(expected))
    W_dec = sae.W_dec  # every row at once, as pursuit asks for it
    dense = torch.zeros(len(rows), len(W_dec)).scatter_add_(1, codes[0].long(), codes[1])
    np.testing.assert_allclose(decoded, dense @ W_dec + sae.b_dec, rtol=1e-4, atol=1e-4)
    assert (sae.d_sae, sae.d_model) == tuple(W_dec.shape) == (arguments["d_sae"], published.D_MODEL)
    facts = read_facts(folder)
    assert (facts["name"], facts["group"], facts["reference"]) == ("name", "g", arguments["reference"])


def test_what_the_parameters_say_is_held_against_the_files(adopted, tmp_path):
    _, folder, arguments = adopted
    assert read_json(folder / POINTER)["measured"]["explained_variance"] > 0.3
    for name, wrong in (("hookpoint", "resid_post.3"), ("d_sae", arguments["d_sae"] // 2), ("architecture", "relu")):
        with pytest.raises(ArtifactError, match=f"its {name} is .*, the parameters say {wrong}"):
            adopt_sae(tmp_path, **arguments | {name: wrong})
    with pytest.raises(ArtifactError, match=r"L0 is \d+.\d on 220 rows, expected about 900"):
        adopt_sae(tmp_path, **arguments | {"nominal_l0": 900})
    sinks = ROWS.copy()
    sinks[:, 7] *= 3000
    np.save("x.npy", sinks)
    if arguments["architecture"] == "jumprelu":  # TopK scales with a row, thresholds do not
        with pytest.raises(ArtifactError, match="expected"):
            adopt_sae(tmp_path, **arguments)
    adopt_sae(tmp_path, **arguments, outlier_norm_ratio=50.0)
    np.save("x.npy", 100 * ROWS)
    with pytest.raises(ArtifactError, match="expected"):
        adopt_sae(tmp_path, **arguments | {"nominal_l0": arguments["nominal_l0"] or 36})


def test_an_unpinned_reference_is_refused_before_the_network(hub):
    with pytest.raises(ArtifactError, match=r"pins no commit\. Write org/repo@COMMIT:folder"):
        check_pinned("google/gemma-scope-2b-pt-res:layer_12/width_16k/average_l0_41", None)
    assert not hub.seen
    check_pinned("gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_41", "gemma-2-2b")
