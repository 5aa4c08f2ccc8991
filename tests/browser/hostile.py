"""Twelve texts that must stay text, planted as tokens, as domains and as names of SAEs in the committed artifacts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARK = "window.owned=1"  # what a payload that runs leaves behind
PAYLOADS = {
    "script": f"</script></style></title><script>{MARK}</script>",
    "img onerror": f'<img src=x onerror="{MARK}">',
    "svg onload": f"<svg onload={MARK}><a xlink:href='#'>",
    "attribute breakout": f"\"'` autofocus tabindex=0 onfocus={MARK} onmouseover='{MARK}' x=\"",
    "javascript link": f"javascript:{MARK}//</a><a href='javascript:{MARK}'>",
    "line separator": f"one\u2028{MARK}\u2029two",
    "bidi override": "\u202egpj.exe\u2066\u202c",
    "ANSI escape": "\x1b[31mred\x1b]8;;http://example.org\x07\x1b[0m\x9b2J",
    "NUL": "\0nul<b\0>",
    "Markdown link": f"[click](javascript:{MARK}) ![](http://example.org/x.png) **b** `c`",
    "CSV formula": '=HYPERLINK("http://example.org","click")',
    "lone surrogate": "low\udc80 high\ud800 end",
}
PLACES = ("token", "domain", "sae")
NODES = """() => {
    const counts = {};
    for (const node of document.querySelectorAll("*")) {
        const names = node.getAttributeNames().sort().join(" ");
        const key = `${node.tagName} ${names}`;
        counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
}"""
Texts = Mapping[str, list[str]]  # place → one text for each payload


def payloads() -> Texts:
    """Each ends with its place: 36 texts, no two alike."""
    return {place: [f"{text} {place}" for text in PAYLOADS.values()] for place in PLACES}


def harmless() -> Texts:
    """Plain words of the same lengths."""
    return {
        place: [f"{place}{number}".ljust(len(text), "x") for number, text in enumerate(texts)]
        for place, texts in payloads().items()
    }


def plant(reports: Path, texts: Texts) -> None:
    """Put the texts in place of tokens, domains and SAE names in every JSON file of a folder of reports.

    Tokens: the first of every list under `text`. SAE names: wherever the name stands, alone or inside a longer text.
    Domains: wherever one is named as such. JSON holds half a surrogate pair as an escape: only so can one come in.
    """
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in (reports / "results/decomposition").iterdir()]
    main = max(runs, key=lambda run: len(run["saes"]))
    names = [sae["name"] for sae in main["saes"]][: -len(PAYLOADS) - 1 : -1]
    shorten(reports)
    data = reports / "results/data.json"
    domains = add_domains(data, texts["domain"])
    for path in reports.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        for name, other in zip(names, texts["sae"], strict=True):
            text = text.replace(name, json.dumps(other)[1:-1])
        path.write_text(json.dumps(replaced(json.loads(text), texts["token"], domains)), encoding="utf-8")


def shorten(reports: Path) -> None:
    """Fewer claims and receipts: what they show of tokens, domains and SAEs repeats, and takes seconds to open."""
    claims = json.loads((reports / "claims.json").read_text(encoding="utf-8"))
    claims["claims"] = claims["claims"][:8]
    (reports / "claims.json").write_text(json.dumps(claims), encoding="utf-8")
    for path in (reports / "receipts").iterdir():
        if path.stem not in {"figures", "codes"}:
            path.unlink()


def add_domains(path: Path, texts: list[str]) -> dict[str, str]:
    """Give data.json a source and contexts for each text; returns which domain each text takes the place of."""
    data = json.loads(path.read_text(encoding="utf-8"))
    sources, counts = data["corpus"]["sources"], data["tokens"]["counts"].values()
    source = next(iter(sources.values()))
    domains = dict(zip(sorted({source["domain"] for source in sources.values()}), texts, strict=False))
    for number, text in enumerate(texts[len(domains) :]):
        sources[f"source{number}"] = source | {"domain": text}
    for side in counts:
        side |= dict.fromkeys(texts, 7)
    path.write_text(json.dumps(data), encoding="utf-8")
    return domains


def replaced(value: Any, tokens: list[str], domains: Mapping[str, str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: replaced(item, tokens, domains, name) for name, item in value.items()}
    if isinstance(value, list) and key == "text":
        return [*tokens, *value[len(tokens) :]]
    if isinstance(value, list):
        return [replaced(item, tokens, domains) for item in value]
    return domains.get(value, value) if key == "domain" else value
