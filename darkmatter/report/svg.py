"""Drawings inside the page: matplotlib's SVG, read strictly and written again as markup that takes the page's colours.

Only elements and attributes that draw pass, so that no file can bring a script, a link or a style sheet with it. Each
colour becomes a variable of the style sheet, which has another value in the dark; text on the colours of a map keeps
its own. The outlines of letters, the same in every figure, stand once in the page. Where a figure names its marks
(`values-LIST-KEY`), each says its number under the pointer.
"""

import colorsys
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any
from xml.etree import ElementTree

from darkmatter.figures.style import ON_DARK, ON_LIGHT, PALETTE
from darkmatter.report.numbers import estimate_text
from darkmatter.report.render import escaped_controls
from darkmatter.storage.artifacts import ArtifactError

Content = Mapping[str, Any]

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
LEFT_OUT = {"metadata", "style", "title"}  # the page says these itself
ELEMENTS = {"svg", "g", "defs", "path", "use", "rect", "clipPath", "image"}
GEOMETRY = {"d", "x", "y", "width", "height", "transform", "clip-path", "id"}
LOOK = {
    *("fill", "fill-opacity", "opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray"),
    *("stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "image-rendering"),
}
GLYPH = re.compile(r"DejaVu\w*-[\w-]+")
COLOUR = re.compile(r"#[0-9a-f]{6}")
REFERENCE = re.compile(r"url\(#([\w-]+)\)")
LOCAL = re.compile(r"#([\w-]+)")
PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]+")
DEFAULT = "#000000"  # of what has no colour of its own
GROUND = 0x15  # grey of the dark page, nearly
BRIGHT = 0xE6  # grey of its text
CONTRAST = 3.0  # of a line or mark against the page, as WCAG asks of graphics
HIT = 6.0  # points; a finger's share of a mark


class Drawings:
    """The figures of one page, and what they share.

    Attributes:
        glyphs: outline of each letter that some figure shows, by id.
        colours: of all figures, whether areas or lines → the variable that holds it.
    """

    def __init__(self) -> None:
        self.glyphs: dict[str, str] = {}
        self.colours: dict[tuple[str, bool], str] = {}

    def add(self, figure: str, text: str, data: Content, label: str) -> str:
        """One figure as markup.

        Args:
            figure: its id, which stands before each id inside it.
            text: the SVG file.
            data: the numbers beside it.
            label: what it shows, for those who do not see it.

        Raises:
            ArtifactError: the file holds something that does not draw.
        """
        root = ElementTree.fromstring(text)  # noqa: S314 - our own file; expat expands no outside entity
        box = root.get("viewBox", "")
        if root.tag != f"{SVG}svg" or not re.fullmatch(r"[\d. -]+", box):
            raise ArtifactError(f"{figure}.svg is no drawing with a viewBox. Run `dvc repro figures`.")
        inside = "".join(self.written(child, figure, data) for child in root)
        ink = self.colour(DEFAULT, area=False)
        return (
            f'<svg viewBox="{box}" role="img" aria-label="{escape(label)}" fill="{ink}" '
            f'stroke-linejoin="round">{inside}</svg>'
        )

    def written(
        self,
        element: ElementTree.Element,
        figure: str,
        data: Content,
        says: Iterator[str] | None = None,
    ) -> str:
        """An element with all that is in it.

        Args:
            says: what the marks in it say, each in its turn.
        """
        name = element.tag.removeprefix(SVG)
        if name in LEFT_OUT:
            return ""
        if name not in ELEMENTS:
            raise ArtifactError(f"{figure}.svg has an element {name!r}, which draws nothing. Run `dvc repro figures`.")
        identity = element.get("id", "")
        if name == "path" and GLYPH.fullmatch(identity):
            self.glyphs[identity] = f"<path{self.attributes(element, figure, keep_id=True)}/>"
            return ""
        if name == "g" and identity.startswith("values-"):
            says = marks_say(identity, data)
        inside = "".join(self.written(child, figure, data, says) for child in element)
        defines = name in {"clipPath", "path"} and bool(identity)
        shown = f"<{name}{self.attributes(element, figure, defines)}"
        shown += f">{inside}</{name}>" if inside else "/>"
        if name == "use" and says is not None and (word := next(says, None)):
            at = f'cx="{float(element.get("x", 0)):g}" cy="{float(element.get("y", 0)):g}"'
            return (
                f'<g class="says"><title>{escape(escaped_controls(word))}</title>{shown}<circle {at} r="{HIT:g}"/></g>'
            )
        return "" if name in {"g", "defs"} and not inside else shown

    def attributes(self, element: ElementTree.Element, figure: str, keep_id: bool = False) -> str:
        """The attributes that draw, with colours as variables and references to this figure's own ids."""
        given = {key: value for key, value in element.attrib.items() if key not in {"style", HREF}}
        given |= dict(part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
        result = []
        for key, value in ((key.strip(), value.strip()) for key, value in given.items()):
            if key not in GEOMETRY | LOOK:
                raise ArtifactError(f"{figure}.svg has an attribute {key!r}, which draws nothing.")
            if key == "id":
                value = self.own(value, figure) if keep_id else None
            elif COLOUR.fullmatch(value.lower()):
                value = self.colour(value.lower(), area=key == "fill" and element.tag == f"{SVG}path")
            elif match := REFERENCE.fullmatch(value):
                value = f"url(#{self.own(match[1], figure)})"
            elif "url" in value.lower():
                raise ArtifactError(f"{figure}.svg points at {value[:60]!r}, outside of itself.")
            if value is not None:
                result.append(f' {key}="{escape(value)}"')
        if (target := element.get(HREF)) is not None:
            result.append(f' href="{escape(self.target(target, figure))}"')
        return "".join(result)

    def target(self, target: str, figure: str) -> str:
        if match := LOCAL.fullmatch(target):
            return f"#{self.own(match[1], figure)}"
        if PICTURE.fullmatch(target):
            return "".join(target.split())
        raise ArtifactError(f"{figure}.svg points at {target[:60]!r}, outside of itself.")

    def own(self, identity: str, figure: str) -> str:
        """An id that no other figure has; letters are shared."""
        return identity if GLYPH.fullmatch(identity) else f"{figure}-{identity}"

    def colour(self, value: str, area: bool) -> str:
        if value in (ON_DARK, ON_LIGHT):
            return value
        if value == PALETTE["ground"]:
            return "var(--paper)"
        name = f"--{'area' if area else 'line'}-{value[1:]}"
        self.colours[value, area] = name
        return f"var({name})"

    @property
    def letters(self) -> str:
        """The outlines that all figures use."""
        return f'<svg class="letters" aria-hidden="true"><defs>{"".join(self.glyphs.values())}</defs></svg>'

    @property
    def style(self) -> str:
        """The variables of all colours, in the light and in the dark."""
        light = "".join(f"{name}:{value};" for (value, _), name in self.colours.items())
        dark = "".join(f"{name}:{darkened(value, area)};" for (value, area), name in self.colours.items())
        return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"


def marks_say(identity: str, data: Content) -> Iterator[str]:
    """What each mark of a group says: the rows of a list in the figure's numbers that have a value, in their order.

    Args:
        identity: `values-LIST-KEY`, or `values-LIST-KEY-N` where a figure shows it more than once.
    """
    _, rows, key, *_ = identity.split("-")
    return iter([f"{row['name']}: {estimate_text(row[key])}" for row in data[rows] if row[key]["value"] is not None])


def darkened(value: str, area: bool) -> str:
    """A colour's counterpart on a dark page.

    Greys turn round, so that white is the page and black its text. A line or mark becomes as light as it must be to be
    seen. A coloured area keeps its colour, which may be a place on a scale.
    """
    red, green, blue = (int(value[at : at + 2], 16) / 255 for at in (1, 3, 5))
    if max(red, green, blue) - min(red, green, blue) < 0.02:
        return "#" + 3 * f"{round(BRIGHT + (GROUND - BRIGHT) * red):02x}"
    hue, light, strength = colorsys.rgb_to_hls(red, green, blue)
    ground = luminance(*(3 * [GROUND / 255]))
    while not area and light < 1 and (luminance(red, green, blue) + 0.05) / (ground + 0.05) < CONTRAST:
        light = min(light + 0.02, 1.0)
        red, green, blue = colorsys.hls_to_rgb(hue, light, strength)
    return "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue))


def luminance(red: float, green: float, blue: float) -> float:
    """Relative luminance of an sRGB colour, as WCAG defines it."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
