"""The table of docs/extending.md: what becomes of each key of a published SAE's configuration, by format.

python -m darkmatter.saes.published.document      # writes it again, between the two marks; a test compares
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from darkmatter.saes.published.formats import OPTIONS_OF
from darkmatter.saes.published.options import Option
from darkmatter.storage.artifacts import write_text
from darkmatter.storage.document_tables import lines, renewed

DOCUMENT = Path("docs/extending.md")
MARKS = ("<!-- options: python -m darkmatter.saes.published.document -->", "<!-- end of options -->")
USES = ("read", "no effect", "refused")
METADATA = "metadata."


def document(path: Path = DOCUMENT) -> str:
    """The document with the table as it is now."""
    return renewed(path, table(OPTIONS_OF), MARKS)


def table(tables: Mapping[str, Sequence[Option]]) -> str:
    """One row per format, use and reason."""
    rows = [row for format, options in tables.items() for row in rows_of(format, options)]
    return lines(["format", "keys", "", "why"], rows)


def rows_of(format: str, options: Sequence[Option]) -> list[list[str]]:
    """The keys of one use and reason in one row, in the order of the first of them; `metadata.x` goes without saying.

    The text before the table says that a key may stand under `metadata` too.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    facts = {(option.name, option.use, option.why) for option in options}
    for option in sorted(options, key=lambda option: USES.index(option.use)):
        if option.name.startswith(METADATA) and (option.name[len(METADATA) :], option.use, option.why) in facts:
            continue
        groups.setdefault((use_of(option), option.why), []).append(f"`{option.name}`")
    return [[format, ", ".join(names), use, why.replace("|", "\\|")] for (use, why), names in groups.items()]


def use_of(option: Option) -> str:
    """`refused`, and what is taken all the same."""
    allowed = ", ".join(f"`{value}`" for value in option.allowed)
    return f"{option.use}, but {allowed}" if allowed else option.use


if __name__ == "__main__":
    write_text(DOCUMENT, document())
    print(DOCUMENT)
