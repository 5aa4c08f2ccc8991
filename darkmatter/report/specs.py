"""Vega-Lite specifications of the figures that show values under the pointer: plain dicts, with their data inside."""

from collections.abc import Callable, Mapping
from typing import Any

from darkmatter.figures.fig01_breakdown import band_edges
from darkmatter.figures.maps import PANELS
from darkmatter.figures.style import COMPONENTS
from darkmatter.report.numbers import digits, estimate_text

Content = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name, nothing is fetched


def spec_of(figure: str, data: Mapping[str, Any]) -> Content | None:
    """The specification of a figure; None for those without."""
    make = SPECS.get(figure)
    return make(data) if make else None


def log2(field: str, title: str) -> Content:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"type": "log", "base": 2, "nice": False, "padding": 24},
        "axis": {"grid": False, "labelOverlap": True, "format": "~d"},
    }


def map_spec(data: Mapping[str, Any]) -> Content:
    """Three panels over width × L0: a dot for each SAE, its value beside it, all of its values under the pointer."""
    rows = [
        {"sae": point["name"], "width": point["d_sae"], "l0": round(point["l0"], 2)}
        | {key: point[key]["value"] for key, *_ in PANELS}
        | {f"{key}_text": estimate_text(point[key]) for key, *_ in PANELS}
        for point in data["points"]
    ]
    tooltip = [
        {"field": "sae", "type": "nominal", "title": "SAE"},
        {"field": "width", "type": "quantitative", "title": "width", "format": ","},
        {"field": "l0", "type": "quantitative", "title": "L0"},
        *({"field": f"{key}_text", "type": "nominal", "title": title} for key, title, *_ in PANELS),
    ]
    widths, l0s = (sorted({row[name] for row in rows}) for name in ("width", "l0"))
    ticks = lambda values: [value for i, value in enumerate(values) if i == 0 or value > 1.15 * values[i - 1]]  # noqa: E731
    x, y = log2("width", "width d_sae"), log2("l0", "L0")
    x["axis"] |= {"values": widths}
    y["axis"] |= {"values": ticks(l0s)}
    panels = [
        {
            "title": title,
            "width": 215,
            "height": 200,
            "transform": [{"filter": f"isValid(datum.{key})"}],
            "encoding": {"x": x, "y": y, "tooltip": tooltip},
            "layer": [
                {
                    "mark": {"type": "circle", "size": 260, "opacity": 1, "stroke": "#999", "strokeWidth": 1.5},
                    "encoding": {
                        "color": {
                            "field": key,
                            "type": "quantitative",
                            "title": None,
                            "scale": scheme(colours),
                            "legend": {"gradientLength": 120, "tickCount": 4},
                        }
                    },
                },
                {
                    "mark": {"type": "text", "dy": -16, "fontSize": 11},
                    "encoding": {"text": {"field": key, "type": "quantitative", "format": f".{decimals}f"}},
                },
            ],
        }
        for key, title, colours, decimals in PANELS
    ]
    return framed(
        {"data": {"values": rows}, "concat": panels, "columns": 3, "resolve": {"scale": {"color": "independent"}}}
    )


def scheme(colours: str) -> Content:
    """Matplotlib's colour map under Vega's name."""
    return {"scheme": colours.removesuffix("_r"), "reverse": colours.endswith("_r"), "zero": False}


def breakdown_spec(data: Mapping[str, Any]) -> Content:
    """Fig. 1: its bands, the fitted curve, asymptote and line, and the measured points with their intervals."""
    series = {"FVU of Sae(x)": ("fvu", "error"), "FVU_nonlinear": ("fvu_nonlinear", "nonlinear")}
    points = [
        {"sae": sae["name"], "width": sae["d_sae"], "of": label, "text": estimate_text(sae[key])}
        | {"measured": measured}
        | {end: sae[key][end] for end in ("value", "low", "high")}
        for measured, saes in (("in the series", data["saes"]), ("with another training seed", data["other_seeds"]))
        for sae in saes
        for label, (key, _) in series.items()
        if sae[key]["value"] is not None
    ]
    widths, fitted = data["curve"]["d_sae"], data["curve"]["fvu"]
    curve = [
        {"width": width, "value": value, "of": "power law through FVU", "text": digits(value)}
        | {"beyond": width > data["widest"]}
        for width, value in zip(widths, fitted or [], strict=False)
    ]
    areas = [
        {"width": width, "low": low, "high": max(low, top), "of": name}
        for _, name, low, high in (band_edges(data) if fitted else [])
        for width, top in zip(widths, high.tolist(), strict=True)
    ]
    names = {name: COMPONENTS[component].colour for component, name, *_ in (band_edges(data) if fitted else [])}
    levels = [
        {"value": result[key], "of": label, "text": estimate_text(result | {"value": result[key]})}
        for result, key, label in (
            (data["power_law"], "asymptote", "asymptote of the power law"),
            (data["line"], "value", "mean FVU_nonlinear"),
        )
        if result[key] is not None
    ]
    looks = {label: component for label, (_, component) in series.items()}
    looks |= {
        "power law through FVU": "error",
        "asymptote of the power law": "absent",
        "mean FVU_nonlinear": "nonlinear",
    }
    shown = [label for label in looks if label in {item["of"] for item in (*points, *curve, *levels)}]
    colour = coloured(shown, [COMPONENTS[looks[label]].colour for label in shown])
    x = log2("width", "width d_sae (latents)")
    y = {"type": "quantitative", "title": "fraction of variance unexplained"}
    tip = [{"field": "of", "type": "nominal", "title": " "}, {"field": "text", "type": "nominal", "title": "value"}]
    at_width = [{"field": "width", "type": "quantitative", "title": "width", "format": ",.0f"}]
    of_sae = [{"field": "sae", "type": "nominal", "title": "SAE"}, {"field": "measured", "type": "nominal"}]
    no_legend = colour | {"legend": None}
    hollow = {"condition": {"test": "datum.measured === 'in the series'", "value": 1}, "value": 0}
    band = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": coloured([*names], [*names.values()])}
    line = {"x": x, "y": y | {"field": "value"}, "color": colour}
    return framed(
        {
            "width": 560,
            "height": 300,
            "resolve": {"scale": {"color": "independent"}},
            "layer": [
                {"data": {"values": areas}, "mark": {"type": "area", "opacity": 0.3}, "encoding": band},
                {
                    "resolve": {"scale": {"color": "shared"}},
                    "layer": [
                        layer(curve, {"type": "line", "strokeWidth": 2}, line, "!datum.beyond"),
                        layer(curve, {"type": "line", "strokeWidth": 2, "strokeDash": [2, 3]}, line, "datum.beyond"),
                        layer(
                            levels,
                            {"type": "rule", "strokeWidth": 2, "strokeDash": [6, 3]},
                            {key: line[key] for key in ("y", "color")},
                        ),
                        layer(
                            levels, {"type": "rule", "strokeWidth": 14, "opacity": 0}, {"y": line["y"], "tooltip": tip}
                        ),
                        layer(
                            curve,
                            {"type": "circle", "size": 160, "opacity": 0},
                            {"x": x, "y": line["y"], "tooltip": [*tip, *at_width]},
                        ),
                        layer(
                            points,
                            {"type": "rule"},
                            {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour},
                        ),
                        layer(
                            points,
                            {"type": "point", "size": 70, "filled": True, "opacity": 1},
                            line | {"fillOpacity": hollow, "stroke": no_legend, "tooltip": [*tip, *at_width, *of_sae]},
                        ),
                    ],
                },
            ],
        }
    )


def layer(rows: list[Content], mark: Content, encoding: Content, only: str | None = None) -> Content:
    chosen = {"transform": [{"filter": only}]} if only else {}
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding} | chosen


def coloured(names: list[str], colours: list[str]) -> Content:
    return {"field": "of", "type": "nominal", "title": None, "scale": {"domain": names, "range": colours}}


def framed(spec: Content) -> Content:
    """Without a background of its own; text and axes take the page's colours by its style sheet."""
    config = {
        "background": None,
        "view": {"stroke": None},
        "font": "system-ui, sans-serif",
        "axis": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"},
        "title": {"fontSize": 12, "fontWeight": "normal"},
        "legend": {"labelFontSize": 11, "labelLimit": 260},
    }
    return {"$schema": SCHEMA, "config": config} | spec


SPECS: dict[str, Callable[[Mapping[str, Any]], Content]] = {
    "fig01_breakdown": breakdown_spec,
    "fig02_maps": map_spec,
    "fig10_appendix_maps": map_spec,
    "fig11_appendix_maps": map_spec,
}
