"""Numbers derived again under every kernel of BLAS that this CPU runs: the same exit code and the same text."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
# OPENBLAS_CORETYPE → the level of x86-64 that NumPy must find on this CPU; each adds in an order of its own
KERNELS = {"Sandybridge": "X86_V3", "Haswell": "X86_V3", "SkylakeX": "X86_V4"}
LIBRARIES = list((Path(np.__file__).parent.parent / "numpy.libs").glob("libscipy_openblas64_*"))
# Resamples of few SAEs repeat the data, and accuracies are shares of few windows: both tie with the estimate.
TIED = ("fvu-nl-l0", "fvu-nl-other-layers", "error-sae-interp")
DERIVE = """
import ctypes, sys
from darkmatter.cli import main

name = ctypes.CDLL(sys.argv[1]).scipy_openblas_get_corename64_
name.restype = ctypes.c_char_p
print(name().decode())
main(["audit", "derive", *sys.argv[2:]])
"""


def runs_here(kernel: str) -> bool:
    instructions = np.show_config(mode="dicts")["SIMD Extensions"]
    return bool(LIBRARIES) and KERNELS[kernel] in [*instructions.get("baseline", ()), *instructions.get("found", ())]


@cache
def derived(kernel: str) -> tuple[str, int, str]:
    """The kernel that NumPy names; exit code and output, without how many numbers are the same to the last bit."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    done = subprocess.run(
        [sys.executable, "-c", DERIVE, str(LIBRARIES[0]), *TIED],
        cwd=ROOT,
        env=own | {"OPENBLAS_CORETYPE": kernel, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    core, _, text = done.stdout.partition("\n")
    text = re.sub(r", \d+ of them within [\de.-]+", "", text)
    text = re.sub(r", \d+ to the last bit( and \d+ within [\de.-]+)?", "", text)
    text = re.sub(r"derived (-?[\d.e-]+)", lambda result: f"derived {float(result[1]):.9g}", text)
    assert "numbers derived again" in text, done.stderr
    return core, done.returncode, text


@pytest.mark.skipif(not runs_here("Haswell"), reason="no OpenBLAS in NumPy, or no AVX2")
@pytest.mark.parametrize("kernel", ["Sandybridge", "SkylakeX"])
def test_each_kernel_says_the_same(kernel: str) -> None:
    if not runs_here(kernel):
        pytest.skip(f"this CPU does not run {kernel}")
    core, *result = derived(kernel)
    assert core.casefold() == kernel.casefold()
    assert result == list(derived("Haswell")[1:])
