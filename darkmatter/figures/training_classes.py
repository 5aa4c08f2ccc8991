"""What figures call sae-lens's training classes."""

NAMES = {
    "topk": "TopK",
    "standard": "ReLU, L1",
    "gated": "Gated",
    "abstopk": "AbsTopK",
    "jumprelu": "JumpReLU",
    "batchtopk": "BatchTopK",
    "matryoshka_batchtopk": "Matryoshka",
    "matching_pursuit": "Matching pursuit",
}
