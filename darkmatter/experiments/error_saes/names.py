"""What the SAEs on the parts of an error are called, and their files: apart from the results, so that these may change
without training anything again."""

PARTS = ("linear", "nonlinear")
SUMS = "sums.npz"  # in the folder of each SAE, see `compute.score`


def sae_name(part: str, seed: int) -> str:
    return f"{part}-s{seed}"
