"""What jaxtyping's hook puts around every function of darkmatter in a test: arguments and results have the types, and
arrays the shapes and kinds of numbers, that their annotations say. pyproject.toml turns it on.

Of a long list it looks at one element. Processes that a test starts are not checked. A function inside a function is
checked the first times that the outer one defines it: its checks are compiled anew each time.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

CONF = BeartypeConf(is_pep484_tower=True)  # an int is a float, as every type checker takes it
CLOSURES = 20  # of one function inside a function
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


def check_local_functions_a_few_times() -> None:
    """Keep the hook from compiling for every closure. It looks `jaxtyped` up anew wherever a function is defined."""
    whole = jaxtyping.jaxtyped
    defined: Counter[Any] = Counter()

    def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
        check = whole(typechecker=typechecker)

        def decorate(code: Any) -> Any:
            if "<locals>" in getattr(code, "__qualname__", "") and hasattr(code, "__code__"):
                defined[code.__code__] += 1
                if defined[code.__code__] > CLOSURES:
                    return code
            return check(code)

        return decorate

    jaxtyping.jaxtyped = jaxtyped
