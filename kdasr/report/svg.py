"""matplotlib's pictures as parts of a page: they take its font, its colours by day and by night, and no id of another.

matplotlib writes colours into its SVG; here each colour of PALETTE becomes a variable of the page's style sheet, and
FOREGROUND the colour of the text around the picture.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart without colour vision. Yellow is left out, as it cannot be seen on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FOREGROUND = "#010203"  # stands for currentColor
MARKERS = "osD^vPXph*"
SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}href"


def colour(number: int) -> str:
    """The colour of the label of that number; the first, the teacher as a rule, has the text's."""
    return FOREGROUND if number == 0 else PALETTE[(number - 1) % len(PALETTE)]


def marker(number: int) -> str:
    """Its shape: with the colour, a teacher and 60 labels are told apart."""
    return MARKERS[(number + max(0, number - 1) // 30) % len(MARKERS)]


def glyph(number: int) -> str:
    """A label's shape in its colour, for tables and legends: an svg element of 1 em."""
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker(number))
    outline = style.get_path().transformed(style.get_transform())
    letters = {1: "M", 2: "L", 3: "Q", 4: "C"}
    parts = []
    for points, code in outline.iter_segments(simplify=False):
        # upside down: y grows downwards in SVG
        pairs = " ".join(f"{x:.2f} {-y:.2f}" for x, y in zip(points[::2], points[1::2], strict=True))
        parts.append("Z" if code == 79 else f"{letters[int(code)]}{pairs}")
    return (
        f'<svg class="glyph" viewBox="-.85 -.85 1.7 1.7" aria-hidden="true"><path d="{"".join(parts)}" '
        f'style="fill:{themed(colour(number))};stroke:currentColor;stroke-width:.08"/></svg>'
    )


def themed(text: str) -> str:
    """Colours of PALETTE as variables, FOREGROUND as currentColor."""
    for place, value in enumerate(PALETTE, 1):
        text = text.replace(value, f"var(--c{place})")
    return text.replace(FOREGROUND, "currentColor")


def inline(figure: Figure, prefix: str, described: str, titles: Mapping[str, str]) -> str:
    """A figure as an svg element.

    Args:
        figure: drawn.
        prefix: makes its ids its own on the page.
        described: what it shows, for those who do not see it.
        titles: by gid of a part of the figure, what is said of it under the pointer. A gid `series-NUMBER-...` says
            which label's it is: it becomes data-series="NUMBER".
    """
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's font draws the text, not matplotlib's
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(stream.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith("}metadata"):
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", " ".join(value for one in root.iter() for value in one.attrib.values())))
    for one in root.iter():
        name = one.get("id")
        if name in titles:
            title = ET.Element(f"{{{SVG}}}title")
            title.text = titles[name]
            one.insert(0, title)
            if name.startswith("series-"):
                one.set("data-series", name.split("-")[1])
        if name in used:
            one.set("id", f"{prefix}{name}")
        elif name is not None:
            del one.attrib["id"]
        for key in (XLINK, "clip-path"):
            if key in one.attrib:
                one.set(key, one.attrib[key].replace("#", f"#{prefix}"))
        if "style" in one.attrib:
            one.set("style", themed(_page_font(one.attrib["style"])))
    for key in ("width", "height"):
        root.attrib.pop(key, None)  # the page decides; viewBox has the proportions
    root.set("role", "img")
    root.set("aria-label", described)
    return ET.tostring(root, encoding="unicode")


def _page_font(style: str) -> str:
    """A text's style with the page's font."""
    return re.sub(r"font-family: [^;]*;? ?", "", re.sub(r"font: ([\d.]+px) [^;]*", r"font-size: \1", style))
