"""Figures and data inside the page: no file beside it, no request to a network."""

import base64
import re
from pathlib import Path

from robust_transfer.figures.style import THEME

#: Beyond this a vector figure goes in as pixels, so that the page stays light.
MOST_SVG_BYTES = 600_000
#: Beyond this a table is not carried inside the page.
MOST_CSV_BYTES = 120_000
_VARIABLE = {light: f"var(--{name})" for name, (light, _) in THEME.items()}


def inline_svg(text: str, name: str, label: str) -> str:
    """Turn an SVG file into an element of the page.

    Args:
        text: the file's content.
        name: of the figure; it makes ids unique in the page.
        label: what a screen reader says.

    Returns:
        The element: without metadata and fixed size, its colours those of the page's theme.
    """
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<metadata>.*?</metadata>|<style type=\"text/css\">.*?</style>", "", text, flags=re.S
    )
    text = re.sub(r"\sxmlns(:\w+)?=\"[^\"]*\"", "", text).replace("xlink:href", "href")
    head, body = text.split(">", 1)
    box = re.search(r"viewBox=\"([^\"]*)\"", head)
    size = box.group(1) if box else "0 0 100 100"
    width = float(size.split()[2])
    body = re.sub(r"\bid=\"", f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r"href=\"#", f'href="#{name}-', body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda m: _VARIABLE.get(m.group(0), m.group(0)), body)
    return (
        f'<svg viewBox="{size}" role="img" aria-label="{label}" '
        f'style="--width:{width:.0f}px">{body.strip()}'
    )


def inline_figure(folder: str | Path, name: str, label: str) -> str:
    """Return a figure as an element: vector, or pixels where the vector file is large."""
    vector = Path(folder) / f"{name}.svg"
    if vector.stat().st_size <= MOST_SVG_BYTES:
        return inline_svg(vector.read_text(encoding="utf-8"), name, label)
    pixels = base64.b64encode(vector.with_suffix(".png").read_bytes()).decode()
    return f'<img class="pixels" alt="{label}" src="data:image/png;base64,{pixels}">'


def csv_link(path: str | Path) -> str | None:
    """Return a link that holds the file itself; None where the file is large."""
    data = Path(path).read_bytes()
    if len(data) > MOST_CSV_BYTES:
        return None
    return "data:text/csv;base64," + base64.b64encode(data).decode()
