"""The keys of cfg.json over sae-lens's versions 1 to 6, and what becomes of each.

Versions 1 to 5 wrote one flat list, some with the whole configuration of the run; version 6 writes the SAE's own keys,
those of its training class in a checkpoint, and everything else under `metadata`.
"""

from dataclasses import replace

from darkmatter.saes.published.options import Option, Use


def group(use: Use, why: str, names: str) -> tuple[Option, ...]:
    return tuple(Option(name, use, why) for name in names.split())


READ = (
    *group("read", "decides what is computed", "architecture activation_fn activation_fn_str d_in d_sae k"),
    *group("read", "`k` is that of TopK", "activation_fn_kwargs.k"),
    *group("read", "undone in Sae(x), or folded with its factor", "normalize_activations"),
    *group("read", "whether b_dec leaves the input", "apply_b_dec_to_input"),
    *group("read", "values count in units of the decoder's norms; TopK only", "rescale_acts_by_decoder_norm"),
    *group("read", "when matching pursuit stops", "residual_threshold max_iterations stop_on_duplicate_support"),
    *group("read", "whether the weights have a factor of each latent's value", "finetuning_scaling_factor"),
    *group("read", "older versions mean older words", "sae_lens_version"),
)
PLACE = (
    *group("read", "the hookpoint", "hook_name hook_point"),
    *group(
        "read",
        "an output of another place or width makes it a transcoder, which is refused",
        "hook_name_out hook_layer_out hook_head_index_out hf_hook_name_out out_hook_point out_hook_point_layer d_out "
        "is_transcoder",
    ),
    *group(
        "read",
        "held against those of the output",
        "hook_layer hook_point_layer hook_head_index hook_point_head_index hf_hook_name",
    ),
)
REFUSED = (
    Option(
        "activation_fn_kwargs.postact_fn",
        "refused",
        "TopK is read with ReLU after it",
        allowed=("relu", "ReLU", "ReLU()", "torch.nn.ReLU", "torch.nn.ReLU()"),
    ),
    Option("use_error_term", "refused", "it adds the error back, so that Sae(x) is x"),
)
NO_EFFECT = (
    *group("no effect", "rows are flat here, heads side by side", "reshape_activations"),
    *group("no effect", "weights are read as they are stored and computed with in float32", "dtype"),
    *group("no effect", "where a run computes", "device llm_device act_store_device"),
    *group(
        "no effect",
        "which model and text gave the activations it was trained on",
        "model_name model_class_name model_kwargs model_from_pretrained_kwargs hook_eval hook_point_eval dataset_path "
        "dataset_trust_remote_code streaming is_dataset_tokenized use_chat_formatting context_size prepend_bos "
        "seqpos_slice exclude_special_tokens disable_concat_sequences sequence_separator_token begin_batch_token "
        "begin_sequence_token use_cached_activations cached_activations_path neuronpedia_id hook_point_template",
    ),
    *group(
        "no effect",
        "how its weights began",
        "expansion_factor b_dec_init_method decoder_init_norm decoder_orthogonal_init decoder_heuristic_init "
        "decoder_heuristic_init_norm init_encoder_as_decoder_transpose from_pretrained_path jumprelu_init_threshold "
        "feature_reinit_scale",
    ),
    *group(
        "no effect",
        "its loss in training",
        "mse_loss_normalization l1_coefficient lp_norm l1_warm_up_steps l0_coefficient l0_warm_up_steps "
        "scale_sparsity_penalty_by_decoder_norm use_ghost_grads aux_loss_coefficient jumprelu_bandwidth "
        "jumprelu_sparsity_loss_mode jumprelu_tanh_scale jumprelu_ste_to_input pre_act_loss_coefficient target_l0 "
        "matryoshka_widths use_matryoshka_aux_loss",
    ),
    *group("no effect", "its weights hold what came of it", "normalize_sae_decoder topk_threshold_lr"),
    *group("no effect", "in training only", "noise_scale use_sparse_activations"),
    *group(
        "no effect",
        "how its training went",
        "lr lr_scheduler_name lr_warm_up_steps lr_end lr_decay_steps n_restart_cycles adam_beta1 adam_beta2 seed "
        "train_batch_size train_batch_size_tokens training_tokens total_training_tokens finetuning_tokens "
        "finetuning_method autocast autocast_lm compile_llm llm_compilation_mode compile_sae sae_compilation_mode "
        "prefetch_llm_batches n_batches_in_buffer tokens_per_buffer store_batch_size store_batch_size_prompts "
        "activations_mixing_fraction n_batches_for_norm_estimate feature_sampling_window feature_sampling_method "
        "resample_batches dead_feature_window dead_feature_estimation_method dead_feature_threshold",
    ),
    *group(
        "no effect",
        "what the run wrote and where",
        "logger log_to_wandb log_activations_store_to_wandb log_optimizer_state_to_wandb log_weights_to_wandb "
        "wandb_project wandb_id wandb_entity wandb_log_frequency eval_every_n_wandb_logs run_name n_eval_batches "
        "eval_batch_size_prompts n_checkpoints checkpoint_path save_final_checkpoint resume resume_from_checkpoint "
        "output_path verbose",
    ),
    *group(
        "no effect",
        "what it was before it was saved for inference",
        "sae_lens_training_version training_architecture training_architecture_details",
    ),
)
MEASURED = group("no effect", "what its trainer measured as it saved it", "l0 num_dead_features")
METADATA = tuple(
    replace(option, name=f"metadata.{option.name}")
    for option in (*PLACE, *NO_EFFECT, *MEASURED, *group("read", "older versions mean older words", "sae_lens_version"))
)
OPTIONS = (*READ, *PLACE, *REFUSED, *NO_EFFECT, *METADATA)
