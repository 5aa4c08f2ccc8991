"""docs/errata.md from the ledger.

python -m darkmatter.report.errata_page     # writes it again; a test compares
"""

from pathlib import Path

from darkmatter.ledger.claims import CLAIMS, Erratum, Ledger, Passage, load_claims
from darkmatter.storage.artifacts import write_text

PAGE = Path("docs/errata.md")
HEAD = """<!-- Made from claims.yaml by `python -m darkmatter.report.errata_page`; not edited by hand. -->
# Errata

{count} places where the paper prints one thing twice and differently. We found them by reading; nothing here is
tested, and none of it counts among the claims. Section, figure and equation numbers are the paper's, quotes are without
the noise of converted formulas; `claims.yaml` has each byte for byte, with its place and SHA-256. What does not follow
from the paper's own formulas (lemmas, counts) is tested: see *Errata* in `reports/report.html`.
"""


def page(ledger: Ledger) -> str:
    return "\n".join([HEAD.format(count=len(ledger.errata)), *map(entry, ledger.errata)])


def entry(erratum: Erratum) -> str:
    here, there = side(erratum, erratum.says.here), side(erratum.against, erratum.says.there)
    return f"## {erratum.id}\n\n- {here}\n- {there}\n\n{erratum.why}\n"


def side(passage: Passage, says: str) -> str:
    return f"{place(passage.section)}: \u201c{passage.reads or passage.quote}\u201d, that is, {says}"


def place(section: str) -> str:
    return section if section.startswith(("Eq.", "Figure", "Abstract")) else f"Section {section}"


if __name__ == "__main__":
    write_text(PAGE, page(load_claims(CLAIMS)))
    print(PAGE)
