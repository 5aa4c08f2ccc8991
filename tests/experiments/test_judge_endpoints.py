"""The judge against servers with customs of their own: other parameters, reasoning, fences, quotas, errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import (
    Gate,
    completion,
    error,
    in_turn,
    reasons_first,
    right_judge,
    serving,
    takes_only,
    told,
    wrapped,
)
from judge_case import QUESTION, make_judge, settings, stage_inputs, stage_with, work_on

from darkmatter.experiments.interpretability.compute import FRUITLESS, judge_records
from darkmatter.experiments.interpretability.estimates import accuracies
from darkmatter.experiments.interpretability.judge import client as judge_client
from darkmatter.experiments.interpretability.judge.answers import parse_explanation, parse_predictions, said, unfenced
from darkmatter.experiments.interpretability.judge.client import IN_A_ROW
from darkmatter.experiments.interpretability.judge.judge import REASONING_TOKENS, Judge, Unanswered
from darkmatter.experiments.interpretability.judge.key import read_key
from darkmatter.experiments.interpretability.judge.prompts import explain_question
from darkmatter.experiments.interpretability.judge.refusals import sentence, shortened
from darkmatter.experiments.interpretability.results import record_arrays
from darkmatter.storage.artifacts import ArtifactError, sha256_file
from stages.interpretability import main

RIGHT = [1, 0, 1]
ANSWER = completion(json.dumps(RIGHT))
NO_MAX_TOKENS = error(
    400,
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    param="max_tokens",
    code="unsupported_parameter",
)
ONLY_DEFAULT = error(
    400,
    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.",
    param="temperature",
    code="unsupported_value",
)
FORBIDDEN_FIELD = told(
    '{"detail": [{"type": "extra_forbidden", "loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"}]}',
    "application/json",
    422,
)
MUST_BE_POSITIVE = told(
    '{"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"}',
    "application/json",
    422,
)
EMPTY_PURSE = error(
    429,
    "You exceeded your current quota, please check your plan and billing details.",
    type="insufficient_quota",
    code="insufficient_quota",
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_client, "FIRST_WAIT", 0.001)


def refuses(name: str, reply: Any) -> Gate:
    return takes_only(**{name: lambda value: reply})


@pytest.mark.parametrize(
    "reply",
    [
        NO_MAX_TOKENS,
        FORBIDDEN_FIELD,
        error(400, "This model requires max_completion_tokens"),
        error(500, "upstream: 'max_tokens' is not supported, use 'max_completion_tokens'"),
    ],
)
def test_server_that_wants_the_other_limit(tmp_path: Path, reply: Any) -> None:
    work, texts = work_on("z")
    with serving(right_judge("z"), refuses("max_tokens", reply)) as endpoint:
        records = judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=1), work, texts)
    assert accuracies(record_arrays(records), 3).tolist() == [[1, 1, 1, 1]]
    assert ["max_tokens" in request for request in endpoint.requests] == [True, False, False, False, False]
    first, second = endpoint.requests[:2]
    assert second["max_completion_tokens"] == first["max_tokens"] and second["temperature"] == 0


@pytest.mark.parametrize(
    "reply",
    [
        ONLY_DEFAULT,
        MUST_BE_POSITIVE,
        error(400, "`temperature` may only be set to 1 when thinking is enabled"),
        error(400, "temperature: 0 is not a valid value for this model, use 1"),
        error(400, "temperature is incompatible with reasoning"),
        error(400, "temperature cannot be set for this model"),
    ],
)
def test_server_that_wants_no_temperature(tmp_path: Path, capsys: pytest.CaptureFixture[str], reply: Any) -> None:
    work, texts = work_on("z")
    with serving(right_judge("z"), refuses("temperature", reply)) as endpoint:
        judge = make_judge(endpoint.url, tmp_path, parallel_calls=1)
        records = judge_records(judge, work, texts)
    assert accuracies(record_arrays(records), 3).tolist() == [[1, 1, 1, 1]]
    assert ["temperature" in request for request in endpoint.requests] == [True, False, False, False, False]
    assert not judge.client.form.temperature
    assert capsys.readouterr().err.count("m is asked in another form") == 1


def test_both_at_once_with_many_threads(tmp_path: Path) -> None:
    work, texts = work_on("zqx")
    gate = takes_only(max_tokens=lambda value: NO_MAX_TOKENS, temperature=lambda value: ONLY_DEFAULT)
    with serving(right_judge("q"), gate) as endpoint:
        records = judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=3), work, texts)
    assert all(record["predictions"] for record in records)
    assert len(endpoint.requests) <= 3 * 4 + 2 * 3


def test_server_that_takes_neither_name_of_the_limit(tmp_path: Path) -> None:
    """Asked in both forms, then no more: nobody asks without a limit."""
    work, texts = work_on("zq")
    names = ("max_tokens", "max_completion_tokens")
    refused = {name: error(400, f"Unsupported parameter: {name!r}", param=name) for name in names}
    gate = takes_only(**{name: lambda value, name=name: refused[name] for name in names})
    with serving(in_turn(ANSWER), gate) as endpoint:
        with pytest.raises(ArtifactError, match=r"HTTP 400: Unsupported parameter: 'max_completion_tokens'.*not help"):
            judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=1), work, texts)
        assert len(endpoint.requests) == 2


def test_limit_that_is_too_large_is_no_unknown_parameter(tmp_path: Path) -> None:
    """Nothing is left out of the request where it is the value that is wrong, and the server's words are kept."""
    too_large = error(400, "max_tokens is too large: 20. This model has a context of 16 tokens.", param="max_tokens")
    with serving(in_turn(too_large)) as endpoint:
        answer = make_judge(endpoint.url, tmp_path).ask(QUESTION)
        assert answer == Unanswered("HTTP 400") and "a context of 16 tokens" in answer.said
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize("content", ["", None, "<think>\nSo, the first passage", "Let me go through the passages"])
def test_budget_eaten_by_reasoning_is_widened_once_and_remembered(tmp_path: Path, content: Any) -> None:
    cut = completion(content, "length")
    gate = takes_only(max_tokens=lambda allowed: cut if allowed < 1000 else None)
    with serving(in_turn(ANSWER), gate) as endpoint:
        judge = make_judge(endpoint.url, tmp_path)
        assert judge.ask(QUESTION) == RIGHT
        small = QUESTION.max_tokens
        assert [request["max_tokens"] for request in endpoint.requests] == [small, small + REASONING_TOKENS]
        endpoint.behaviour = in_turn(completion("[0]"))
        other = explain_question(["x"])
        judge.ask(other)  # of another kind: it begins anew
        assert endpoint.requests[2]["max_tokens"] == other.max_tokens
        endpoint.behaviour = in_turn(ANSWER)
        judge.settings = settings(endpoint.url, model="n")  # nothing of it is stored
        assert judge.ask(QUESTION) == RIGHT
        assert endpoint.requests[-1]["max_tokens"] == small + REASONING_TOKENS


def test_answer_that_is_cut_off_and_called_a_bad_request(tmp_path: Path) -> None:
    spent = error(400, "Could not finish the message because max_tokens or model output limit was reached.")
    with serving(in_turn(ANSWER), takes_only(max_tokens=lambda allowed: spent if allowed < 1000 else None)) as endpoint:
        assert make_judge(endpoint.url, tmp_path).ask(QUESTION) == RIGHT
        allowed = [request["max_tokens"] for request in endpoint.requests]
        assert allowed == [QUESTION.max_tokens, QUESTION.max_tokens + REASONING_TOKENS]


def test_reasoning_beyond_any_budget_says_what_to_raise(tmp_path: Path) -> None:
    with serving(in_turn(ANSWER), reasons_first(10**6)) as endpoint:
        judge = make_judge(endpoint.url, tmp_path)
        answer = judge.ask(QUESTION)
        assert answer == Unanswered("cut off at 4,116 tokens (finish_reason: length)")
        assert "raise interpretability.reasoning_tokens above 4,096" in answer.said
        assert len(endpoint.requests) == 2
        assert judge.is_settled(QUESTION) and judge.ask(QUESTION) == answer
        assert len(endpoint.requests) == 2  # nothing is paid for twice
        endpoint.gate = reasons_first(6000)
        assert make_judge(endpoint.url, tmp_path, reasoning_tokens=8000).ask(QUESTION) == RIGHT
        assert [request["max_tokens"] for request in endpoint.requests[2:]] == [QUESTION.max_tokens + 8000]


def test_reasoning_tokens_count_in_the_estimate(tmp_path: Path) -> None:
    judge = make_judge("http://localhost:1/v1", tmp_path, reasoning_tokens=500)
    assert judge.estimate([QUESTION]).completion_tokens == QUESTION.max_tokens + 500


def test_empty_responses_of_older_versions_are_asked_again(tmp_path: Path) -> None:
    with serving(in_turn(ANSWER)) as endpoint:
        judge = make_judge(endpoint.url, tmp_path)
        place = judge.place(QUESTION)
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps({"responses": ["", "", ""]}))
        assert judge.ask(QUESTION) == RIGHT
        place.write_text(json.dumps({"responses": ["", f"<think>x</think>{RIGHT}"]}))
        assert judge.ask(QUESTION) == RIGHT
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "around",
    [
        lambda text: f"<think>\nThe user wants [0, 0].\n</think>\n\n{text}",
        lambda text: f"<thinking>So</thinking>{text}",
        lambda text: f"The first one, so\n</think>\n\n{text}",
        lambda text: f"[THINK]So[/THINK]\n{text}",
        lambda text: f"<|channel|>analysis<|message|>So<|end|><|start|>assistant<|channel|>final<|message|>{text}",
        lambda text: f"```json\n{text}\n```",
        lambda text: f"```\n{text}\n```",
        lambda text: f"<think></think>\n~~~text\n{text}\n~~~\n",
        lambda text: [{"type": "text", "text": text}],
        lambda text: [{"type": "reasoning", "text": "[0, 0, 0]"}, {"type": "output_text", "text": text}],
    ],
)
def test_answers_with_something_around_them(tmp_path: Path, around: Any) -> None:
    """Both kinds of question, in both their parts: explanations and predictions come out as without it."""
    work, texts = work_on("z")
    with serving(wrapped(right_judge("z"), around)) as endpoint:
        records = judge_records(make_judge(endpoint.url, tmp_path, retries=0), work, texts)
    assert records[0]["explanation"] == "the letter z"
    assert accuracies(record_arrays(records), 3).tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("[1, 0, 1]", RIGHT),
        ("[1,0,1]\n\nPassage [2] has no z.", RIGHT),
        ("Here it is: [1, 0, 1]. I hope this helps!", RIGHT),
        ('```json\n{"predictions": [1, 0, 1]}\n```\nDone.', RIGHT),
        ('["1", "0", "1"]', RIGHT),
        ("[true, false, true]", RIGHT),
        ('["Yes", "no", "yes"]', RIGHT),
        ("[1.0, 0.0, 1.0]", RIGHT),
        ("[1, 0, 1], so again [1, 0, 1]", RIGHT),
        ("<think>[0, 0, 0]</think>[1, 0, 1]", RIGHT),
        ("[1, 0, 1], or rather [1, 1, 1]", None),
        ("[1, 0]", None),
        ("[1, 0, 1, 0]", None),
        ("[1, 0, 0.5]", None),
        ("[1, 0, null]", None),
        ("[1, 0, 2]", None),
        ("1, 0, 1", None),
        ("[[1], [0], [1]]", None),
        ("<think>[1, 0, 1]", None),
        ("<think>[1, 0, 1]</think>", None),
        ("<|channel|>analysis<|message|>[1, 0, 1]", None),
        ("", None),
    ],
)
def test_predictions_are_read_or_not_at_all(text: str, results: list[int] | None) -> None:
    if results is None:
        with pytest.raises(ValueError, match="zeros and ones"):
            parse_predictions(text, 3)
    else:
        assert parse_predictions(text, 3) == results


def test_one_prediction_needs_a_line_of_its_own() -> None:
    assert parse_predictions("Sure:\n[0]\nPassage [1] has none.", 1) == [0]
    assert parse_predictions("```json\n[1]\n```", 1) == [1]
    with pytest.raises(ValueError, match="zeros and ones"):
        parse_predictions("Passage [1] has none.", 1)


def test_tags_and_fences_within_an_explanation_are_part_of_it() -> None:
    for text in ("The tags <think> and </think> of HTML", "A line that begins with ``` of Markdown", "the word think"):
        assert parse_explanation(text) == text == said(text)
    assert unfenced("```\na\n```\nand\n```\nb\n```") != "a"
    with pytest.raises(ValueError, match="0 characters"):
        parse_explanation("<think>\nstill at it")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (EMPTY_PURSE, "HTTP 429: You exceeded your current quota"),
        (error(429, "Your account is not active, please check your billing details."), "not active"),
        (error(429, "You exceeded your current token quota", type="exceeded_current_quota_error"), "token quota"),
        (error(400, "Please make sure your account is in good standing.", code="Arrearage"), "good standing"),
        (error(429, "Your team has used all available credits or reached its spending limit."), "spending limit"),
        (error(429, "Your account was suspended. Check your plan."), "suspended"),
        (error(400, "You have reached your specified API usage limits."), "usage limits"),
        (error(402, "Insufficient Balance"), "HTTP 402: Insufficient Balance"),
        (error(400, "Your credit balance is too low to access the API."), "credit balance"),
        (error(401, "Incorrect API key provided: sk-secret."), "Incorrect API key provided: …"),
        (error(400, "API key not valid. Please pass a valid API key."), "not valid"),
        (error(403, "Country, region, or territory not supported"), "territory"),
        (error(404, "The model `m` does not exist or you do not have access to it."), "does not exist"),
        (error(400, "The model m was not found", code="model_not_found"), "not found"),
        (
            told("<html><title>404</title><h1>Not\nFound</h1></html>", status=404),
            "HTTP 404: 404 Not Found",
        ),
        (told('{"error": {"message": "No credit", "code": 402}}', "application/json"), "HTTP 402: No credit"),
        (
            told('{"object": "error", "message": "bad sk-secret", "code": 401}', "application/json", 401),
            "bad …",
        ),
    ],
)
def test_what_lasts_stops_at_once(tmp_path: Path, reply: Any, words: str) -> None:
    work, texts = work_on("zq")
    with serving(in_turn(reply)) as endpoint:
        with pytest.raises(ArtifactError, match=r"Asking again would not help.*DARKMATTER_TEST_KEY") as caught:
            judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=1, retries=5), work, texts)
        assert len(endpoint.requests) == 1
    assert words in str(caught.value) and "sk-secret" not in str(caught.value)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "reply",
    [
        error(429, "Rate limit reached for requests per minute", code="rate_limit_exceeded"),
        error(429, "You exceeded your current quota, check your plan and billing details. Please retry in 2 s."),
        error(500, "billing service is down"),
        told("<html>busy</html>", status=503),
        told("<html>busy</html>"),
        told("{}", "application/json"),
        told('{"choices": []}', "application/json"),
        told('{"choi', "application/json"),
        told('{"error": {"message": "upstream is down", "code": 502}}', "application/json"),
        told('{"error": "overloaded"}', "application/json"),
        told('data: {"choices": [{"delta": {"content": "[1, 0, 1]"}}]}', "text/event-stream"),
        error(429, "You exceeded the current quota of your pricing tier. Please retry after 1 second."),
        error(429, "You reached the usage limit per minute"),
    ],
)
def test_what_may_pass_is_asked_again_and_not_stored(tmp_path: Path, reply: Any) -> None:
    with serving(in_turn(reply, reply, ANSWER)) as endpoint:
        judge = make_judge(endpoint.url, tmp_path)
        assert judge.ask(QUESTION) == RIGHT
        assert judge.stored(QUESTION).responses == ["[1, 0, 1]"]
        assert {request["temperature"] for request in endpoint.requests} == {0}
        endpoint.behaviour = in_turn(reply)
        other = make_judge(endpoint.url, tmp_path, model="n")
        assert isinstance(other.ask(QUESTION), Unanswered)
        assert len(endpoint.requests) == 3 + 3
        assert not other.is_settled(QUESTION)


def test_one_flagged_prompt_is_one_question(tmp_path: Path) -> None:
    flagged = error(403, "Your chosen model requires moderation and your input was flagged")
    with serving(in_turn(flagged, ANSWER)) as endpoint:
        judge = make_judge(endpoint.url, tmp_path)
        assert judge.ask(QUESTION) == Unanswered("HTTP 403")
        assert judge.ask(QUESTION) == RIGHT


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (told("<html><p>Sign in, sk-secret</p></html>"), "Sign in, …"),
        (told('{"choices": []}', "application/json"), '{"choices": []}'),
        (told('"hello"', "application/json"), "hello"),
        (told("data: [DONE]", "text/event-stream"), "data: [DONE]"),
    ],
)
def test_what_is_no_completion_is_quoted(tmp_path: Path, reply: Any, words: str) -> None:
    with serving(in_turn(reply)) as endpoint:
        answer = make_judge(endpoint.url, tmp_path, retries=0).ask(QUESTION)
    assert answer == Unanswered("an answer without a completion") and answer.said == words


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (completion(None, refusal="I cannot, sk-secret"), "(I cannot, …)"),
        (completion("", "content_filter"), "(finish_reason: content_filter)"),
        (completion(None, "tool_calls", tool_calls=[]), "(finish_reason: tool_calls)"),
        (completion("no idea"), "'no idea'"),
    ],
)
def test_why_nothing_is_said_is_told(tmp_path: Path, reply: Any, why: str) -> None:
    with serving(in_turn(reply)) as endpoint:
        answer = make_judge(endpoint.url, tmp_path).ask(QUESTION)
    assert answer == Unanswered("3 empty or malformed answers") and answer.said.endswith(why)


def test_a_server_that_wants_a_long_wait_is_left_alone(tmp_path: Path) -> None:
    """Nobody else asks it either, and the results that are there stay: the rest can be asked later."""
    work, texts = work_on("zq")
    status, headers, body = error(429, "slow down")
    later = (status, headers | {"retry-after-ms": "900000"}, body)
    with serving(in_turn(right_judge("z"), later)) as endpoint:
        with pytest.raises(ArtifactError, match=r"no request for 900 s \(HTTP 429: slow down\). Run the stage again"):
            judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=1), work, texts)
        assert len(endpoint.requests) == 2
        endpoint.behaviour = right_judge("z")
        records = judge_records(make_judge(endpoint.url, tmp_path), work, texts)
        assert all(record["predictions"] for record in records)


def test_a_server_that_fails_question_after_question_is_left_alone(tmp_path: Path) -> None:
    """Also after it has answered, as where an account is empty in words that nobody knows."""
    (item,), texts = work_on("z")
    answers = [right_judge("z")] * 2
    with serving(in_turn(*answers, error(418, "I am a teapot, sk-secret"))) as endpoint:
        judge = make_judge(endpoint.url, tmp_path, parallel_calls=1)
        with pytest.raises(ArtifactError, match=rf"{IN_A_ROW} questions in a row \(HTTP 418: I am a teapot, …\)"):
            judge_records(judge, [item] * 40, texts)
        assert len(endpoint.requests) == len(answers) + IN_A_ROW
    with serving(in_turn(*[error(418, "no"), right_judge("z")] * 30)) as endpoint:  # every other question
        judge = make_judge(endpoint.url, tmp_path, parallel_calls=1, model="n")
        assert len(judge_records(judge, [item] * 30, texts)) == 30


def test_many_latents_without_one_answer_end_the_run(tmp_path: Path) -> None:
    (item,), texts = work_on("z")
    with serving(in_turn(completion("sk-secret: no such thing"))) as endpoint:
        judge = make_judge(endpoint.url, tmp_path, parallel_calls=1)
        message = rf"answered none of {FRUITLESS} latents: {FRUITLESS} × 3 empty or malformed answers"
        with pytest.raises(ArtifactError, match=message) as caught:
            judge_records(judge, [item] * 40, texts)
        assert "(the last one: '…: no such thing')" in str(caught.value)
        endpoint.behaviour = in_turn(right_judge("z"), *[error(400, "no")] * 60)
        records = judge_records(make_judge(endpoint.url, tmp_path, parallel_calls=1, model="n"), [item], texts)
        assert [record["unanswered"] for record in records] == ["HTTP 400"]


@pytest.mark.parametrize(
    ("behaviour", "gate", "words"),
    [
        (in_turn(EMPTY_PURSE), None, "Asking again would not help"),
        (in_turn(completion("no idea")), None, "2 × 3 empty or malformed answers (the last one: 'no idea')"),
        (in_turn(ANSWER), reasons_first(10**6), "raise interpretability.reasoning_tokens above 4,096"),
        (in_turn(error(400, "The server said no to sk-secret")), None, "2 × HTTP 400 (The server said no to …)"),
    ],
)
def test_stage_without_an_answer_fails_and_keeps_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: Any, gate: Any, words: str
) -> None:
    stage_inputs(tmp_path, "zq")
    with serving(right_judge("z")) as endpoint:
        main(stage_with(monkeypatch, tmp_path, endpoint=endpoint.url))
        outputs = [*(tmp_path / "reports").rglob("*.*"), *(tmp_path / "data/interpretability").rglob("*.*")]
        before = {path: sha256_file(path) for path in outputs}
        endpoint.behaviour, endpoint.gate = behaviour, gate or endpoint.gate
        with pytest.raises(ArtifactError) as caught:
            main(stage_with(monkeypatch, tmp_path, endpoint=endpoint.url, model="n"))
    assert words in str(caught.value) and "sk-secret" not in str(caught.value)
    assert len(before) == 3 and {path: sha256_file(path) for path in outputs} == before
    assert not any(b"sk-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_stage_with_some_answers_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage_inputs(tmp_path, "zqx")
    refused, right, explained = error(400, "sk-secret is too long"), right_judge("z"), []

    def answer(prompt: str, number: int) -> Any:
        explained.extend([prompt] if "in common" in prompt else [])
        return refused if prompt in explained[2:4] else right(prompt, number)  # one latent of each part

    with serving(answer) as endpoint:
        main(stage_with(monkeypatch, tmp_path, endpoint=endpoint.url, latents=3, parallel_calls=1))
    parts = json.loads(next(tmp_path.glob("reports/*/results/interpretability.json")).read_text())["parts"]
    for part in parts.values():
        assert (part["asked"], part["found"], part["answered"]) == (3, 3, 2)
        assert part["unanswered"] == {"HTTP 400": 1}
    assert capsys.readouterr().err.count("1 of 3 latents unanswered: {'HTTP 400': 1}") == 2
    transcript = (tmp_path / "data/interpretability/transcript.jsonl").read_text()
    assert transcript.count('"said": "… is too long"') == 2


def test_a_key_that_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("sk-a sk-b", "sk-a\nsk-b", "sk-é"):
        monkeypatch.setenv("DARKMATTER_TEST_KEY", wrong)
        with pytest.raises(ArtifactError, match="the key in DARKMATTER_TEST_KEY has a space") as caught:
            read_key(settings("https://api.example.com/v1"))
        assert "sk-" not in str(caught.value)


def test_a_long_message_shows_no_part_of_the_key(tmp_path: Path) -> None:
    """Where the room for the message ends in the middle of the key."""
    with serving(in_turn(error(400, "x" * 234 + "sk-secret"))) as endpoint:
        answer = make_judge(endpoint.url, tmp_path).ask(QUESTION)
    assert answer == Unanswered("HTTP 400") and "sk" not in answer.said


def test_a_key_of_one_letter_is_no_secret(tmp_path: Path) -> None:
    with serving(in_turn(ANSWER)) as endpoint:
        assert Judge(settings(endpoint.url), "1", tmp_path).ask(QUESTION) == RIGHT


def test_sentences_of_errors() -> None:
    assert sentence("<html><style>a {}</style><h1>Bad\n gateway</h1>\x1b[31m</html>") == "Bad gateway [31m"
    assert sentence({"message": "a", "code": 1}) == "a"
    assert sentence({"detail": [{"msg": "b"}]}) == '[{"msg": "b"}]'
    assert len(shortened(sentence("x" * 1000))) == 240
    assert sentence(None) == ""
