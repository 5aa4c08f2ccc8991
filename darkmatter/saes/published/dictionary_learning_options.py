"""What becomes of each key of dictionary_learning's config.json."""

from darkmatter.saes.published.options import Option

TRAINING = "how it was trained; the weights hold the result"
DATA = "which activations it was trained on, and in which batches"

READ = {
    "dict_class": "the class of the state dict",
    "activation_dim": "d_model, held against the shapes",
    "dict_size": "the number of latents, held against the shapes",
    "k": "of TopK; of BatchTopK the number that should fire",
    "k_anneal_steps": "whether k changed after the configuration was written",
    "layer": "of the hookpoint",
    "submodule_name": "of the hookpoint",
}
WITHOUT_EFFECT = (
    *("trainer_class", "lm_name", "wandb_name", "device", "seed", "steps", "lr", "compile", "bandwidth"),
    *("warmup_steps", "decay_start", "resample_steps", "sparsity_warmup_steps", "l1_penalty", "sparsity_penalty"),
    *("initial_sparsity_penalty", "sparsity_function", "sparsity_queue_length", "n_sparsity_updates", "target_l0"),
    *("p_start", "p_end", "anneal_start", "anneal_end", "auxk_alpha", "top_k_aux", "dead_feature_threshold"),
    *("threshold_beta", "threshold_start_step", "group_fractions", "group_weights", "group_sizes", "temperature"),
    *("ghost_threshold", "entropy", "use_entropy", "momentum", "optimizer", "weight_decay", "batch_size"),
)
OF_BUFFER = (
    *("d_submodule", "n_ctxs", "ctx_len", "refresh_batch_size", "out_batch_size", "device", "layer", "dataset"),
    *("remove_bos", "add_special_tokens", "max_activation_norm_multiple"),
)
NOT_FOLDED = (
    "nothing says whether the weights are for activations divided by it. The package multiplies biases and threshold "
    "by it before it saves: where it wrote ae.pt, remove the key from a copy; else multiply them first"
)

OPTIONS = (
    *(Option(f"trainer.{name}", "read", why) for name, why in READ.items()),
    *(Option(f"trainer.{name}", "no effect", TRAINING) for name in WITHOUT_EFFECT),
    Option("trainer.apply_b_dec_to_input", "refused", "the class says whether b_dec leaves the input"),
    Option("trainer.norm_factor", "refused", NOT_FOLDED, allowed=(1,)),
    *(Option(f"buffer.{name}", "no effect", DATA) for name in OF_BUFFER),
    Option(
        "buffer.io", "refused", "it reads one activation and predicts another (a transcoder)", allowed=("in", "out")
    ),
)
