"""One thread of arithmetic in every stage: its sums come out the same whatever the machine's cores.

OpenBLAS reads its variable when NumPy is imported, which is after this package and before anything else. Who started
the stage is written down here, too: that one may be killed while the libraries are imported (`die_with_parent`).
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["DARKMATTER_STARTED_BY"] = str(os.getppid())
