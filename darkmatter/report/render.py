"""From content to HTML: Jinja2 with autoescaping, so that token text, names and domains stay text."""

import json
import unicodedata
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from darkmatter.statistics.rounding import settled

FOLDER = Path(__file__).parent
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode categories: controls, formatting, surrogates, separators of lines


def render(content: dict[str, Any]) -> str:
    """The whole report as one HTML document that loads nothing.

    Raises:
        jinja2.UndefinedError: the content lacks something the template shows.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=escaped_controls,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "plain": plain_value, "megabytes": megabytes, "visible": visible}
    environment.filters["coded"] = coded
    style = (FOLDER / "report.css").read_text(encoding="utf-8") + content["colours"]
    script = (FOLDER / "report.js").read_text(encoding="utf-8")
    assets = {
        "style": Markup(style),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "policy": policy(style, script),
    }
    return environment.get_template("template.html").render(content | assets)


def policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: it runs and wears what it carries, by hash, and asks nobody for anything."""
    digest = lambda text: f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"  # noqa: E731
    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def number(value: float | None, digits: int = 3) -> str:
    """Fixed decimals with a true minus sign; an em dash for null."""
    return "—" if value is None else f"{settled(value):.{digits}f}".replace("-", "−")


def plain_value(value: Any) -> str:
    """A cell of a table, whether it is text, a number, an exact value or an estimate."""
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case {"exact": exact, "value": float(near)}:
            return str(exact) if exact == f"{near:g}" else f"{exact} ≈ {near:.4f}"
        case {"value": float(near), "low": float(low), "high": float(high)}:
            return f"{near:.4f} [{low:.4f}, {high:.4f}]"
        case {"value": None, "reason": reason}:
            return f"undefined: {reason}"
        case _:
            return str(value)


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def escaped_controls(value: Any) -> Any:
    """Text as it is, but for the characters that HTML drops, that UTF-8 lacks (half a surrogate pair) or that turn the
    writing direction: those are shown as JSON escapes, such as `\\u202e`. Lines may break."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    hidden = lambda char: char != "\n" and unicodedata.category(char) in UNSEEN  # noqa: E731
    return "".join(json.dumps(char)[1:-1] if hidden(char) else char for char in value)


def coded(text: str) -> Markup:
    """Text of the ledger, in which what stands between backticks is code; all of it escaped."""
    parts = escaped_controls(text).split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    code = Markup("<code>{}</code>")
    return Markup().join(code.format(part) if place % 2 else escape(part) for place, part in enumerate(parts))


def visible(text: str) -> str:
    """Token text as a JSON string: blanks and controls, and what would turn the writing direction, can be seen."""
    return "".join(
        char if char.isprintable() else json.dumps(char)[1:-1] for char in json.dumps(text, ensure_ascii=False)
    )
