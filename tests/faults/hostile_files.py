"""Files that are whole, and say what must not be believed: each must be refused; a bomb may be read as what it was.

Names twice in this repository's own artifacts are not here: their hashes tell (`outputs.py`).
"""

import numpy as np

from tests.faults import damage as of
from tests.faults.loaders import ROWS

TRAINED, LENS = "SAE trained here (safetensors)", "published SAE, sae-lens (safetensors)"
LENS_CONFIG, SPARSIFY = "published SAE, sae-lens (cfg.json)", "published SAE, sparsify (safetensors)"
NPZ_SAE, TORCH_SAE = "published SAE, Gemma Scope (.npz)", "published SAE, dictionary_learning (.pt)"
GIVEN_NPY, GIVEN_NPZ = "activations given (.npy)", "activations given (.npz)"
GIVEN_SAFE, GIVEN_TORCH = "activations given (safetensors)", "activations given (.pt)"
ARROW, STATE = "activations given (datasets)", "activations given (datasets, state.json)"
PLAIN_MODEL, PLAIN_CONFIG = "model given (safetensors)", "model given (config.json)"
OWN_MODEL, OWN_TOKENIZER = "model of the pipeline (safetensors)", "model of the pipeline (tokenizer.json)"
TOKENS = "tokens given (.npy)"
GGUF, WHEEL, PARAMS = "packaged weights (GGUF)", "package of text (wheel)", "parameters (.yaml)"
SUMS = "sums of a stage (.npz)"
ARRAY, SHARDS = "array of a stage (.npy)", "activations in shards (.npy)"
SAFE = (TRAINED, LENS, GIVEN_SAFE, PLAIN_MODEL)
NAN, INF = float("nan"), float("inf")

Rows = list[tuple[str, str, of.Damage]]

TWICE: Rows = [
    *[(name, "a name twice", of.header(of.twice)) for name in (LENS, SPARSIFY, GIVEN_SAFE, PLAIN_MODEL)],
    *[(name, "a name twice", of.zip_twice) for name in (NPZ_SAE, GIVEN_NPZ, TORCH_SAE, WHEEL)],
    (LENS_CONFIG, "a name twice", of.json_twice("k", 4)),
    (PARAMS, "a name twice", of.appended("\nprofile: smoke\n")),
]
TYPES: Rows = [
    *[(name, "whole numbers", of.whole("W_enc")) for name in (LENS, NPZ_SAE)],
    (TORCH_SAE, "whole numbers", of.whole("encoder.weight")),
    *[(name, "another type", of.saved(ROWS.astype(np.float64))) for name in (ARRAY, SHARDS)],
    (GIVEN_NPY, "whole numbers", of.saved(ROWS.astype(np.int64))),
    (GIVEN_NPZ, "whole numbers", of.replaced(x=ROWS.astype(np.int64))),
    *[(name, "whole numbers", of.whole("x")) for name in (GIVEN_SAFE, GIVEN_TORCH)],
    (TOKENS, "another type", of.saved(np.zeros((3, 20)))),
]
SHAPES: Rows = [
    *[(name, "transposed", of.turned("W_dec")) for name in (TRAINED, LENS, NPZ_SAE)],
    *[(name, "transposed", of.turned("W_enc")) for name in (LENS, NPZ_SAE)],
    *[(TORCH_SAE, "transposed", of.turned(f"{part}.weight")) for part in ("encoder", "decoder")],
    (SPARSIFY, "transposed", of.turned("encoder.weight")),
    (ARRAY, "transposed", of.saved(ROWS.T)),
    (SHARDS, "another shape", of.saved(ROWS[:, :, :-1])),
    (TOKENS, "another shape", of.saved(np.arange(60))),
    *[(name, "another shape", of.cut_row("b_enc")) for name in (LENS, NPZ_SAE)],
    *[(name, "another shape", of.cut_row("b_dec")) for name in (TRAINED, LENS, SPARSIFY, NPZ_SAE, TORCH_SAE)],
    (PLAIN_MODEL, "another shape", of.cut_row("model.norm.weight")),
    (ARROW, "another shape", of.arrow_ragged),
    *[(name, "numbers without a header", of.bare) for name in (ARRAY, SHARDS, GIVEN_NPY)],
]
MISSING: Rows = [
    *[(name, "a tensor missing", of.without("b_dec")) for name in (TRAINED, LENS, SPARSIFY, NPZ_SAE, TORCH_SAE)],
    *[(name, "a tensor missing", of.without("W_enc")) for name in (LENS, NPZ_SAE)],
    (PLAIN_MODEL, "a tensor missing", of.without("model.norm.weight")),
    (GGUF, "a tensor missing", of.renamed(b"output_norm.weight", b"output_none.weight")),
    *[(name, "a tensor left over", of.added("extra")) for name in (LENS, SPARSIFY, NPZ_SAE, TORCH_SAE)],
    (PLAIN_MODEL, "a tensor left over", of.added("model.extra.weight")),
]
NOT_FINITE: Rows = [
    *[(name, "NaN in weights", of.put("W_dec", (5, 7), NAN)) for name in (TRAINED, LENS, SPARSIFY, NPZ_SAE)],
    *[(name, "infinity in weights", of.put("W_enc", (7, 5), INF)) for name in (LENS, NPZ_SAE)],
    *[(name, "infinity in weights", of.put("b_dec", 3, -INF)) for name in (TRAINED, LENS, SPARSIFY, NPZ_SAE)],
    (TORCH_SAE, "NaN in weights", of.put("encoder.weight", (5, 7), NAN)),
    (TORCH_SAE, "infinity in weights", of.put("b_dec", 3, INF)),
    (PLAIN_MODEL, "NaN in weights", of.put("model.norm.weight", 3, NAN)),
    (PLAIN_MODEL, "infinity in weights", of.put("model.embed_tokens.weight", (5, 3), INF)),
    (GGUF, "NaN in weights", of.gguf_value(NAN)),
    (GGUF, "infinity in weights", of.gguf_value(INF)),
    (ARROW, "an entry empty", of.arrow_hole),
]
BOMBS: Rows = [
    *[(name, "a header bomb", of.header(bytes, 1 << 63)) for name in SAFE],
    *[(name, "a header bomb", of.header(bytes, 99 << 20)) for name in SAFE],
    *[(name, "lists in lists", of.header(lambda _: b"[" * 50_000)) for name in SAFE],
    *[(name, "a header bomb", of.npy_with((1 << 40, 5, 8))) for name in (ARRAY, SHARDS, GIVEN_NPY)],
    *[(name, "a header bomb", of.npy_with((1 << 62, 1 << 62, 8))) for name in (ARRAY, SHARDS, GIVEN_NPY)],
    (TOKENS, "a header bomb", of.npy_with((1 << 40, 1 << 40), "<i4")),
    *[(name, "a header bomb", of.claims(0xFFFFFFF0)) for name in (SUMS, NPZ_SAE, GIVEN_NPZ, WHEEL, TORCH_SAE)],
    *[(GGUF, "a header bomb", of.gguf_count(place, 1 << 60)) for place in (8, 16)],
    *[(name, "lists in lists", of.deep) for name in (LENS_CONFIG, STATE, PLAIN_CONFIG)],
    (PARAMS, "lists in lists", of.deep_yaml),
    (PARAMS, "a billion aliases", of.yaml_bomb),
]
OTHERS: Rows = [
    (OWN_TOKENIZER, "another model's tokenizer", of.other_tokenizer),
    (OWN_MODEL, "another model's weights", of.linked_elsewhere),
    (STATE, "a path out of the folder", of.elsewhere),
    (PLAIN_MODEL, "a path out of the folder", of.index_elsewhere),
    *[(WHEEL, "a path out of the folder", of.member(name)) for name in ("../out.txt", "/out.txt", "C:\\out.txt")],
    (WHEEL, "a link out of the folder", of.member("text/passwd", link=True)),
]
MUST_BE_REFUSED: Rows = [*TWICE, *TYPES, *SHAPES, *MISSING, *NOT_FINITE, *OTHERS]
