"""A chat endpoint on this machine that misbehaves as told, and latents with known firings to judge."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

Reply = tuple[int, dict[str, str], bytes]  # status, headers, body
Behaviour = Callable[[str, int], Reply]  # (prompt, number of the request) → reply
Gate = Callable[[dict[str, Any]], Reply | None]  # request → what a server says that does not take it


def completion(content: Any, finish: str = "stop", **message: Any) -> Reply:
    told = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "finish_reason": finish, "message": told}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return 200, {"content-type": "application/json"}, json.dumps(body).encode()


def refusal(status: int, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps({"error": {"message": "the key sk-secret is no good", "type": "error"}})
    return status, {"content-type": "application/json", **named}, body.encode()


def error(status: int, message: str, **fields: Any) -> Reply:
    """An error as OpenAI's servers word it; no waiting before the next request."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}
    return status, {"content-type": "application/json", "retry-after-ms": "1"}, json.dumps(body).encode()


def told(text: str, content_type: str = "text/html", status: int = 200) -> Reply:
    return status, {"content-type": content_type, "retry-after-ms": "1"}, text.encode()


def takes_only(**wanted: Callable[[Any], Reply | None]) -> Gate:
    """A gate from parameter → what is said to a request that holds it with this value."""

    def gate(request: dict[str, Any]) -> Reply | None:
        result = (say(request[name]) for name, say in wanted.items() if name in request)
        return next((reply for reply in result if reply), None)

    return gate


def reasons_first(tokens: int) -> Gate:
    """Writes nothing where it may not write so many tokens: it spends them on reasoning."""

    def gate(request: dict[str, Any]) -> Reply | None:
        allowed = request.get("max_tokens") or request.get("max_completion_tokens")
        return completion("", "length", reasoning_content="Let me see") if allowed < tokens else None

    return gate


def wrapped(behaviour: Behaviour, around: Callable[[str], Any]) -> Behaviour:
    """The same answers with something around their text."""

    def answer(prompt: str, number: int) -> Reply:
        body = json.loads(behaviour(prompt, number)[2])
        return completion(around(body["choices"][0]["message"]["content"]))

    return answer


def passages_of(prompt: str) -> list[str]:
    return json.loads(re.search(r"^\[\n.*?^\]$", prompt, re.S | re.M).group())


def right_judge(letter: str) -> Behaviour:
    """Explains by one letter and finds it everywhere it stands."""

    def answer(prompt: str, number: int) -> Reply:
        if "in common" in prompt:
            return completion(f"the letter {letter}")
        return completion(json.dumps([int(letter in passage) for passage in passages_of(prompt)]))

    return answer


def in_turn(*replies: Reply | Behaviour) -> Behaviour:
    """One reply after the other; the last goes on for ever."""

    def answer(prompt: str, number: int) -> Reply:
        reply = replies[min(number, len(replies) - 1)]
        return reply(prompt, number) if callable(reply) else reply

    return answer


def slow(seconds: float) -> Behaviour:
    def answer(prompt: str, number: int) -> Reply:
        time.sleep(seconds)
        return completion("late")

    return answer


class Endpoint(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behaviour: Behaviour, gate: Gate) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.gate = gate
        self.prompts: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.reply((404, {}, b"{}"))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = request["messages"][0]["content"]
        with self.server.lock:
            number = len(self.server.prompts)
            self.server.prompts.append(prompt)
            self.server.requests.append(request)
        self.reply(self.server.gate(request) or self.server.behaviour(prompt, number))

    def reply(self, reply: Reply) -> None:
        status, headers, body = reply
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def serving(behaviour: Behaviour, gate: Gate = lambda request: None) -> Iterator[Endpoint]:
    endpoint = Endpoint(behaviour, gate)
    threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield endpoint
    finally:
        endpoint.shutdown()
        endpoint.server_close()


def planted(contexts: int, positions: int, letters: str, first: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Random lower-case text as bytes, and codes in which latent i fires where letters[i] stands.

    Returns:
        tokens int32 [context, first + positions + 1]; codes with rows = contexts × positions.
    """
    random = np.random.default_rng(0)
    alphabet = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz    ", dtype=np.uint8)
    tokens = random.choice(alphabet, size=(contexts, first + positions + 1)).astype(np.int32)
    rows = tokens[:, first : first + positions].reshape(-1)
    index = np.tile(np.arange(len(letters), dtype=np.int32), (len(rows), 1))
    strength = random.uniform(0.1, 5, size=index.shape).astype(np.float32)
    value = np.where(rows[:, None] == np.frombuffer(letters.encode(), dtype=np.uint8), strength, 0).astype(np.float32)
    return tokens, {"index": np.where(value > 0, index, 0).astype(np.int32), "value": value}


class Letters:
    """A tokenizer of single bytes."""

    def decode(self, token_ids: list[int]) -> str:
        return bytes(token_ids).decode()
