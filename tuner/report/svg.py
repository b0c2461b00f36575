"""Small building blocks for inline SVG. Colours are CSS classes, so that themes and print share a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape


def number(value: float) -> str:
    """Return a coordinate with two decimals at most."""
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def tag(name: str, content: str = "", **attributes: object) -> str:
    """Return an element; ``class_`` becomes ``class``, underscores become dashes, floats are rounded."""
    parts = [name]
    for key, value in attributes.items():
        text = number(value) if isinstance(value, float) else escape(str(value))
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{text}"')
    return f"<{' '.join(parts)}>{content}</{name}>" if content else f"<{' '.join(parts)}/>"


def title(text: str) -> str:
    """Return a tooltip, also read by screen readers."""
    return f"<title>{escape(text)}</title>"


def text(x: float, y: float, content: str, *, anchor: str = "start", class_: str = "") -> str:
    """Return a line of text."""
    attributes = {"class_": class_} if class_ else {}
    return tag("text", escape(content), x=x, y=y, text_anchor=anchor, **attributes)


def figure(identity: str, name: str, description: str, width: int, height: float, parts: Iterable[str]) -> str:
    """Return a picture with a name and a description for those who cannot see it."""
    head = f'<title id="{identity}-t">{escape(name)}</title><desc id="{identity}-d">{escape(description)}</desc>'
    return (
        f'<svg id="{identity}" role="img" aria-labelledby="{identity}-t {identity}-d" '
        f'viewBox="0 0 {width} {number(height)}">{head}{"".join(parts)}</svg>'
    )


def ticks(top: float, count: int = 4) -> list[float]:
    """Return round numbers from 0 up to ``top``, about ``count`` of them."""
    if not top > 0 or not math.isfinite(top):
        return [0.0]
    raw = top / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= raw), 10 * power)
    return [index * step for index in range(math.floor(top / step + 1e-9) + 1)]
