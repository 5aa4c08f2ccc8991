"""The key of a chat endpoint: from the environment, never from a file of parameters and never into one of results."""

import os
from urllib.parse import SplitResult, urlsplit

from darkmatter.experiments.interpretability.params import Interpretability
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError

LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
NO_KEY = "none"  # local servers want the header, not the key
SECRET = 8  # letters: a shorter key, as people give their own servers, is no secret but may well be part of an answer


def read_key(settings: Interpretability) -> str:
    """The key from the environment; a placeholder for a server on this machine.

    Raises:
        ParamsError: the endpoint is no http(s) address, holds a password, or `max_dollars` has no prices to go by.
        ArtifactError: the key is missing, or is none.
    """
    address = split(settings.endpoint)
    if address is None or address.scheme not in {"http", "https"} or not address.hostname:
        raise ParamsError(f"interpretability.endpoint is {settings.endpoint!r}, not an http or https address")
    if address.username or address.password or address.query:
        raise ParamsError(
            "interpretability.endpoint holds a password or a query. Results name the endpoint: put the key into the "
            f"environment variable {settings.key_variable} instead."
        )
    if settings.max_dollars is not None and settings.dollars_per_million_tokens is None:
        raise ParamsError("interpretability.max_dollars needs dollars_per_million_tokens: [prompt, completion]")
    if key := os.environ.get(settings.key_variable, "").strip():
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ArtifactError(
                f"the key in {settings.key_variable} has a space, a line end or a letter beyond ASCII in it, which no "
                "header takes. Set the variable to the key alone."
            )
        return key
    if address.hostname in LOCAL_HOSTS:
        return NO_KEY
    raise ArtifactError(
        f"the environment variable {settings.key_variable} is not set, which {settings.endpoint} needs as its key. Set "
        "it, or set interpretability.endpoint to null for the offline surrogate."
    )


def split(endpoint: str | None) -> SplitResult | None:
    """The parts of an address; None where it has none, such as one with letters for a port."""
    try:
        address = urlsplit(endpoint or "")
        return address if address.port is None or address.port else None
    except ValueError:
        return None


def hide(key: str, text: str) -> str:
    """A text without the key: servers quote what they are sent."""
    return text.replace(key, "…") if len(key) >= SECRET else text
