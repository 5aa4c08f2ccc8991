"""What the tests of the report's page look for in it."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from darkmatter.figures import FIGURES

ROWS = "#claims table.all tbody tr[data-verdict]"
FILTERS = ("#filter-verdict", "#filter-analogue", "#filter-section", "#filter-text")
DRAWINGS = sum(not entry.is_table for entry in FIGURES)


def shown(page: Page) -> list[str]:
    """Ids of the claims that can be seen, in their order."""
    rows = page.eval_on_selector_all(ROWS, "rows => rows.filter(row => row.checkVisibility()).map(row => row.id)")
    return [row.removeprefix("claim-") for row in rows]


def drawings_seen(page: Page) -> int:
    """Drawings of figures that can be seen and have a size."""
    seen = "all => all.map(one => one.checkVisibility() && one.getBoundingClientRect().width > 100)"
    return sum(page.eval_on_selector_all("figure svg[role=img]", seen))


def seen(page: Page, *selectors: str) -> list[str]:
    """Those selectors of which at least one element can be seen."""
    return [selector for selector in selectors if page.locator(f"{selector}:visible").count()]


def claims_of(page: Page, report: Path) -> list[dict[str, Any]]:
    """Of claims.json; the verdict is `stale` where the page says so, which it does of results of other code."""
    claims = json.loads((report.parent / "smollm2/claims.json").read_text(encoding="utf-8"))["claims"]
    said = page.eval_on_selector_all(ROWS, "rows => Object.fromEntries(rows.map(row => [row.id, row.dataset.verdict]))")
    return [claim | ({"verdict": "stale"} if said[f"claim-{claim['id']}"] == "stale" else {}) for claim in claims]
