"""SAEs trained on both parts of an error → how well an explanation of each latent predicts where it fires (Fig. 7).

With interpretability.endpoint a language model explains and judges; without one the surrogate does, labelled so.

In:  data/error_saes/PART-sSEED/codes.npz, data/tokens/eval.npy, data/model (tokenizer)
Out: data/interpretability/transcript.jsonl     one line for each latent: windows, explanation, predictions, answers
     reports/PROFILE/results/interpretability.json      accuracy by decile of activation, with intervals over latents
     reports/PROFILE/results/interpretability_sums.npz  each window's decile and prediction, from which these follow
     data/.responses/                           the endpoint's answers, kept for the next run

    python -m stages.interpretability
"""

import json
import sys
from pathlib import Path

from darkmatter.experiments.error_saes.names import PARTS, sae_name
from darkmatter.experiments.interpretability.compute import (
    Texts,
    check_answered,
    judge_cost,
    judge_records,
    surrogate_records,
    unanswered,
)
from darkmatter.experiments.interpretability.judge.judge import Judge
from darkmatter.experiments.interpretability.judge.key import read_key
from darkmatter.experiments.interpretability.latent_examples import (
    choose_examples,
    choose_latents,
    cut_windows,
    find_firings,
)
from darkmatter.experiments.interpretability.results import STORED, plan_of, results_of, stored
from darkmatter.models.load import load_tokenizer
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import (
    ArtifactError,
    open_array,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
    write_text,
)
from darkmatter.storage.paths import DATA, MODEL, TOKENS
from darkmatter.storage.replacing import replacing_folder

RESPONSES = Path("data/.responses")


def main(stage: Stage) -> None:
    params, own = stage.params, stage.params.interpretability
    judge = None
    if own.endpoint:
        judge = Judge(own, read_key(own), RESPONSES)
        judge.client.check_reachable()
    if own.error_sae_seed not in params.error_saes.seeds:
        raise ArtifactError(
            f"interpretability.error_sae_seed is {own.error_sae_seed}, error_saes.seeds are {params.error_saes.seeds}"
        )
    folders = {part: stage.reads(DATA / "error_saes" / sae_name(part, own.error_sae_seed)) for part in PARTS}
    tokens = open_array(stage.reads(TOKENS / "eval.npy"), (None, None), "int32")
    tokenizer = load_tokenizer(stage.reads(MODEL))

    plan = plan_of(params)
    work, fired = [], {}
    for stream, (part, folder) in enumerate(folders.items()):
        codes = read_arrays(folder / "codes.npz")
        positions = len(codes["index"]) // len(tokens)
        texts = Texts(cut_windows(tokens, params.tokens.first_position, positions, own.window), tokenizer)
        firings = find_firings(codes, len(tokens), read_json(folder / "training.json")["d_sae"], own.window)
        fired[part] = firings.windows_fired()
        latents = choose_latents(firings, plan, own.latents, stream)
        if len(latents) < own.latents:
            print(f"{part}: {len(latents)} latents have enough examples, {own.latents} asked for", file=sys.stderr)
        work += [(part, choose_examples(firings, latent, plan, stream), firings) for latent in latents]

    if judge:
        cost = judge_cost(judge, work, texts)
        print(f"{own.model} at {own.endpoint}: {cost}", file=sys.stderr)
        if own.max_dollars is not None and cost.dollars > own.max_dollars:
            raise ArtifactError(f"{cost}, above interpretability.max_dollars = {own.max_dollars:g}: nothing was asked")
        records = judge_records(judge, work, texts)
        for part in PARTS:
            of_part = [record for record in records if record["part"] == part]
            check_answered(of_part, own.model)
            if reasons := unanswered(of_part):
                print(
                    f"{part}: {reasons.total()} of {len(of_part)} latents unanswered: {dict(reasons)}", file=sys.stderr
                )
        stage.notes["judge"] = {
            "calls": judge.client.calls,
            "dollars": round(judge.client.spent, 4),
            "temperature": judge.client.form.temperature,
        }
    else:
        records = [
            record
            for part in PARTS
            for record in surrogate_records(part, [examples for name, examples, _ in work if name == part], texts)
        ]

    with replacing_folder(stage.writes(DATA / "interpretability")) as folder:
        lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records]
        write_text(folder / "transcript.jsonl", "".join(lines))
    arrays = stored(records, fired, len(texts.windows), len(tokens))
    write_json(stage.writes(stage.reports.results / "interpretability.json"), results_of(arrays, params))
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)


if __name__ == "__main__":
    run(main)
