"""A program of one who installed the wheel: a made-up hookpoint and SAE, decomposed by the function and the command."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from darkmatter import decompose

assert "torch" not in sys.modules and "scipy" not in sys.modules, "`from darkmatter import decompose` loads torch"

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 40, 60, 10, 32, 4


def write_sae(folder: Path, random: np.random.Generator, mean: np.ndarray) -> None:
    """A TopK SAE in sae-lens's format."""
    folder.mkdir()
    W_dec = random.standard_normal((D_SAE, D_MODEL))
    W_dec = (W_dec / np.linalg.norm(W_dec, axis=1, keepdims=True)).astype(np.float32)
    weights = {"W_dec": W_dec, "b_dec": mean, "W_enc": W_dec.T.copy(), "b_enc": np.zeros(D_SAE, np.float32)}
    save_file(weights, folder / "sae_weights.safetensors")
    facts = {"architecture": "topk", "d_in": D_MODEL, "d_sae": D_SAE, "k": K, "dtype": "float32"}
    facts |= {"apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none"}
    facts["metadata"] = {"hook_name": "blocks.1.hook_resid_post", "sae_lens_version": "6.54.12"}
    (folder / "cfg.json").write_text(json.dumps(facts))


def main() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((CONTEXTS, POSITIONS, D_MODEL)) @ random.standard_normal((D_MODEL, D_MODEL)) + 5
    x = x.astype(np.float32)
    np.save("acts.npy", x)
    write_sae(Path("my_sae"), random, x.mean((0, 1)))
    command = "import sys; from darkmatter.cli import main; sys.exit(main())"
    words = ["decompose", "--activations", "acts.npy", "--sae", "my_sae", "--threads", "1", "--json"]
    done = subprocess.run([sys.executable, "-c", command, *words], stdout=subprocess.PIPE, text=True, check=True)

    from darkmatter.saes.published.load import load_pretrained

    result = decompose("acts.npy", load_pretrained("my_sae").sae, threads=1)
    assert json.loads(done.stdout)["estimates"] == json.loads(result.to_json())["estimates"]
    fvu = result.estimates["token"]["paper"]["fvu"]
    assert 0 < fvu["low"] < fvu["value"] < fvu["high"] < 1
    print(f"FVU {fvu['value']:.6f}")


if __name__ == "__main__":
    main()
