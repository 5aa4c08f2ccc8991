"""What becomes of each key of an SAE's configuration: honoured, known to change nothing, or refused by name.

A key that nobody reads is a wrong number that looks fine: sae-lens itself has dropped some. So every reader lists the
keys that it knows, and what is not in its list is refused unless it is empty. The lists are docs/extending.md's table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from darkmatter.storage.artifacts import ArtifactError

TRANSCODER = "it is a transcoder: it predicts another activation than it reads, so x − Sae(x) means nothing"

Use = Literal["read", "no effect", "refused"]


@dataclass(frozen=True)
class Option:
    """One key of a configuration.

    Attributes:
        name: the key; of a nested one the path with dots, such as `metadata.hook_name`.
        use: `read`: the reader honours it. `no effect`: Sae(x) does not depend on it. `refused`: every value but those
            in `allowed` and an empty one (null, false, zero, "", [], {}).
        why: what it means, or why it has no effect or is refused; one clause.
        allowed: other values that are taken, because they change nothing.
    """

    name: str
    use: Use
    why: str
    allowed: tuple[Any, ...] = ()


def check_one_place(read: str | None, predicted: str | None, where: str) -> None:
    """Refuse what predicts another activation than it reads; a file that names no output has the input's.

    Raises:
        ArtifactError: names both, or says that the input is not named.
    """
    if read is None and predicted:
        raise ArtifactError(
            f"{where}: names the activation that it predicts, {predicted}, but not the one that it reads, so nothing "
            "says that it is no transcoder. Fetch the file again, or add the key to a copy"
        )
    if predicted and predicted != read:
        raise ArtifactError(f"{where}: reads {read} and predicts {predicted}: {TRANSCODER}.")


def alike(use: Literal["read", "no effect", "refused"], why: str, names: str) -> tuple[Option, ...]:
    """Several keys for one reason, with spaces between."""
    return tuple(Option(name, use, why) for name in names.split())


def check_options(config: Mapping[str, Any], options: Sequence[Option], where: str) -> None:
    """Refuse a configuration with a key that would be left out in silence.

    Raises:
        ArtifactError: names the key, its value and why it is refused.
    """
    known = {option.name: option for option in options}
    for name, value in flat(config, known).items():
        option = known.get(name)
        if option is not None and (option.use != "refused" or value in option.allowed):
            continue
        if not value:
            continue
        reason = option.why if option else "nothing here knows what it means"
        remedy = "" if option else ". If it does not change Sae(x), remove it from a copy of the configuration"
        raise ArtifactError(f"{where}: `{name}` is {value!r}: {reason}{remedy}")


def flat(config: Mapping[str, Any], known: Mapping[str, Option], prefix: str = "") -> dict[str, Any]:
    """The configuration with nested keys joined by dots, down to those that are known as a whole."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in known:
            result |= flat(value, known, f"{name}.")
        else:
            result[name] = value
    return result
