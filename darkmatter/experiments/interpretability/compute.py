"""How well an explanation of a latent predicts where it fires (section 5.2, Fig. 7).

Each latent is explained from its strongest windows; from the explanation alone a judge then says of other windows
whether the latent fires. Without an endpoint the surrogate takes both steps. Either leaves one record for each latent.
"""

import concurrent.futures
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from tqdm import tqdm

from darkmatter.experiments.interpretability.judge.judge import Judge, JudgingCost, Question, Unanswered
from darkmatter.experiments.interpretability.judge.prompts import (
    CLOSE,
    EXPLANATION_TOKENS,
    OPEN,
    explain_question,
    predict_question,
)
from darkmatter.experiments.interpretability.latent_examples import Examples, LatentFirings
from darkmatter.experiments.interpretability.surrogate import ngram_features, predict
from darkmatter.storage.artifacts import ArtifactError

Record = dict[str, Any]
NGRAMS_SHOWN = 5
FRUITLESS = 20  # latents: when so many have no answer and none has one, the rest is not asked


@runtime_checkable
class Tokenizer(Protocol):
    def decode(self, token_ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Texts:
    """The windows as text: `windows` int [window, size]."""

    windows: np.ndarray
    tokenizer: Tokenizer

    def plain(self, window: int) -> str:
        return self.tokenizer.decode(self.windows[window].tolist())

    def marked(self, window: int, places: np.ndarray) -> str:
        """The text with every run of tokens at `places` between << and >>."""
        tokens = self.windows[window].tolist()
        fires = np.isin(np.arange(len(tokens)), places)
        starts = np.flatnonzero(np.diff(fires, prepend=~fires[:1]))
        runs = [slice(start, end) for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True)]
        parts = [(self.tokenizer.decode(tokens[run]), fires[run.start]) for run in runs]
        return "".join(f"{OPEN}{text}{CLOSE}" if marked else text for text, marked in parts)


def record_of(part: str, examples: Examples, predictions: Sequence[int] | None, **facts: Any) -> Record:
    """One line of the transcript: what was explained, judged, and predicted (null where unanswered)."""
    return {
        "part": part,
        "latent": examples.latent,
        "explained_windows": examples.explained.tolist(),
        "judged_windows": examples.judged.tolist(),
        "decile": examples.decile.tolist(),
        "predictions": None if predictions is None else [int(value) for value in predictions],
        **facts,
    }


def surrogate_records(part: str, chosen: Sequence[Examples], texts: Texts) -> list[Record]:
    """The surrogate on every latent. Its explanation is the n-grams that speak most for firing."""
    features, ngrams = ngram_features(texts.windows)
    records = []
    for examples in tqdm(chosen, desc=f"surrogate, {part}", unit="latent", mininterval=1.0):
        learned = np.concatenate([examples.explained, examples.contrast])
        fires = np.arange(len(learned)) < len(examples.explained)
        predictions, weights = predict(features, learned, fires, examples.judged)
        strongest = np.lexsort((np.arange(len(weights)), -weights))[:NGRAMS_SHOWN]
        shown = [texts.tokenizer.decode([token for token in ngrams[i].tolist() if token >= 0]) for i in strongest]
        records.append(record_of(part, examples, predictions, explanation=shown, unanswered=None))
    return records


def first_question(examples: Examples, firings: LatentFirings, texts: Texts) -> Question[str]:
    places = (firings.places(examples.latent, int(window)) for window in examples.explained)
    return explain_question([texts.marked(w, p) for w, p in zip(examples.explained.tolist(), places, strict=True)])


def further_questions(explanation: str, examples: Examples, texts: Texts, size: int) -> Iterator[Question[list[int]]]:
    """The judged windows, `size` to a prompt."""
    for start in range(0, len(examples.judged), size):
        windows = examples.judged[start : start + size].tolist()
        yield predict_question(explanation, [texts.plain(window) for window in windows])


def judge_cost(judge: Judge, work: Sequence[tuple[str, Examples, LatentFirings]], texts: Texts) -> JudgingCost:
    """What is left to ask. An explanation not given yet is taken to be as long as it may be."""
    questions: list[Question] = []
    for _, examples, firings in work:
        first = first_question(examples, firings, texts)
        known = judge.ask(first) if judge.is_settled(first) else "word " * EXPLANATION_TOKENS
        questions.append(first)
        if not isinstance(known, Unanswered):
            questions += further_questions(known, examples, texts, judge.settings.examples_per_prompt)
    return judge.estimate(questions)


def judge_records(judge: Judge, work: Sequence[tuple[str, Examples, LatentFirings]], texts: Texts) -> list[Record]:
    """The judge on every latent, `parallel_calls` latents at a time; records in the order of `work`.

    Raises:
        ArtifactError: see `Judge.ask`; or none of the first FRUITLESS latents has an answer. What was answered until
            then is stored.
    """
    records: list[Record] = []
    with concurrent.futures.ThreadPoolExecutor(judge.settings.parallel_calls) as pool:
        futures = [pool.submit(judge_latent, judge, *item, texts) for item in work]
        try:
            done = concurrent.futures.as_completed(futures)
            for future in tqdm(done, desc="judge", total=len(futures), unit="latent", mininterval=1.0):
                records.append(future.result())
                if len(records) == FRUITLESS:
                    check_answered(records, judge.settings.model)
        except BaseException as error:
            judge.client.stop(ArtifactError(f"stopped by {type(error).__name__}"))
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def judge_latent(judge: Judge, part: str, examples: Examples, firings: LatentFirings, texts: Texts) -> Record:
    """Explain, then predict. One question without an answer leaves the whole latent unanswered."""
    first = first_question(examples, firings, texts)
    explanation = judge.ask(first)
    transcript = [asked(judge, first)]
    predictions: list[int] = []
    if isinstance(explanation, Unanswered):
        why = {"unanswered": explanation.reason, "said": explanation.said}
        return record_of(part, examples, None, explanation=None, asked=transcript, **why)
    for question in further_questions(explanation, examples, texts, judge.settings.examples_per_prompt):
        answer = judge.ask(question)
        transcript.append(asked(judge, question))
        if isinstance(answer, Unanswered):
            why = {"unanswered": answer.reason, "said": answer.said}
            return record_of(part, examples, None, explanation=explanation, asked=transcript, **why)
        predictions += answer
    return record_of(part, examples, predictions, explanation=explanation, unanswered=None, asked=transcript)


def asked(judge: Judge, question: Question) -> dict[str, Any]:
    return {"prompt": question.prompt, "responses": judge.stored(question).responses}


def check_answered(records: Sequence[Record], model: str) -> None:
    """Refuse to write results where the judge answered nothing.

    Raises:
        ArtifactError: there are latents, and none of them was answered: numbers would be null.
    """
    if not records or any(record["predictions"] is not None for record in records):
        return
    reasons = ", ".join(f"{count} × {reason}" for reason, count in unanswered(records).items())
    words = next((record["said"] for record in records if record["said"]), "")
    raise ArtifactError(
        f"{model} answered none of {len(records)} latents: {reasons}{f' ({words})' if words else ''}. No results are "
        "written. Run the stage again when that is fixed: responses are kept, and only what has none is asked."
    )


def unanswered(records: Sequence[Record]) -> Counter[str]:
    """Reason → number of latents."""
    return Counter(record["unanswered"] for record in records if record["unanswered"])
