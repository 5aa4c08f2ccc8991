"""What jaxtyping's hook puts around every function of darkmatter in a test: arguments and results have the types, and
arrays the shapes and kinds of numbers, that their annotations say. pyproject.toml turns it on.

Of a long list it looks at one element. Processes that a test starts are not checked, nor functions inside functions:
mypy reads those, and the checks around one would be compiled anew at every call of the outer.
"""

from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

CONF = BeartypeConf(is_pep484_tower=True)  # an int is a float, as every type checker takes it
UNCHECKED = (
    # They take rows for activations of [context, position, d_model]; to say so would change the key of every SAE.
    "darkmatter.models.activation_files.rows_of",
    "darkmatter.saes.training.training_rows.",
    # sae-lens makes a configuration from a dict as `metadata`, and puts the right type there afterwards.
    "darkmatter.experiments.architectures.skip_topk.SkipTopKSAEConfig",
)


def checked(code: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, checked at every call."""
    return code if f"{code.__module__}.{code.__qualname__}".startswith(UNCHECKED) else beartype(code, conf=CONF)


def leave_local_functions() -> None:
    """Let the hook pass over functions inside functions. It looks `jaxtyped` up anew wherever one is defined."""
    whole = jaxtyping.jaxtyped

    def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
        check = whole(typechecker=typechecker)
        return lambda code: code if "<locals>" in getattr(code, "__qualname__", "") else check(code)

    jaxtyping.jaxtyped = jaxtyped
