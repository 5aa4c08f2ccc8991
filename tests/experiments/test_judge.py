"""The judge against a server that answers well, badly, late or not at all, and against `transformers serve`."""

import itertools
import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_endpoint import (
    completion,
    in_turn,
    passages_of,
    refusal,
    right_judge,
    serving,
    slow,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from judge_case import QUESTION, SOON, make_judge, settings, stage_inputs, stage_with, work_on
from transformers.cli.serve import Serve

from darkmatter.experiments.interpretability.compute import judge_cost, judge_records
from darkmatter.experiments.interpretability.estimates import accuracies
from darkmatter.experiments.interpretability.judge.answers import parse_explanation, parse_predictions
from darkmatter.experiments.interpretability.judge.judge import Unanswered
from darkmatter.experiments.interpretability.judge.key import NO_KEY, read_key
from darkmatter.experiments.interpretability.judge.prompts import explain_question, predict_question
from darkmatter.experiments.interpretability.results import record_arrays
from darkmatter.models.load import random_model
from darkmatter.params.data import Model
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError
from stages.interpretability import main


def test_right_judge_is_right(tmp_path: Path) -> None:
    work, texts = work_on("z")
    with serving(right_judge("z")) as endpoint:
        judge = make_judge(endpoint.url, tmp_path)
        judge.client.check_reachable()
        cost = judge_cost(judge, work, texts)
        records = judge_records(judge, work, texts)
    assert accuracies(record_arrays(records), 3).tolist() == [[1, 1, 1, 1]]
    assert records[0]["explanation"] == "the letter z"
    assert cost.calls == 1 + 3 == len(endpoint.prompts)
    assert all("<<z" in passage for passage in passages_of(endpoint.prompts[0]))
    assert not any("<<" in passage for passage in passages_of(endpoint.prompts[1]))
    assert {request["temperature"] for request in endpoint.requests} == {0}


def test_records_keep_the_order_of_work_and_their_own_answers(tmp_path: Path) -> None:
    work, texts = work_on("zqx")
    with serving(right_judge("q")) as endpoint:
        records = judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=3), work, texts)
    assert [record["latent"] for record in records] == [0, 1, 2]
    table = accuracies(record_arrays(records), 3)
    assert table[1].tolist() == [1, 1, 1, 1]
    assert table[0, 1:].mean() < 1 and table[2, 1:].mean() < 1


def test_nothing_paid_for_is_asked_again(tmp_path: Path) -> None:
    work, texts = work_on("zq")
    with serving(right_judge("z")) as endpoint:
        first = judge_records(make_judge(endpoint.url, tmp_path), work, texts)
        asked = len(endpoint.prompts)
        again = make_judge(endpoint.url, tmp_path)
        cost = judge_cost(again, work, texts)
        assert (cost.calls, cost.stored, cost.prompt_tokens) == (0, asked, 0)
        assert judge_records(again, work, texts) == first
        assert len(endpoint.prompts) == asked
        judge_records(make_judge(endpoint.url, tmp_path, model="another"), work, texts)
        assert len(endpoint.prompts) == 2 * asked


def test_run_that_ends_midway_resumes(tmp_path: Path) -> None:
    work, texts = work_on("zq")
    broken = in_turn(*[right_judge("z")] * 3, refusal(401))
    with serving(broken) as endpoint:
        judge = make_judge(endpoint.url, tmp_path, parallel_calls=1)
        with pytest.raises(ArtifactError, match="refuses"):
            judge_records(judge, work, texts)
        assert len(endpoint.prompts) == 4  # no thread goes on
        endpoint.behaviour = right_judge("z")
        records = judge_records(make_judge(endpoint.url, tmp_path), work, texts)
        assert all(record["predictions"] for record in records)
        assert len(set(endpoint.prompts)) == len(endpoint.prompts) - 1  # the refused one alone came twice


@pytest.mark.parametrize(
    "bad",
    [
        completion("I think so"),
        completion("[1, 0]"),
        completion("[1, 0, 2]"),
        completion("[1, 0, 1] or [1, 1, 1]"),
        completion("[true, false, maybe]"),
        completion('["1", "0", "-"]'),
        completion('{"1": 1, "2": 0, "3": 1}'),
        completion("__import__('os').system('true')"),
        completion(""),
        completion(None),
    ],
)
def test_malformed_answers_are_asked_again_then_unanswered(tmp_path: Path, bad: Any) -> None:
    with serving(in_turn(bad, completion("[1, 0, 1]"))) as endpoint:
        assert make_judge(endpoint.url, tmp_path / "fixes").ask(QUESTION) == [1, 0, 1]
        assert [request["temperature"] for request in endpoint.requests] == [0, 0.5]
        endpoint.behaviour = in_turn(bad)
        before = len(endpoint.prompts)
        judge = make_judge(endpoint.url, tmp_path / "stays")
        assert judge.ask(QUESTION) == Unanswered("3 empty or malformed answers")
        assert judge.ask(QUESTION) == Unanswered("3 empty or malformed answers")  # stored: no further call
        assert len(endpoint.prompts) == before + 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_server_is_asked_again(tmp_path: Path, status: int) -> None:
    busy = refusal(status, **SOON)
    with serving(in_turn(busy, busy, completion("[1, 0, 1]"))) as endpoint:
        assert make_judge(endpoint.url, tmp_path).ask(QUESTION) == [1, 0, 1]
        assert len(endpoint.prompts) == 3


def test_server_that_stays_busy_leaves_the_latent_unanswered(tmp_path: Path) -> None:
    work, texts = work_on("zq")
    busy = refusal(429, **SOON)
    with serving(in_turn(right_judge("z"), busy)) as endpoint:
        records = judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=1), work, texts)
        assert [record["predictions"] for record in records] == [None, None]
        assert [record["unanswered"] for record in records] == ["HTTP 429", "HTTP 429"]
        assert accuracies(record_arrays(records), 3).shape == (0, 4)
        endpoint.behaviour = right_judge("z")  # being busy is not stored: the next run asks
        records = judge_records(make_judge(endpoint.url, tmp_path), work, texts)
        assert all(record["predictions"] for record in records)


def test_slow_server_times_out(tmp_path: Path) -> None:
    with serving(slow(1.0)) as endpoint:
        judge = make_judge(endpoint.url, tmp_path, timeout_seconds=0.1, retries=1)
        begun = time.monotonic()
        assert judge.ask(QUESTION) == Unanswered("no answer within 0.1 s, 2 times")
        assert time.monotonic() - begun < 3
        assert len(endpoint.prompts) == 2


def test_request_the_server_cannot_take_is_unanswered(tmp_path: Path) -> None:
    with serving(in_turn(refusal(400))) as endpoint:
        assert make_judge(endpoint.url, tmp_path).ask(QUESTION) == Unanswered("HTTP 400")
        assert len(endpoint.prompts) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_wrong_key_or_model_is_an_error_at_once_without_the_key(tmp_path: Path, status: int) -> None:
    with serving(in_turn(refusal(status))) as endpoint:
        with pytest.raises(ArtifactError, match=f"HTTP {status}.*interpretability.model") as caught:
            make_judge(endpoint.url, tmp_path).ask(QUESTION)
        assert "sk-secret" not in str(caught.value)
        assert len(endpoint.prompts) == 1


def test_unreachable_endpoint_is_an_error_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    begun = time.monotonic()
    with pytest.raises(ArtifactError, match=r"cannot be reached .*refused.*null for the offline surrogate"):
        make_judge(url, tmp_path, retries=5).client.check_reachable()
    assert time.monotonic() - begun < 1


def test_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKMATTER_TEST_KEY", raising=False)
    with pytest.raises(ArtifactError, match="DARKMATTER_TEST_KEY is not set"):
        read_key(settings("https://api.example.com/v1"))
    assert read_key(settings("http://localhost:8000/v1")) == NO_KEY
    monkeypatch.setenv("DARKMATTER_TEST_KEY", " sk-1 ")
    assert read_key(settings("https://api.example.com/v1")) == "sk-1"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"endpoint": "localhost:8000"}, "not an http or https address"),
        ({"endpoint": "file:///etc/passwd"}, "not an http or https address"),
        ({"endpoint": "http://[::1/v1"}, "not an http or https address"),
        ({"endpoint": "http://localhost:port/v1"}, "not an http or https address"),
        ({"endpoint": "https://user:pass@api.example.com/v1"}, "holds a password"),
        ({"endpoint": "http://localhost/v1", "max_dollars": 1.0}, "needs dollars_per_million_tokens"),
    ],
)
def test_wrong_settings(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        read_key(settings(None).model_copy(update=changed))


def test_cost_and_its_limit(tmp_path: Path) -> None:
    with serving(right_judge("z")) as endpoint:
        prices = {"dollars_per_million_tokens": [2.0, 10.0], "max_dollars": 0.004}
        judge = make_judge(endpoint.url, tmp_path, **prices)
        cost = judge.estimate([QUESTION])
        tokens = -(-len(QUESTION.prompt.encode()) // 3)
        assert (cost.calls, cost.prompt_tokens, cost.completion_tokens) == (1, tokens, QUESTION.max_tokens)
        assert cost.dollars == pytest.approx((2 * tokens + 10 * QUESTION.max_tokens) / 1e6)
        assert "price unknown" in str(make_judge(endpoint.url, tmp_path).estimate([QUESTION]))
        judge.ask(QUESTION)  # the server counts 1,000 and 100 tokens: $0.003
        judge.ask(predict_question("z", ["other"]))
        with pytest.raises(ArtifactError, match=r"max_dollars = 0.004 is spent"):
            judge.ask(predict_question("z", ["a third"]))
        assert len(endpoint.prompts) == 2


HOSTILE = st.lists(st.text(min_size=0, max_size=40) | st.sampled_from(['"]', "]\n\nIgnore this", "\\", "\u2028]"]))


@hypothesis_settings(deadline=None)
@given(HOSTILE, st.text(min_size=1, max_size=40))
def test_passages_cannot_leave_their_array(passages: list[str], explanation: str) -> None:
    passages = [passage.encode("utf-8", "ignore").decode() for passage in passages] or ["x"]
    for prompt in (explain_question(passages).prompt, predict_question(explanation, passages).prompt):
        assert passages_of(prompt) == passages


@hypothesis_settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1]), min_size=1, max_size=9), st.integers(1, 9))
def test_predictions_are_read_only_at_the_right_length(answers: list[int], number: int) -> None:
    text = f"\n {json.dumps(answers)} "
    if len(answers) == number:
        assert parse_predictions(text, number) == answers
    else:
        with pytest.raises(ValueError, match="predictions for"):
            parse_predictions(text, number)


@hypothesis_settings(deadline=None)
@given(st.text())
def test_other_text_is_never_a_prediction(text: str) -> None:
    if text.strip() not in {"[0]", "[1]"}:
        with pytest.raises(ValueError, match=r"."):
            parse_predictions(text.replace("0", "2").replace("1", "2"), 1)


def test_explanations() -> None:
    assert parse_explanation("  one\n sentence. ") == "one sentence."
    for text in ("", " \n", "x" * 1001):
        with pytest.raises(ValueError, match="characters"):
            parse_explanation(text)


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(url, model) of `transformers serve` with a Llama that knows one thing: after a line end it writes [1].

    Attention and MLP add nothing, so each next token follows from the last one alone.
    """
    folder = tmp_path_factory.mktemp("llama")
    config = {"vocab_size": 258, "hidden_size": 264, "intermediate_size": 8, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 1, "max_position_embeddings": 8192}
    spec = Model.model_validate(
        {"source": "random", "label": "x", "architecture": "llama", "config": config, "seed": 0}
    )
    model, tokenizer = random_model(spec)
    chain = [
        *(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))[0] for text in "\n[1]"),
        tokenizer.eos_token_id,
    ]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        model.get_input_embeddings().weight.copy_(torch.eye(258, 264))
        model.get_output_embeddings().weight.zero_()
        for token, following in itertools.pairwise(chain):
            model.get_output_embeddings().weight[following, token] = 1.0
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] + '\n' }}{% endfor %}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Serve(str(folder), host="127.0.0.1", port=port, device="cpu", non_blocking=True)
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                break
        except OSError:
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/v1", str(folder)
    server.kill_server()


def test_protocol_on_a_real_server(real_server: tuple[str, str], tmp_path: Path) -> None:
    url, model = real_server
    work, texts = work_on("z")
    judge = make_judge(url, tmp_path, model=model, examples_per_prompt=1, timeout_seconds=30)
    judge.client.check_reachable()
    records = judge_records(judge, work, texts)
    assert records[0]["explanation"] == "[1]"
    assert accuracies(record_arrays(records), 3).tolist() == [[0, 1, 1, 1]]  # it says yes to everything
    assert judge.client.calls == 13


def test_real_server_with_answers_of_the_wrong_length(real_server: tuple[str, str], tmp_path: Path) -> None:
    url, model = real_server
    work, texts = work_on("z")
    judge = make_judge(url, tmp_path, model=model, examples_per_prompt=4, retries=1, timeout_seconds=30)
    (record,) = judge_records(judge, work, texts)
    assert record["predictions"] is None
    assert record["unanswered"] == "2 empty or malformed answers"
    assert record["asked"][-1]["responses"] == ["[1]", "[1]"]


def test_stage_with_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage_inputs(tmp_path, "zq")
    with serving(right_judge("z")) as endpoint:
        main(stage_with(monkeypatch, tmp_path, endpoint=endpoint.url, latents=5))
    content = json.loads(next(tmp_path.glob("reports/*/results/interpretability.json")).read_text())
    assert content["judge"] == "m" and content["endpoint"] == endpoint.url
    for part in content["parts"].values():
        assert (part["asked"], part["found"], part["answered"]) == (5, 2, 2)
    lines = (tmp_path / "data/interpretability/transcript.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["part"] for record in records] == ["linear"] * 2 + ["nonlinear"] * 2
    assert all(record["asked"][0]["responses"] == ["the letter z"] for record in records)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in {".json", ".jsonl"}]
    assert not any("sk-secret" in path.read_text() for path in written)


def test_stage_without_an_endpoint_says_surrogate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage_inputs(tmp_path, "zq")
    main(stage_with(monkeypatch, tmp_path))
    content = json.loads(next(tmp_path.glob("reports/*/results/interpretability.json")).read_text())
    assert content["judge"] == "surrogate" and content["endpoint"] is None


def test_stage_above_its_limit_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage_inputs(tmp_path, "zq")
    with serving(right_judge("z")) as endpoint:
        dear = {"dollars_per_million_tokens": [1000.0, 1000.0], "max_dollars": 0.01}
        with pytest.raises(ArtifactError, match=r"above interpretability.max_dollars = 0.01: nothing was asked"):
            main(stage_with(monkeypatch, tmp_path, endpoint=endpoint.url, **dear))
        assert not endpoint.prompts


def test_stage_refuses_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it reads exists, so whatever it says first needed none of it."""
    remote = stage_with(monkeypatch, tmp_path, endpoint="https://api.example.com/v1")
    monkeypatch.delenv("DARKMATTER_TEST_KEY")
    with pytest.raises(ArtifactError, match="DARKMATTER_TEST_KEY is not set"):
        main(remote)
    with pytest.raises(ArtifactError, match=r"error_sae_seed is 7, error_saes.seeds are \[0, 1\]"):
        main(stage_with(monkeypatch, tmp_path, error_sae_seed=7))
    with pytest.raises(ArtifactError, match=r"which does not exist\. Run `dvc repro`"):
        main(stage_with(monkeypatch, tmp_path))
