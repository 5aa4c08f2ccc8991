"""Parameters that cannot be run: each section refuses them before any work, and names the key."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from darkmatter.params.schema import complete, parse_params
from tests.faults.trial import Trial, never, try_read

GROUP = "parameters"
DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
HOSTILE_NAMES = ("../outside", "/etc/passwd", "a; touch x", "$(touch x)", "`touch x`", "a\nb", "a|b", "-rf", "a b", "")
NAMES: tuple[tuple[str | int, ...], ...] = (  # what DVC writes into a command or a path
    ("profile",),
    ("device",),
    ("figures", "main_hookpoint"),
    ("figures", "widths_group"),
    ("error_saes", "sae"),
    ("components", "parents", 0),
    ("model", "repo"),
    ("model", "wheels", 0, "package"),
    ("corpus", "sources", "books", "package"),
    ("corpus", "sources", "books", "domain"),
)
IMPOSSIBLE: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("tokens", "context_length"), 1),
    (("tokens", "first_position"), 1023),
    (("tokens", "eval_contexts"), 3),
    (("activations", "batch_contexts"), 0),
    (("hookpoints", "resid_post.14", "train_contexts"), 100_000),
    (("decomposition", "fit_share"), 1.0),
    (("decomposition", "fit_share"), float("nan")),
    (("decomposition", "folds"), 1),
    (("decomposition", "folds"), 101),
    (("decomposition", "eigen_cutoff"), -1.0),
    (("decomposition", "bootstrap", "level"), 95),
    (("decomposition", "bootstrap", "resamples"), 10),
    (("saes", "training", "learning_rate"), -0.001),
    (("saes", "training", "batch_size"), 0),
    (("saes", "groups", "widths", "k"), [9999]),
    (("saes", "groups", "widths", "train_tokens"), 0),
    (("pursuit", "contexts"), 101),
    (("random_features", "masked_shares"), [0.5, 0.1]),
    (("controls", "planted_shares"), [0, 1.5]),
    (("synthetic_noise", "noise_deviations"), [0, 1, 0.5]),
    (("corpus", "duplicate_share"), 2.0),
    (("figures", "font_size"), 0),
    (("model", "revision"), "main"),
    (("model", "sha256"), "0" * 63),
)


def trials(every: int = 1) -> Iterator[Trial]:
    """Every wrong value, or one of so many."""
    for fault, place, content in [*wrong_sections(), *wrong_names(), *impossible()][::every]:
        yield try_read(GROUP, fault, place, lambda content=content: parse_params(content), never, names=[place])


def changed(path: tuple[str | int, ...], value: Any) -> Any:
    content = copy.deepcopy(DEFAULT)
    section = content
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    return content


def wrong_sections() -> Iterator[tuple[str, str, Any]]:
    """A key with a slip of the pen, a section that is a text, a number that is a text, one that is missing."""
    for name, field in complete().model_fields.items():
        if not isinstance(DEFAULT[name], dict):
            continue
        yield "a section that is text", name, changed((name,), "all of it")
        key = next(iter(DEFAULT[name]))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield "an unknown key", f"{name}.{key}x", changed((name, f"{key}x"), DEFAULT[name][key])
            needed = next((own for own, part in field.annotation.model_fields.items() if part.is_required()), None)
            if needed:
                content = copy.deepcopy(DEFAULT)
                del content[name][needed]
                yield "a key missing", f"{name}.{needed}", content
        for own, value in DEFAULT[name].items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield "a number that is text", f"{name}.{own}", changed((name, own), "many")
                break


def wrong_names() -> Iterator[tuple[str, str, Any]]:
    for path in NAMES:
        place = ".".join(map(str, path))
        yield from (("a hostile name", place, changed(path, name)) for name in HOSTILE_NAMES)
    for name in HOSTILE_NAMES:
        for section in ("hookpoints", "corpus.sources", "saes.groups"):
            path = tuple(section.split("."))
            content = copy.deepcopy(DEFAULT)
            table = content
            for part in path:
                table = table[part]
            table[name] = table.pop(next(iter(table)))
            yield "a hostile name", section, content


def impossible() -> Iterator[tuple[str, str, Any]]:
    for path, value in IMPOSSIBLE:
        yield "an impossible value", path[-1], changed(path, value)
