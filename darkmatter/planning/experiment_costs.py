"""Cost of the stages of sections 5.2 and 5.3, of the appendices and of the outputs: pure functions of the workload.

An experiment that the workload does not have costs nothing.
"""

from darkmatter.planning.cost import Cost, Work
from darkmatter.planning.data_costs import (
    BASE,
    LOGITS,
    codes_size,
    decoder,
    encoding,
    encoding_memory,
    opened,
    training,
    unpacked,
)
from darkmatter.planning.regression_costs import (
    DECODED,
    DIMENSION_SUMS,
    EIGEN,
    FLOAT64,
    blocks,
    fit_sets,
    many,
    moments_memory,
    opening,
    roots,
)
from darkmatter.planning.workload import FLOAT32, Sae, Workload, layer_of

PARTS = 2  # of an error


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
        many([*maps, opening(w.spliced)], "torch", on_device=True),
        Work(
            forward=forward,
            python=0.1 * passes * w.spliced_contexts + 2 * opening(w.spliced).python,
            units=w.spliced_contexts,
            on_device=True,
        ),
    )
    logits = LOGITS * FLOAT32 * scored * w.model.vocabulary
    samples = sum(codes_size(w.rows, sae) + decoder(sae) + roots(w, d) for sae in w.spliced)
    weights = w.number_bytes * w.model.parameters
    device = max(moments_memory(w, d), weights + logits + FLOAT64 * 2 * d * d)
    return Cost(
        steps,
        BASE["torch"] + samples,
        device,
        BASE["torch"] + max(weights, samples),
        1e6,
        max(unpacked(w.spliced), FLOAT64 * d * d * len(w.spliced)),
        read=opened(w.spliced),
    )


def error_saes(w: Workload) -> Cost:
    """One part of the error of all rows after the other, SAEs trained on each, and their codes of the rows held out."""
    sae = w.error_sae
    if sae is None:
        return Cost()
    trained, d = w.error_contexts * w.tokens.positions, sae.d_model
    run, device = training(w, sae, dense=w.device != "cpu")
    code = encoding(w.rows, sae)
    parts = Work(
        double=4.0 * trained * d * d + 2.0 * (trained + w.rows) * d * d + EIGEN * float(d) ** 3,
        traffic=FLOAT32 * (trained + w.rows) * d * (10.0 + w.erring.l0),
        python=opening([w.erring]).python,
        loads="sae_lens",
    )
    steps = (
        *(encoding(trained + w.rows, w.erring), parts) * PARTS,
        Work(
            single=w.error_runs * run.single,
            traffic=w.error_runs * run.traffic,
            units=w.error_runs,
            loads="sae_lens",
            on_device=True,
        ),
        Work(single=w.error_runs * code.single, traffic=w.error_runs * code.traffic, units=w.error_runs),
    )
    scratch = w.number_bytes * (trained + w.rows) * d
    memory = BASE["sae_lens"] + max(FLOAT64 * 6 * d * d, encoding_memory(w.rows, sae))
    disk = w.error_runs * (sae.size + codes_size(w.rows, sae))
    return Cost(steps, memory, device, disk=disk, scratch=scratch, read=opened([w.erring]))


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
        traffic=FLOAT32 * rows * d * (DECODED + 2) * sae.l0,  # of Σ w g each slot's direction, too
        python=3.0,
        loads="torch",
    )
    whole = sae.size / 2 + FLOAT64 * sae.d_sae * (d + 12)  # the decoder in both number types
    memory = BASE["torch"] + 2 * codes_size(w.rows, sae) + whole + FLOAT64 * 12 * d * d
    return Cost((work, opening([sae])), memory, disk=1e6, scratch=unpacked([sae]), read=opened([sae]))


def synthetic_noise(w: Workload) -> Cost:
    """Moments of the ground truth, its ablations and the noise; every cell of the grid follows from them."""
    sae = w.noisy
    if sae is None:
        return Cost()
    deviations, shares, seeds = w.noise_grid
    rows, d = w.noisy_contexts * w.tokens.positions, float(sae.d_model)

    def grid(one: Sae, groups: int, variants: int) -> Work:
        code = encoding(rows, one)
        cells = deviations * variants * (EIGEN + 6 * (1 + groups)) * d**3
        moments = FLOAT64 * rows * d * (4 + 3 * groups) + FLOAT32 * rows * d * one.l0 * (1 + 2 * groups)
        return Work(
            single=code.single,
            double=2.0 * rows * d * d * (5 + 2 * groups) + cells,
            traffic=code.traffic + moments,
            python=40e-9 * rows * d,
            loads="sae_lens",
        )

    units = [grid(sae, shares, 3), *(grid(one, 2, 1) for one in w.further_noisy)] * seeds
    kept = (4 + 2) * (5 + 2 * shares) + 10 * (1 + shares)  # blocks, two row sets of them, and what one cell is made of
    memory = FLOAT64 * d * d * kept + codes_size(w.rows, sae) + FLOAT32 * 2 * rows * d
    memory += decoder(sae) if sae.published else sae.size
    saes = [sae, *w.further_noisy]
    steps = (many(units, "sae_lens"), opening(saes * seeds))
    return Cost(steps, BASE["sae_lens"] + memory, disk=1e6, scratch=unpacked(saes), read=opened(saes))


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
    return Cost((units,), memory, disk=1e6)


def controls(w: Workload) -> Cost:
    """Real, shuffled and random errors, planted linear ones, and features that are sparse by construction."""
    sae = w.controlled
    if sae is None:
        return Cost()
    rows, d = float(w.controlled_contexts * w.tokens.positions), float(sae.d_model)
    usual = Work(double=4 * rows * d * d, single=12 * rows * d * d, traffic=FLOAT32 * rows * d * sae.l0)
    planted = Work(double=(6 + 4) * rows * d * d, single=8 * w.planted * rows * d * d)
    steps = (many([planted, usual, usual, usual], "torch"), Work(python=3.0 + opening([sae]).python))
    memory = FLOAT32 * rows * d * (3 + 2 * w.planted) + FLOAT64 * blocks(w) * d * d * (1 + w.planted) / 2
    memory += BASE["torch"] + codes_size(w.rows, sae) + decoder(sae)
    disk = FLOAT64 * DIMENSION_SUMS * w.controlled_contexts * d
    return Cost(steps, memory, disk=disk, scratch=unpacked([sae]), read=opened([sae]))


def token_view(w: Workload) -> Cost:
    return Cost((Work(python=3.0),), BASE["torch"], disk=1e6)


def lemmas(w: Workload) -> Cost:
    if w.lemmas is None:
        return Cost()
    return Cost((Work(python=2.5 + 0.4e-6 * w.lemmas.rows * w.lemmas.features),), 0.2e9, disk=1e5)


def claims(w: Workload) -> Cost:
    return Cost((Work(python=4.0 + 0.12 * len(w.saes)),), 0.5e9, disk=1e6)


def figures(w: Workload) -> Cost:
    return Cost((Work(python=5.0 + 0.1 * len(w.saes)),), 0.26e9, disk=5e6)


def report(w: Workload) -> Cost:
    return Cost((Work(python=4.0),), BASE["torch"], disk=3e6)
