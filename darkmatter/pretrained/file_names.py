"""The files of an SAE below its folder in each format, the weights last."""

FILES = {
    "dictionary-learning": ("config.json", "ae.pt"),
    "gemma-scope": ("params.npz",),
    "gemma-scope-2": ("params.safetensors",),
    "llama-scope": ("hyperparams.json", "checkpoints/final.safetensors"),
    "sae-lens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
}
