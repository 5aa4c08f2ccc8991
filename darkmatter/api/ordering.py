"""The order of names with numbers in them."""

import re


def by_number(name: str) -> list[tuple[int, str]]:
    """shard_2 before shard_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
