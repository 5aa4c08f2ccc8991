"""A GGUF file of a one-layer Llama, small enough to be read in a moment."""

from pathlib import Path

import gguf
import numpy as np

from darkmatter.models.load import byte_tokenizer


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """A one-layer Llama in Q4_1 with a byte tokenizer; returns the exact weights that it encodes."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(259)
    vocabulary = sorted(byte_tokenizer(add_bos=False).get_vocab().items(), key=lambda pair: pair[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*(symbol for symbol, _ in vocabulary[:256]), "<bos>", "<|endoftext|>", "ab"])
    writer.add_token_types([1] * 256 + [3] * 2 + [1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    random = np.random.Generator(np.random.PCG64(0))
    shapes = {"token_embd": (259, 32), "blk.0.attn_q": (32, 32), "blk.0.attn_k": (32, 32), "blk.0.attn_v": (32, 32),
              "blk.0.attn_output": (32, 32), "blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32),
              "blk.0.ffn_down": (32, 64)}  # fmt: skip
    exact = {}
    for name, shape in shapes.items():
        quantised = gguf.quants.quantize(random.normal(size=shape).astype(np.float32), gguf.GGMLQuantizationType.Q4_1)
        exact[name] = gguf.quants.dequantize(quantised, gguf.GGMLQuantizationType.Q4_1)
        writer.add_tensor(f"{name}.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(32, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return exact
