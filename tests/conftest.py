"""Fixtures of more than one file."""

from hub_case import hub  # noqa: F401
