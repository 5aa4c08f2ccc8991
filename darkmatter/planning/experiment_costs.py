"""Cost of the stages of sections 5.2 and 5.3, of the appendices and of the outputs: pure functions of the workload.

An experiment that the workload does not have costs nothing.
"""

from darkmatter.planning.cost import Cost, Work
from darkmatter.planning.data_costs import BASE, LOGITS, codes_size, encoding, held, training
from darkmatter.planning.regression_costs import DECODED, DIMENSION_SUMS, EIGEN, FLOAT64, blocks, fit_sets, many
from darkmatter.planning.workload import FLOAT32, Workload, layer_of


def downstream(w: Workload) -> Cost:
    """The blocks above the hookpoint once for each splice, those below it once."""
    if not w.spliced:
        return Cost()
    length, scored = w.tokens.context_length, w.tokens.context_length - w.tokens.first_position
    below = layer_of(w.main) + 1
    passes = 1 + w.splices * len(w.spliced)
    forward = w.model.pass_flops(w.spliced_contexts, length, below)
    forward += passes * w.model.pass_flops(w.spliced_contexts, length, w.model.layers - below, scored)
    d = w.model.d_model
    maps = [Work(double=2.0 * w.rows * d * d + 4.0 * fit_sets(w) * d**3) for _ in w.spliced]
    steps = (
        many(maps, "torch"),
        Work(forward=forward, python=0.1 * passes * w.spliced_contexts, units=w.spliced_contexts),
    )
    logits = LOGITS * FLOAT32 * scored * w.model.vocabulary
    samples = sum(codes_size(w.rows, sae) + held(sae) / 2 for sae in w.spliced)
    memory = BASE["torch"] + w.model_bytes * w.model.parameters + logits + samples + FLOAT64 * 2 * d * d
    return Cost(steps, memory, 1e6, scratch=FLOAT64 * d * d * len(w.spliced))


def error_saes(w: Workload) -> Cost:
    """Both parts of the error of all rows, then SAEs trained on them, and their codes of the rows held out."""
    sae = w.error_sae
    if sae is None:
        return Cost()
    trained, d = w.error_contexts * w.tokens.positions, sae.d_model
    run, memory = training(w, sae)
    code = encoding(w.rows, sae)
    parts = Work(
        single=encoding(trained + w.rows, sae).single,
        double=4.0 * trained * d * d + 2.0 * (trained + w.rows) * d * d + EIGEN * float(d) ** 3,
        traffic=FLOAT32 * (trained + w.rows) * d * (10.0 + sae.l0),
        loads="sae_lens",
    )
    steps = (
        parts,
        Work(
            single=w.error_runs * (run.single + code.single),
            traffic=w.error_runs * (run.traffic + code.traffic),
            units=w.error_runs,
            loads="sae_lens",
        ),
    )
    scratch = 2.0 * FLOAT32 * (trained + w.rows) * d
    memory = max(memory, BASE["sae_lens"] + FLOAT64 * 6 * d * d + 2 * codes_size(w.rows, sae))
    return Cost(steps, memory, w.error_runs * (sae.size + codes_size(w.rows, sae)), scratch)


def interpretability(w: Workload) -> Cost:
    """The offline surrogate; a language model as the judge has its own estimate before its first call."""
    if w.interpretability is None:
        return Cost()
    latents = 2 * w.interpretability.latents
    examples = w.interpretability.deciles * w.interpretability.examples_per_decile + w.interpretability.negatives
    return Cost(
        (Work(python=0.018 * latents * examples / 120, loads="torch"),), BASE["torch"] + codes_size(w.rows, w.error_sae)
    )


def latent_probe(w: Workload) -> Cost:
    sae = w.probed
    if sae is None:
        return Cost()
    d, rows = float(sae.d_model), float(w.rows)
    work = Work(
        double=6 * rows * d * d + EIGEN * 3 * d**3,
        traffic=FLOAT32 * rows * d * DECODED * sae.l0,
        python=3.0,
        loads="torch",
    )
    memory = BASE["torch"] + 2 * codes_size(w.rows, sae) + held(sae) + FLOAT64 * (4 * d * d + sae.d_sae * 12)
    return Cost((work,), memory, 1e6)


def synthetic_noise(w: Workload) -> Cost:
    """Moments of the ground truth, its ablations and the noise; every cell of the grid follows from them."""
    sae = w.noisy
    if sae is None:
        return Cost()
    deviations, shares, seeds = w.noise_grid
    rows, d = w.noisy_contexts * w.tokens.positions, float(sae.d_model)
    code = encoding(rows, sae)
    truth = Work(
        single=code.single,
        double=2.0 * rows * d * d * (1 + shares),
        traffic=code.traffic + FLOAT32 * rows * d * sae.l0 * shares,
        loads="sae_lens",
    )
    grid = deviations * 3 * (EIGEN + 6 * (1 + shares)) * d**3
    per_seed = Work(
        double=2.0 * rows * d * d * (4 + shares) + grid,
        traffic=FLOAT64 * rows * d * (4 + 3 * shares) + FLOAT32 * rows * d * sae.l0 * (1 + shares),
        python=40e-9 * rows * d,
    )
    memory = FLOAT64 * 4 * d * d * (5 + 2 * shares) + 2 * codes_size(rows, sae) + held(sae) + FLOAT32 * 2 * rows * d
    return Cost((truth, many([per_seed] * seeds)), BASE["sae_lens"] + memory, 1e6, FLOAT64 * 8 * d * d * shares)


def random_features(w: Workload) -> Cost:
    p = w.random_features
    if p is None:
        return Cost()
    groups, d = float(len(p.masked_shares)), float(p.d_model)
    one = Work(
        double=2 * groups * p.rows * d * d + 2 * (EIGEN + 6 * groups) * d**3,
        traffic=FLOAT64 * 4 * groups * p.rows * d,
        python=20e-9 * p.features * d + 0.1e-6 * p.expected_l0 * p.rows + 0.5,
    )
    memory = BASE["torch"] + 4 * p.features * d + 16 * groups * d**2 + 4096 * d * (groups + 6) + 48 * d**2
    units = many([one] * (2 * len(p.seeds)), "torch")
    return Cost((units,), memory, 1e6)


def controls(w: Workload) -> Cost:
    """Real, shuffled and random errors, planted linear ones, and features that are sparse by construction."""
    sae = w.controlled
    if sae is None:
        return Cost()
    rows, d = float(w.controlled_contexts * w.tokens.positions), float(sae.d_model)
    usual = Work(double=4 * rows * d * d, single=12 * rows * d * d, traffic=FLOAT32 * rows * d * sae.l0)
    planted = Work(double=(6 + 4) * rows * d * d, single=8 * w.planted * rows * d * d)
    steps = (many([planted, usual, usual, usual], "torch"), Work(python=3.0))
    memory = FLOAT32 * rows * d * (3 + 2 * w.planted) + FLOAT64 * blocks(w) * d * d * (1 + w.planted) / 2
    return Cost(steps, BASE["torch"] + memory + held(sae), FLOAT64 * DIMENSION_SUMS * w.controlled_contexts * d)


def token_view(w: Workload) -> Cost:
    return Cost((Work(python=3.0),), BASE["torch"], 1e6)


def lemmas(w: Workload) -> Cost:
    if w.lemmas is None:
        return Cost()
    return Cost((Work(python=2.5 + 0.4e-6 * w.lemmas.rows * w.lemmas.features),), 0.2e9, 1e5)


def claims(w: Workload) -> Cost:
    return Cost((Work(python=4.0 + 0.12 * len(w.saes)),), 0.5e9, 1e6)


def figures(w: Workload) -> Cost:
    return Cost((Work(python=5.0 + 0.1 * len(w.saes)),), 0.26e9, 5e6)


def report(w: Workload) -> Cost:
    return Cost((Work(python=4.0),), BASE["torch"], 3e6)
