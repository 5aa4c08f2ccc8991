"""Cost of the decomposition and of the stages that decompose again: pure functions of the workload.

Regressions are counted in float64, though well-conditioned ones multiply in float32: more seconds, never fewer.
A stage whose SAEs the workload does not have costs nothing.
"""

from collections.abc import Iterable

from darkmatter.planning.cost import Cost, Work
from darkmatter.planning.data_costs import BASE, HASH, codes_file, codes_size, decoder, opened, together, unpacked
from darkmatter.planning.workload import FLOAT32, Sae, Workload

FLOAT64 = 8
NORM_TARGETS = 20  # squared norms that the probes of section 5.1 predict, counted with their residuals
VECTOR_PASSES = 30  # elementwise passes over rows of d_model while an error is split
DECODED = 4  # times that an SAE's reconstruction is built from its codes
TABLE_COLUMNS = 17  # of the per-token table
DIMENSION_SUMS = 6 * 3  # sums per context and dimension: kinds × row sets
REGRESSED_BLOCKS = 4  # sets of rows without folds
EIGEN = 10  # d_model³ FLOP of one factorisation
GRAM_LATENTS = 8192  # beyond, gradient pursuit multiplies by the whole decoder at every step
DIMS_PER_GRAM_ROW = 16
PURSUIT_PASSES = 4  # over the correlations of a step: argmax, and those it is read from
PURSUITS = 2  # as published, and to the exact L0
PURSUIT_BATCH = 128  # tokens at once
READ = 2e9  # bytes/s of a matrix of a published SAE that is copied from its file


def fit_sets(w: Workload) -> int:
    """The token split, the context split, all rows, and all but each fold."""
    return 3 + w.folds


def blocks(w: Workload) -> int:
    """Sets of rows whose moments are kept apart: fold × side of either split."""
    return 4 * w.folds


def splitting(rows: int, sae: Sae, sets: int) -> Work:
    """Decompose the error of one SAE: moments with the error, four maps at once, probes of the norms."""
    d = sae.d_model
    vectors = (2 + 8) * float(rows) * d * d + 4.0 * sets * d**3
    norms = 2.0 * rows * d * NORM_TARGETS * 5
    traffic = FLOAT32 * float(rows) * d * (VECTOR_PASSES * 2 + DECODED * sae.l0)
    return Work(double=vectors + norms, traffic=traffic, python=0.5)


def shared_moments(rows: int, d: int, sets: int) -> Work:
    return Work(double=2.0 * rows * d * d + EIGEN * sets * float(d) ** 3, traffic=FLOAT64 * 6.0 * rows * d)


def moments_memory(w: Workload, d: int) -> float:
    """Moments of every block, factors and maps of every fit set, and then either the blocks of a fit set once more or
    the maps of every fold side by side.
    """
    return FLOAT64 * float(d) ** 2 * (blocks(w) + 2 * fit_sets(w) + 4 * w.folds)


def roots(w: Workload, d: int) -> float:
    """Factors of every fit set, as they are stored."""
    return FLOAT64 * float(d) ** 2 * fit_sets(w)


def many(works: list[Work], loads: str | None = None, on_device: bool = False) -> Work:
    """Units of one step."""
    total = {kind: sum(getattr(one, kind) for one in works) for kind in Work.KINDS}
    return Work(**total, units=max(1, len(works)), loads=loads, on_device=on_device)


def opening(saes: Iterable[Sae]) -> Work:
    """Hashing the files of published SAEs, in each process that opens them."""
    return Work(python=opened(saes) / HASH)


def decomposition_at(w: Workload, hookpoint: str) -> Cost:
    """One run of the stage; hookpoints follow one another."""
    d, saes = w.hookpoints[hookpoint], w.at(hookpoint)
    if not saes:
        return Cost()
    shared = shared_moments(w.rows, d, fit_sets(w))
    steps = (
        Work(double=shared.double, traffic=shared.traffic, loads="torch", on_device=True),
        many([*(splitting(w.rows, sae, fit_sets(w)) for sae in saes), opening(saes)], on_device=True),
        Work(python=0.2 * len(saes)),
    )
    own = max(decoder(sae) + codes_size(w.rows, sae) for sae in saes) + FLOAT64 * w.rows * TABLE_COLUMNS * 2
    sums = FLOAT64 * DIMENSION_SUMS * w.tokens.eval_contexts * d
    staged = BASE["torch"] + own + roots(w, d) + sums
    disk = len(saes) * (FLOAT32 * w.rows * TABLE_COLUMNS + sums) + (roots(w, d) if hookpoint == w.main else 0.0)
    return Cost(
        steps, BASE["torch"] + own, moments_memory(w, d) + sums, staged, disk, unpacked(saes), read=opened(saes)
    )


def decomposition(w: Workload) -> Cost:
    return together([decomposition_at(w, hookpoint) for hookpoint in w.hookpoints])


def results(w: Workload) -> Cost:
    return Cost((Work(python=1.3),), 0.1e9, disk=0.2e6 * len(w.saes))


def per_token_scaling(w: Workload) -> Cost:
    """Seven regressions on one or two numbers per token, from each SAE to the wider ones."""
    if len(w.scaled) < 2:
        return Cost()
    pairs = len(w.scaled) * (len(w.scaled) - 1) / 2
    columns = FLOAT64 * w.rows * (TABLE_COLUMNS * len(w.scaled))
    return Cost((Work(python=0.9 * pairs * w.rows / 82300, loads="torch"),), BASE["torch"] + columns, disk=1e6)


def norm_baselines(w: Workload) -> Cost:
    if not w.baselines:
        return Cost()
    probes = [
        Work(double=2.0 * w.rows * one.d_model**2 + 3 * EIGEN * float(one.d_model) ** 3, loads="torch")
        for one in w.baselines
    ]
    python = 1.6 * len(w.baselines) * w.rows / 82300
    widest = max(one.d_model for one in w.baselines)
    memory = BASE["torch"] + FLOAT64 * (w.rows * 2 * TABLE_COLUMNS + blocks(w) * widest**2)
    return Cost((Work(python=python, loads="torch"), many(probes, "torch")), memory, disk=1e6)


def pursuit_of(w: Workload, sae: Sae, rows: int) -> Work:
    """Both variants of gradient pursuit: at most l0 steps for each token, one latent at a time."""
    steps, latents = float(sae.l0), sae.d_sae
    products, sums = steps, 0.0
    gram = 0.0
    if latents <= GRAM_LATENTS:
        summed = min(steps, sae.d_model / DIMS_PER_GRAM_ROW)
        products, sums = 1 + steps - summed, summed * (summed - 1) / 2
        gram = 2.0 * latents**2 * sae.d_model * max(1, w.pursued_contexts / 10)
    single = PURSUITS * rows * products * 2.0 * sae.d_model * latents + gram
    traffic = PURSUITS * FLOAT32 * float(rows) * latents * (sums + PURSUIT_PASSES * steps)
    return Work(single=single, traffic=traffic)


def pursuit(w: Workload) -> Cost:
    """The decoder of one SAE is in memory whole, for every step asks all latents; each unit reads it anew."""
    if not w.pursued:
        return Cost()
    rows, d = w.pursued_contexts * w.tokens.positions, w.pursued[0].d_model
    pursued = many([pursuit_of(w, sae, rows) for sae in w.pursued])
    units = max(1, round(w.pursued_contexts / 10)) * len(w.pursued)
    encoders = [splitting(rows, sae, fit_sets(w)) for sae in w.pursued for _ in range(1 + PURSUITS)]
    decoders = sum(sae.size / 2 for sae in w.pursued if sae.published) * units / len(w.pursued)
    steps = (
        many([shared_moments(rows, d, fit_sets(w))], on_device=True),
        Work(single=pursued.single, traffic=pursued.traffic, units=units, loads="torch", on_device=True),
        Work(python=opening(w.pursued).python + decoders / READ, units=units),
        many(encoders, on_device=True),
        Work(python=1.0 * len(w.pursued)),
    )
    own = BASE["torch"] + max(codes_size(w.rows, sae) for sae in w.pursued) + 20 * FLOAT32 * w.tokens.positions * d
    device = max(moments_memory(w, d), *(pursuing_memory(sae) for sae in w.pursued))
    staged = own + max(sae.size / 2 for sae in w.pursued)
    scratch = w.number_bytes * rows * d + sum((1 + PURSUITS) * 2 * codes_file(rows, sae) for sae in w.pursued)
    disk = FLOAT64 * DIMENSION_SUMS * w.pursued_contexts * d * len(encoders)
    return Cost(steps, own, device, staged, disk, scratch, read=opened(w.pursued))


def pursuing_memory(sae: Sae) -> float:
    """The decoder, its Gram matrix and correlations of a batch."""
    gram = FLOAT32 * float(sae.d_sae) ** 2 if sae.d_sae <= GRAM_LATENTS else 0.0
    return sae.size / 2 + gram + FLOAT32 * PURSUIT_BATCH * float(sae.d_sae) * 3


def components(w: Workload) -> Cost:
    """Regress the error and its parts on the reconstructions of each parent, of all of them and of the SAE itself."""
    if not w.parents or not w.explained:
        return Cost()
    d, rows = w.explained.d_model, float(w.rows)
    each = [d] * (len(w.parents) + 1)  # an SAE of z enters through the output projection
    side_by_side = d * len(w.parents)
    derived = 12 * rows * d * d
    regressions = []
    for x in (*each, side_by_side):
        moments, residuals = 2 * rows * x * x + 4 * rows * x * d, 12 * rows * x * d
        regressions.append(Work(single=residuals + derived, double=moments + EIGEN * 3 * float(x) ** 3))
    hashing = opening(w.parents).python + 2 * opening([w.explained]).python
    targets = splitting(w.rows, w.explained, 3)
    projections = sum(8 * rows * sae.d_model * d for sae in w.parents if sae.hookpoint.startswith("attn_z."))
    shared = Work(
        single=projections,
        double=targets.double,
        traffic=targets.traffic,
        python=hashing,
        loads="torch",
        on_device=True,
    )
    steps = (shared, many(regressions, on_device=True))
    device = FLOAT64 * (REGRESSED_BLOCKS * float(side_by_side) * (side_by_side + 2 * d) + 6 * side_by_side * 3 * d)
    memory = BASE["torch"] + sum(codes_size(w.rows, sae) + decoder(sae) for sae in (*w.parents, w.explained))
    disk = FLOAT64 * DIMENSION_SUMS * 3 * w.tokens.eval_contexts * d * len(each)
    saes = (*w.parents, w.explained)
    return Cost(steps, memory, device, memory + roots(w, d), disk, unpacked(saes), read=opened(saes))
