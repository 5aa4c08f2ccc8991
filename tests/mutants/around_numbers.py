"""Bugs planted where numbers come from and where they go: files, packages, models, SAEs, text, units, audit, report."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "darkmatter/storage/artifacts.py",
        'f"{file.relative_to(path).as_posix()} {sha256_file(file)}\\n"',
        'f"{sha256_file(file)}\\n"',
        "a folder in which files were renamed has the same hash",
    ),
    Mutant(
        "darkmatter/storage/artifacts.py",
        "indent=2, sort_keys=True",
        "indent=2",
        "the same results are other bytes from one run to the next",
    ),
    Mutant(
        "darkmatter/sources/hub.py",
        "{name: checked_sha256(path, known.get(name), whose) for name, path in paths.items()}",
        "{name: sha256_file(path) for name, path in paths.items()}",
        "a skipped hash: weights that changed at the hub are used",
    ),
    Mutant(
        "darkmatter/sources/hub_access.py",
        "repo.gated and endpoint() == HUB and os.environ",
        "repo.gated and os.environ",
        "the token is sent to whatever server HF_ENDPOINT names",
    ),
    Mutant(
        "darkmatter/sources/packages.py",
        'parts.is_absolute() or ".." in parts.parts or any(',
        "parts.is_absolute() or any(",
        "a wheel may name members outside of its archive",
    ),
    Mutant(
        "darkmatter/runner/units.py",
        '        "libraries": library_versions(),\n',
        "",
        "after an upgrade of torch or numpy the results of the old one are used",
    ),
    Mutant(
        "darkmatter/runner/code_identity.py",
        "for file in closure(path):",
        "for file in [path]:",
        "an edit of code that a unit imports leaves its stored result in use",
        test_since="tests/runner/test_code_identity.py::test_the_hash_follows_imports_and_is_blind_to_comments",
    ),
    Mutant(
        "darkmatter/runner/staleness.py",
        "if now[key] != value]:",
        "if key not in now]:",
        "results of other parameters count as up to date",
    ),
    Mutant(
        "darkmatter/audit/verify.py",
        'if hashes.md5 != name.removesuffix(".dir"):',
        "if not hashes.md5:",
        "a skipped hash: the audit passes over damaged objects of the cache",
    ),
    Mutant(
        "darkmatter/audit/compare.py",
        "TOLERANCE = 1e-6",
        "TOLERANCE = 1e-2",
        "the audit takes numbers that differ by a percent for the same",
    ),
    Mutant(
        "darkmatter/saes/decoder.py",
        'mode="sum") + self.b_dec',
        'mode="sum")',
        "reconstructions lack the decoder's bias, so that every error is wrong",
    ),
    Mutant(
        "darkmatter/saes/topk.py",
        "place = maxima.shape[1] - k",
        "place = maxima.shape[1] - k + 1",
        "k off by one: rows get fewer than k latents",
    ),
    Mutant(
        "darkmatter/saes/codes.py",
        "if gap > DECODE_TOLERANCE**2 * norm:",
        "if gap > DECODE_TOLERANCE * norm:",
        "an SAE whose codes miss its output by up to 1 % is taken in",
        test_since="tests/saes/test_check_on_sample.py::test_output_beyond_it_is_refused",
    ),
    Mutant(
        "darkmatter/saes/training/train.py",
        "sae.b_enc.mul_(scale)",
        "sae.b_enc.mul_(1.0)",
        "a trained SAE fires other latents on raw activations than it was trained to",
    ),
    Mutant(
        "darkmatter/saes/training/schedule.py",
        "math.sqrt(training.learning_rate_d_sae / d_sae)",
        "math.sqrt(d_sae / training.learning_rate_d_sae)",
        "wide SAEs train at a rate that is too high, narrow ones at one that is too low",
    ),
    Mutant(
        "darkmatter/saes/published/sae_lens.py",
        ".scaled(1 / s)",
        ".scaled(s)",
        "a published SAE with a norm factor reconstructs at the wrong scale",
    ),
    Mutant(
        "darkmatter/saes/published/sparsify.py",
        "subtract_b_dec=True",
        "subtract_b_dec=False",
        "a published TopK SAE encodes without taking its bias off first: other latents fire",
    ),
    Mutant(
        "darkmatter/models/extract.py",
        "kept = slice(first_position, contexts.shape[1] - 1)",
        "kept = slice(first_position + 1, contexts.shape[1])",
        "off by one in positions: activations and losses are of neighbouring tokens",
    ),
    Mutant(
        "darkmatter/models/splice.py",
        "replaced[:, first_position : first_position + rows.shape[1]]",
        "replaced[:, first_position + 1 : first_position + 1 + rows.shape[1]]",
        "off by one in positions: what is spliced in stands one token late",
    ),
    Mutant(
        "darkmatter/models/hookpoints.py",
        "return block.post_feedforward_layernorm if has_post_norms(model) else block.mlp",
        "return block.mlp",
        "of Gemma 2, mlp_out is taken before its norm, so that components do not add up to the residual stream",
    ),
    Mutant(
        "darkmatter/models/outliers.py",
        "ratio * np.median(norms)",
        "ratio * np.mean(norms)",
        "outliers pull up the norm that they are measured by, and stay in",
    ),
    Mutant(
        "darkmatter/text/tokens.py",
        "if c.source not in held_out[domain]]",
        "if c.document not in held_out[domain]]",
        "a leaky split: a book stands on both sides of train and eval",
    ),
    Mutant(
        "darkmatter/text/tokens.py",
        "range(0, len(text) - size + 1, size)",
        "range(0, len(text) - size, size)",
        "off by one: a document that is just long enough gives no context",
    ),
    Mutant(
        "darkmatter/torch_files/records.py",
        "if hooks or any(more):",
        "if hooks:",
        "a negated view of a torch file is read with the wrong sign",
    ),
    Mutant(
        "darkmatter/report/render.py",
        "autoescape=True",
        "autoescape=False",
        "autoescape off: text of a token runs as a script in the reader's browser",
    ),
    Mutant(
        "darkmatter/report/svg.py",
        "if key not in GEOMETRY | LOOK:",
        'if key == "script":',
        "a figure may bring event handlers into the report",
    ),
    Mutant(
        "darkmatter/api/contexts.py",
        "mask.shape == source.shape[:2] and mask.all()",
        "mask.shape == source.shape[:2] and mask.any()",
        "the mask is ignored where activations are a file that is used in place: padding is fitted",
    ),
    Mutant(
        "stages/activations.py",
        "if end >= stop]",
        "if end > stop]",
        "off by one: the last shard of every hookpoint is missing",
        test_since="tests/models/test_shard_units.py::"
        "test_shards_of_each_hookpoint_follow_one_another_to_its_last_context",
    ),
    Mutant(
        "stages/tokens.py",
        'np.save(folder / "eval.npy", stack(split.eval)',
        'np.save(folder / "eval.npy", stack(split.train)',
        "swapped splits: SAEs are judged on the text that they were trained on",
    ),
]
