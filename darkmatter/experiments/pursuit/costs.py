"""What gradient pursuit costs."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import DIMENSION_SUMS, fit_sets, moments_memory, shared_moments, splitting
from darkmatter.costs.saes import BASE, codes_file, codes_size, opened, opening
from darkmatter.costs.workload import FLOAT32, FLOAT64, PlannedSae, Workload

GRAM_LATENTS = 8192  # beyond, gradient pursuit multiplies by the whole decoder at every step
DIMS_PER_GRAM_ROW = 16
PURSUIT_PASSES = 4  # over the correlations of a step: argmax, and those it is read from
CONTEXTS_PER_UNIT = 10
PURSUITS = 2  # as published, and to the exact L0
COMPARED = 2  # encoders whose sums of every dimension are kept while the stage runs
BATCH = 128  # tokens at once
READ = 2e9  # bytes/s of a matrix of a published SAE that is copied from its file


def cost(w: Workload) -> Cost:
    """The decoder of one SAE is in memory whole, for every step asks all latents; each unit reads it anew."""
    own = w.params.pursuit
    saes = [sae for sae in w.at(w.main) if sae.group in own.groups]
    if not saes:
        return Cost()
    rows, d = own.contexts * w.tokens.positions, saes[0].d_model
    single = many([pursuit_of(w, sae, rows) for sae in saes])
    units = max(1, round(own.contexts / CONTEXTS_PER_UNIT)) * len(saes)
    encoders = [splitting(rows, sae, fit_sets(w)) for sae in saes for _ in range(1 + PURSUITS)]
    decoders = sum(sae.size / 2 for sae in saes if sae.published) * units / len(saes)
    steps = (
        many([shared_moments(rows, d, fit_sets(w))], on_device=True),
        Work(single=single.single, traffic=single.traffic, units=units, loads="torch", on_device=True),
        Work(python=opening(saes).python + decoders / READ, units=units),
        many(encoders, on_device=True),
        Work(python=1.0 * len(saes)),
    )
    memory = BASE["torch"] + max(codes_size(w.rows, sae) for sae in saes) + 20 * FLOAT32 * w.tokens.positions * d
    device = max(moments_memory(w, d), *(pursuing_memory(sae) for sae in saes))
    staged = memory + max(sae.size / 2 for sae in saes)
    scratch = w.number_bytes * rows * d + sum((1 + PURSUITS) * 2 * codes_file(rows, sae) for sae in saes)
    scratch += FLOAT64 * DIMENSION_SUMS * own.contexts * d * COMPARED * len(saes)
    return Cost(steps, memory, device, staged, 1e6, scratch, read=opened(saes))


def pursuit_of(w: Workload, sae: PlannedSae, rows: int) -> Work:
    """Both variants of gradient pursuit: at most l0 steps for each token, one latent at a time."""
    steps, latents = float(sae.l0), sae.d_sae
    products, sums = steps, 0.0
    gram = 0.0
    if latents <= GRAM_LATENTS:
        summed = min(steps, sae.d_model / DIMS_PER_GRAM_ROW)
        products, sums = 1 + steps - summed, summed * (summed - 1) / 2
        gram = 2.0 * latents**2 * sae.d_model * max(1, w.params.pursuit.contexts / CONTEXTS_PER_UNIT)
    single = PURSUITS * rows * products * 2.0 * sae.d_model * latents + gram
    traffic = PURSUITS * FLOAT32 * float(rows) * latents * (sums + PURSUIT_PASSES * steps)
    return Work(single=single, traffic=traffic)


def pursuing_memory(sae: PlannedSae) -> float:
    """The decoder, its Gram matrix and correlations of a batch."""
    gram = FLOAT32 * float(sae.d_sae) ** 2 if sae.d_sae <= GRAM_LATENTS else 0.0
    return sae.size / 2 + gram + FLOAT32 * BATCH * float(sae.d_sae) * 3
