"""What a document of SAEBench 0.6.0's `core` evaluation needs: its keys and their types, no more.

Held against sae_bench/evals/core/eval_output_schema_core.json of that version, which accepts what this accepts.
"""

NUMBERS = {
    "model_behavior_preservation": "kl_div_score kl_div_with_ablation kl_div_with_sae",
    "model_performance_preservation": "ce_loss_score ce_loss_with_ablation ce_loss_with_sae ce_loss_without_sae",
    "reconstruction_quality": "explained_variance explained_variance_legacy mse cossim",
    "shrinkage": "l2_norm_in l2_norm_out l2_ratio relative_reconstruction_bias",
    "sparsity": "l0 l1",
    "misc_metrics": "freq_over_1_percent freq_over_10_percent normalized_freq_over_1_percent "
    "normalized_freq_over_10_percent average_max_encoder_cosine_sim average_max_decoder_cosine_sim frac_alive",
}
COUNTS = {"token_stats": "total_tokens_eval_reconstruction total_tokens_eval_sparsity_variance"}
CONFIGURED = {
    "compute_l2_norms": "boolean",
    "compute_sparsity_metrics": "boolean",
    "compute_variance_metrics": "boolean",
    "n_eval_reconstruction_batches": "integer",
}


def closed(properties: dict[str, dict]) -> dict:
    """An object with these keys, all of them and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def of_names(names: str, kind: str) -> dict:
    return closed({name: {"type": kind} for name in names.split()})


CORE = closed(
    {
        "eval_type_id": {"const": "core"},
        "eval_config": closed({name: {"type": kind} for name, kind in CONFIGURED.items()}),
        "eval_id": {"type": "string"},
        "datetime_epoch_millis": {"type": "integer", "minimum": 0, "maximum": 9999999999999},
        "eval_result_metrics": closed(
            {category: of_names(names, "number") for category, names in NUMBERS.items()}
            | {category: of_names(names, "integer") for category, names in COUNTS.items()}
        ),
        "eval_result_details": {"type": "array", "maxItems": 0},
        "sae_bench_commit_hash": {"type": "string"},
        "sae_lens_id": {"type": ["string", "null"]},
        "sae_lens_release_id": {"type": ["string", "null"]},
        "sae_lens_version": {"type": ["string", "null"]},
        "sae_cfg_dict": {"type": ["object", "null"]},
        "eval_result_unstructured": {},
    }
)
