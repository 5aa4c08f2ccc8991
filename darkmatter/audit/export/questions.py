"""The questions of the checklist and where their answers stand.

An answer is a function from the sources to (text, or a list of points, or None where nothing says; files it is from).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from darkmatter.audit.export.sources import Content, Sources, person

Answer = tuple[str | list[str] | None, tuple[str, ...]]
CLAIMS = "reports/claims.json"
RECEIPTS = "reports/receipts/"
DATA = "reports/results/data.json"


def unanswered(_: Sources) -> Answer:
    return None, ()


def code(sources: Sources) -> Answer:
    where = sources.citation.get("repository-code", "no address of publication is stated")
    revisions = counted(receipt["revision"] or "none" for receipt in sources.receipts.values())
    points = [
        f"{sources.citation['title']}, licence {sources.citation['license']}; {where}.",
        f"Revisions that the receipts name: {revisions} (+: with uncommitted changes).",
    ]
    return points, ("CITATION.cff", RECEIPTS)


def command(sources: Sources) -> Answer:
    count = len(sources.stages)
    return f"make repro runs the {count} stages of dvc.yaml; each receipt has its command.", ("Makefile", "dvc.yaml")


def dependencies(sources: Sources) -> Answer:
    pairs = {f"{name} {version}" for each in sources.receipts.values() for name, version in each["libraries"].items()}
    versions = {each["machine"]["python"] for each in sources.receipts.values()}
    text = f"Python {', '.join(sorted(versions))}; {', '.join(sorted(pairs))}. Every package by hash: requirements/."
    return text, (RECEIPTS, "requirements/base.lock")


def paper(sources: Sources) -> Answer:
    authors = ", ".join(person(author) for author in sources.paper["authors"])
    return f"{authors}: {sources.paper['title']}. {sources.paper['url']}", ("CITATION.cff",)


def model(sources: Sources) -> Answer:
    found = sources.data["model"]
    known = [
        f"{key.replace('_', ' ')} {found[key]}" for key in ("d_model", "layers", "vocab_size", "dtype") if key in found
    ]
    origin = [str(found[key]) for key in ("package", "repo", "revision", "package_sha256") if key in found]
    return f"{found['label']} ({', '.join(known)}), from {', '.join(origin) or found['source']}.", (DATA,)


def saes(sources: Sources) -> Answer:
    trained = [
        f"Group {name}: width {listed(group['d_sae'])}, k {listed(group['k'])}, seeds {listed(group['seeds'])}, "
        f"{group['train_tokens']:,} training tokens, at {listed(group['hookpoints'])}."
        for name, group in trained_groups(sources).items()
    ]
    published = sources.params["saes"].get("published")
    if not published:
        return trained, ("params.yaml",)
    widths = {name: sorted({sae["d_sae"] for sae in group["saes"]}) for name, group in published["groups"].items()}
    named = [
        f"Group {name}: {len(published['groups'][name]['saes'])} published SAEs, width {listed(found)}."
        for name, found in widths.items()
    ]
    manifests = [f"conf/manifests/{name}.json"] if (name := published["manifest"]) else []
    return [*trained, *named], ("params.yaml", *manifests)


def trained_groups(sources: Sources) -> Content:
    return sources.params["saes"].get("groups") or {}


def methods(sources: Sources) -> Answer:
    return [f"{name}: {stage['desc']}" for name, stage in sources.stages.items()], ("dvc.yaml",)


def theory(sources: Sources) -> Answer:
    rows = [claim for claim in sources.claims["claims"] if claim["kind"] == "analytic"]
    if not rows:
        return None, ()
    return [f"{row['id']} (section {row['section']}): {row['verdict']}." for row in rows], (
        CLAIMS,
        "reports/results/lemmas.json",
    )


def data(sources: Sources) -> Answer:
    return [
        f"{name}: {source['package']}, {source['documents']:,} documents, {source['characters']:,} characters, "
        f"domain {source['domain']}, licence {source['licence']}"
        f"{', SHA-256 ' + source['sha256'] if source['sha256'] else ''}."
        for name, source in sources.data["corpus"]["sources"].items()
    ], (DATA, "DATA_LICENSES.md")


def left_out(sources: Sources) -> Answer:
    patterns = sources.params["corpus"]["sources"] or {}
    points = []
    for name, source in sources.data["corpus"]["sources"].items():
        excluded = patterns.get(name, {}).get("exclude")
        dropped = ", ".join(f"{count} {kind}" for kind, count in source["dropped"].items())
        points.append(f"{name}: files {listed(excluded) if excluded else 'none'}; duplicates dropped: {dropped}.")
    return points, ("params.yaml", DATA)


def splits(sources: Sources) -> Answer:
    tokens, decomposition = sources.data["tokens"], sources.params["decomposition"]
    points = [
        f"{split}: {sum(counts.values())} contexts of {tokens['context_length']} tokens "
        f"({', '.join(f'{domain} {count}' for domain, count in counts.items())})."
        for split, counts in tokens["counts"].items()
    ]
    share = f"Regressions are fitted on {decomposition['fit_share']:.4g} of the eval rows and scored on the others, "
    share += "split by tokens and again by contexts."
    return [*points, share], (DATA, "params.yaml")


def seeds(sources: Sources) -> Answer:
    return [f"{name}: {listed(value)}" for name, value in seeds_in(sources.params)], ("params.yaml",)


def seeds_in(section: Content, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from seeds_in(value, f"{path}{key}.")
        elif "seed" in key:
            yield path + key, value


def runs(sources: Sources) -> Answer:
    groups = trained_groups(sources).values()
    count = sum(len(g["hookpoints"]) * len(g["d_sae"]) * len(g["k"]) * len(g["seeds"]) for g in groups)
    more = [name for name, g in trained_groups(sources).items() if len(g["seeds"]) > 1 or g["seeds"] != [0]]
    extra = len(sources.params["error_saes"]["seeds"])
    trained = (
        f"{count} SAEs are trained once each, with the seeds above (other seeds than 0: {listed(more) or 'none'})."
    )
    return [
        trained if count else "No SAE is trained on activations: all are published ones.",
        f"The SAEs on the parts of the error: {extra} seeds for each part.",
    ], ("params.yaml",)


def hyperparameters(sources: Sources) -> Answer:
    profile = sources.params["profile"]
    text = f"All of them are in params.yaml, with the reason for each value in conf/profile/{profile}.yaml."
    return text, ("params.yaml", f"conf/profile/{profile}.yaml")


def measures(sources: Sources) -> Answer:
    return [f"{claim['id']}: {claim['computes']}" for claim in sources.claims["claims"] if claim["computes"]], (CLAIMS,)


def intervals(sources: Sources) -> Answer:
    bootstrap = sources.params["decomposition"]["bootstrap"]
    clusters = Counter(unit for claim in sources.claims["claims"] for unit in claim["rule"].get("resample") or [])
    over = ", ".join(f"{unit} ({count} claims)" for unit, count in clusters.items())
    return [
        f"Bootstrap with {bootstrap['resamples']} resamples of contexts, level {bootstrap['level']}, seed "
        f"{bootstrap['seed']}; estimates of one claim hold together at the level of its rule.",
        f"What the claims' rules resample: {over or 'nothing'}.",
        "The intervals hold neither the noise of a fitted regression nor that of an SAE's training seed.",
    ], ("params.yaml", CLAIMS, "README.md")


def compute(sources: Sources) -> Answer:
    receipts = sources.receipts.values()
    total, cpu = (sum(receipt[key] for receipt in receipts) for key in ("seconds", "cpu_seconds"))
    peak = max(receipt["peak_memory_bytes"] for receipt in receipts)
    reused = sum(len(receipt["units"]["reused"]) for receipt in receipts)
    longest = sorted(receipts, key=lambda receipt: -receipt["seconds"])[:5]
    return [
        f"{total / 60:.1f} minutes and {cpu / 60:.1f} CPU minutes over {len(receipts)} receipts; largest process "
        f"{peak / 1e9:.2f} GB.",
        f"{reused} units were found stored from an earlier run: their time is not in these sums.",
        "Longest: " + ", ".join(f"{receipt['stage']} {receipt['seconds']:.0f} s" for receipt in longest) + ".",
    ], (RECEIPTS,)


def hardware(sources: Sources) -> Answer:
    machines = counted(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['workers']} workers of {machine['threads_per_worker']} "
        f"thread, {machine['platform']}"
        for machine in (receipt["machine"] for receipt in sources.receipts.values())
    )
    return machines, (RECEIPTS,)


def deviations(sources: Sources) -> Answer:
    reasons = counted(claim["out_of_scope"] for claim in sources.claims["claims"] if claim["out_of_scope"])
    names = listed(sources.data["corpus"]["sources"])
    points = [f"Text: {names}, not the paper's corpus."]
    flips = [claim["id"] for claim in sources.claims["claims"] if claim["flips"]]
    points.append(f"Claims that come out otherwise under another split or convention: {listed(flips) or 'none'}.")
    return [f"Model: {reasons or 'no claim is out of scope'}.", *points], (CLAIMS, DATA)


def not_reproduced(sources: Sources) -> Answer:
    rows = sources.claims["claims"]
    counts = ", ".join(f"{name} {count}" for name, count in sources.claims["verdicts"].items())
    points = [f"Verdicts on {sources.claims['tested']} claims: {counts}."]
    for verdict in ("not-testable-in-this-profile", "differs", "inconclusive", "stale"):
        if found := [row["id"] for row in rows if row["verdict"] == verdict]:
            points.append(f"{verdict}: {listed(found)}.")
    for analogue in ("disagrees", "inconclusive", "none"):
        if found := [row["id"] for row in rows if row["analogue"] == analogue]:
            points.append(f"Analogue on this model {analogue}: {listed(found)}.")
    return points, (CLAIMS,)


def listed(values: Any) -> str:
    return str(values) if isinstance(values, (str, int, float, type(None))) else ", ".join(str(item) for item in values)


def counted(values: Any) -> str:
    return "; ".join(f"{value} ({count})" for value, count in Counter(values).most_common())


QUESTIONS: list[tuple[str, str, Callable[[Sources], Answer]]] = [
    ("Article and code", "Which article is this about?", paper),
    ("Article and code", "Where is the code, under which licence, at which revision?", code),
    ("Article and code", "Which command makes the results?", command),
    ("Article and code", "Which software does it depend on?", dependencies),
    ("Article and code", "Are trained models published?", unanswered),
    ("Models and algorithms", "Which language model?", model),
    ("Models and algorithms", "Which sparse autoencoders?", saes),
    ("Models and algorithms", "What is done, step by step?", methods),
    ("Models and algorithms", "What is the complexity in time, memory and samples?", unanswered),
    ("Theory", "Which theoretical claims are checked, and how do they come out?", theory),
    ("Data", "Which data, how many, under which licence?", data),
    ("Data", "What was left out, and what was dropped?", left_out),
    ("Data", "How are the data split?", splits),
    ("Data", "Does the text hold personal data, and is there consent?", unanswered),
    ("Experiments", "Which hyperparameters, and why?", hyperparameters),
    ("Experiments", "Which range of hyperparameters was tried, and how was the best one chosen?", unanswered),
    ("Experiments", "Which seeds?", seeds),
    ("Experiments", "How many runs?", runs),
    ("Experiments", "What is measured?", measures),
    ("Experiments", "How were intervals made, and what do they leave out?", intervals),
    ("Compute", "How much compute and time?", compute),
    ("Compute", "On which hardware?", hardware),
    ("Compute", "How much energy?", unanswered),
    ("Outcome", "What deviates from the article?", deviations),
    ("Outcome", "What is not reproduced?", not_reproduced),
    ("Outcome", "Who checked this, and when?", unanswered),
]
