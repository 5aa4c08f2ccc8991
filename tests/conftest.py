"""One thread of arithmetic in every test, as in every stage; fixtures of more than one file."""

import stages  # noqa: F401, I001 - before NumPy and torch, which read its variables when they are imported
from hub_case import hub  # noqa: F401
