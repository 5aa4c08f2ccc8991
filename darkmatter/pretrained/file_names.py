"""The files of an SAE below its folder in each format, the weights last."""

FILES = {
    "gemma-scope": ("params.npz",),
    "gemma-scope-2": ("params.safetensors",),
    "llama-scope": ("hyperparams.json", "checkpoints/final.safetensors"),
    "sae-lens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
    "dictionary-learning": ("config.json", "ae.pt"),  # last: arrays beside a pickle are the ones that are read
}
