"""An SAE of a million latents: encoded in blocks from its file, against a dense encode with all weights in memory.

Each side runs in a process of its own. Compared is the peak of its private memory, read every few milliseconds on
Linux. Pages of the SAE's file that are mapped are not private: the kernel drops them when memory is short. The goal
asks for the peak with them, too.

    python -m tests.benches.bench_wide_sae ours|rival FOLDER      # one side, as `make bench` starts it
"""

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from darkmatter.runner.processes import single_thread
from darkmatter.saes.published.load import load_pretrained
from tests.benches.interleaved import Check, Pairs, Peaks, Row, timed

D_MODEL, LATENTS, K, ROWS, PAIRS = 576, 1 << 20, 32, 128, 2
BLOCK = 1 << 14
MOST_GB, SAME = 4.0, 0.999  # two kernels may round two latents around the k-th the other way


def write_sae(folder: Path) -> None:
    """A TopK SAE in sae-lens's format with a tied decoder, and rows; written in blocks, since it has 4.8 GB."""
    config = {"architecture": "topk", "k": K, "d_in": D_MODEL, "d_sae": LATENTS, "dtype": "float32"}
    config |= {"apply_b_dec_to_input": False, "normalize_activations": "none", "rescale_acts_by_decoder_norm": False}
    metadata = {"sae_lens_version": "6.54.12", "hook_name": "blocks.3.hook_mlp_out"}
    (folder / "cfg.json").write_text(json.dumps(config | {"metadata": metadata}))
    shapes = {"W_enc": (D_MODEL, LATENTS), "W_dec": (LATENTS, D_MODEL), "b_enc": (LATENTS,), "b_dec": (D_MODEL,)}
    header, starts, end = {}, {}, 0
    for name, shape in shapes.items():
        starts[name], end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [starts[name], end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = folder / "sae_weights.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)

    def tensor(name: str) -> np.memmap:
        return np.memmap(path, np.float32, "r+", 8 + len(text) + starts[name], shapes[name])

    encoder, decoder, random = tensor("W_enc"), tensor("W_dec"), np.random.default_rng(0)
    for start in range(0, LATENTS, BLOCK):
        block = random.standard_normal((BLOCK, D_MODEL), dtype=np.float32) / np.float32(D_MODEL**0.5)
        decoder[start : start + BLOCK], encoder[:, start : start + BLOCK] = block, block.T
    encoder.flush()
    decoder.flush()
    np.save(folder / "rows.npy", random.standard_normal((ROWS, D_MODEL), dtype=np.float32))


def ours(folder: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents of each row, and Sae(x)."""
    sae = load_pretrained(folder).sae
    codes = sae.encode(rows)
    return codes.index, sae.decode(codes)


def rival(folder: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mapped = load_file(folder / "sae_weights.safetensors")
    weights = {name: tensor.clone() for name, tensor in mapped.items()}  # as a module's `load_state_dict` copies
    pre = torch.from_numpy(rows) @ weights["W_enc"] + weights["b_enc"]
    chosen = pre.topk(K, dim=1)
    values, order = chosen.values.clamp(min=0), chosen.indices.argsort(1)
    latents = chosen.indices.gather(1, order)
    dense = torch.zeros_like(pre).scatter_(1, chosen.indices, values)
    return latents.numpy(), (dense @ weights["W_dec"] + weights["b_dec"]).numpy()


class PrivateMemory(threading.Thread):
    """The peak, in GB, of what this process has for itself."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.over = 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.005):
            self.peak = max(self.peak, gigabytes("RssAnon"))


def gigabytes(field: str) -> float:
    """Of this process's status. Its own peak is VmHWM; `ru_maxrss` begins at that of the process that began it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e9


def run_side(side: str, folder: Path) -> None:
    single_thread()
    rows = np.load(folder / "rows.npy")
    private = PrivateMemory()
    private.start()
    seconds, (latents, rebuilt) = timed(lambda: {"ours": ours, "rival": rival}[side](folder, rows))
    private.over.set()
    np.savez(folder / f"{side}.npz", latents=latents, rebuilt=rebuilt)
    print(json.dumps({"seconds": seconds, "private": private.peak, "resident": gigabytes("VmHWM")}))


def measured(side: str, folder: Path) -> dict:
    command = [sys.executable, "-m", "tests.benches.bench_wide_sae", side, str(folder)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def rows(data: Path, peaks: Peaks) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sae(folder)
        sides = [{side: measured(side, folder) for side in ("ours", "rival")} for _ in range(PAIRS)]
        mine, theirs = (dict(np.load(folder / f"{side}.npz")) for side in ("ours", "rival"))
    same = float((mine["latents"] == theirs["latents"]).mean())
    gap = float(np.abs(mine["rebuilt"] - theirs["rebuilt"]).max() / np.abs(theirs["rebuilt"]).max())
    memory = Pairs(*([one[side]["private"] for one in sides] for side in ("ours", "rival")), (mine, theirs))
    seconds = [sum(one[side]["seconds"] for one in sides) / PAIRS for side in ("ours", "rival")]
    resident = [max(one[side]["resident"] for one in sides) for side in ("ours", "rival")]
    checks = [
        Check("our peak of private memory, GB", max(memory.ours), MOST_GB, False),
        Check("our peak with mapped pages of the file, GB", resident[0], MOST_GB, False),
        Check("share of equal latents", same, SAME, True),
        Check("largest difference of Sae(x), relative", gap, 1e-4, False),
    ]
    return [
        Row(
            "An SAE in blocks",
            f"peak of private memory, {LATENTS:,} latents",
            "dense encode",
            None,
            memory,
            unit="GB",
            checks=checks,
            note=f"d_model {D_MODEL}, {ROWS} rows, TopK, 4.8 GB of weights. Loading, encoding and decoding: ours "
            f"{seconds[0]:.0f} s, which reads every weight once more to refuse NaN, the rival {seconds[1]:.0f} s. "
            f"With the pages of the file that the kernel may drop at any time: {resident[0]:.1f} GB and "
            f"{resident[1]:.1f} GB.",
        )
    ]


if __name__ == "__main__":
    run_side(sys.argv[1], Path(sys.argv[2]))
