"""Numbers as people read them: no more digits than a short measurement supports."""

from __future__ import annotations

import math

WIDE = 0.10
"""Relative half-width of an interval from which a number is printed with a mark."""


def _figures(value: float, figures: int = 3) -> str:
    """Return a number with at most ``figures`` significant digits and no exponent."""
    if not math.isfinite(value):
        return "?"
    if value == 0:
        return "0"
    decimals = max(0, figures - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """Return ``61 %`` for 0.61; below one percent one decimal, and never a zero that is none."""
    value = share * 100
    if abs(value) >= 0.95 or value == 0:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if abs(value) >= 0.05 else "<0.1 %"


def times(factor: float, spread: float = 0.0) -> str:
    """Return ``2.60x``, or with fewer digits and a mark where the data do not support them: ``2.6x (! +-15 %)``.

    Args:
        factor: a ratio.
        spread: relative half-width of its interval; infinite where it is not known.
    """
    if math.isnan(spread) or spread > WIDE:
        digits = 1 if factor < 10 and spread < 0.5 else 0
        return f"{factor:.{digits}f}x (! {f'+-{percent(spread)}' if math.isfinite(spread) else 'spread unknown'})"
    return f"{factor:.2f}x" if factor < 10 else f"{factor:.1f}x"


def rate(samples_per_s: float) -> str:
    """Return ``812 samples/s``."""
    return f"{_figures(samples_per_s)} samples/s"


def plain_rate(samples_per_s: float) -> str:
    """Return ``812``."""
    return _figures(samples_per_s)


def approximate(count: float) -> str:
    """Return a large count with the two digits an extrapolation supports: ``120,000``."""
    if not math.isfinite(count):
        return "?"
    rounded = round(count, 1 - math.floor(math.log10(abs(count)))) if abs(count) >= 1 else count
    return f"{rounded:,.0f}"


def seconds(duration_s: float) -> str:
    """Return a duration in its natural unit: ``420 us``, ``8.4 ms``, ``3.2 s``, ``4 min``."""
    if not math.isfinite(duration_s):
        return "?"
    size = abs(duration_s)
    if size == 0:
        return "0 s"
    if size < 1e-3:
        return f"{_figures(duration_s * 1e6)} us"
    if size < 1:
        return f"{_figures(duration_s * 1e3)} ms"
    return f"{_figures(duration_s)} s" if size < 120 else f"{duration_s / 60:.0f} min"


def size(count: float) -> str:
    """Return bytes in binary units: ``4.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{_figures(count)} {unit}"
        count /= 1024
    return f"{_figures(count)} TiB"


def cores(count: float) -> str:
    """Return a number of cores: whole where it nearly is, else one decimal."""
    return f"{count:.0f}" if count >= 10 or abs(count - round(count)) < 0.05 else f"{count:.1f}"


def plural(count: int, noun: str) -> str:
    """Return ``1 worker`` or ``3 workers`` (``batch`` -> ``batches``)."""
    ending = "" if count == 1 else "es" if noun.endswith("ch") else "s"
    return f"{count} {noun}{ending}"


def known_size(count: int | None) -> str:
    """Return a size, or that it is not known."""
    return "unknown" if count is None else size(count)
