"""Floats that differ by the order of their sums alone are one number: what is said of them must not depend on it.

Each kernel of BLAS adds in an order of its own (AVX2, AVX-512, …), so that the same sums give the same numbers to
about 1e-15 and no further. Verdicts and texts compare and print numbers by these rules, and come out the same on every
machine.
"""

import math

RELATIVE = 1e-9
ABSOLUTE = 1e-12  # beside 0; on R², FVU, accuracies, slopes
DIGITS = 12  # significant, of a number that is printed with fewer


def same(one: float, other: float) -> bool:
    """Whether two numbers differ by rounding at most."""
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def less(one: float, other: float) -> bool:
    """Whether the first is less than the second by more than rounding."""
    return bool(one < other and not same(one, other))  # of NumPy's numbers the answer is NumPy's bool


def settled(value: float) -> float:
    """The number to print: 0.1125 and 0.11249999999999999 end in the same digits."""
    return float(f"{value:.{DIGITS}g}")
