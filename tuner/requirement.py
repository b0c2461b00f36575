"""What a gate asks for: ``throughput >= 1200``, ``starvation < 5%``, ``max_regression = 5%``. Pure."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from enum import Enum

import msgspec

from gputune.errors import UsageError
from gputune.numbers import rate, seconds


class Kind(Enum):
    """What a metric counts, and with that which units it takes."""

    RATE = "a rate in samples/s"
    SHARE = "a share"
    DURATION = "a duration"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of what can be required."""

    name: str
    kind: Kind
    higher_is_better: bool
    summary: str
    absolute: bool = False
    """Means something on one kind of hardware only; shares of one run mean something everywhere."""

    def show(self, value: float) -> str:
        """Return a value with its unit, with the digits a limit may need."""
        if not math.isfinite(value):
            return "unknown"
        if self.kind is Kind.SHARE:
            return f"{value * 100:.1f} %"
        return seconds(value) if self.kind is Kind.DURATION else rate(value)


_TABLE = (
    Metric(name="throughput", kind=Kind.RATE, higher_is_better=True, absolute=True, summary="samples a second"),
    Metric(name="of_ceiling", kind=Kind.SHARE, higher_is_better=True, summary="throughput / throughput with free data"),
    Metric(name="starvation", kind=Kind.SHARE, higher_is_better=False, summary="1 - of_ceiling"),
    Metric(name="data_wait", kind=Kind.SHARE, higher_is_better=False, summary="step time blocked in the loader"),
    Metric(name="gpu_util", kind=Kind.SHARE, higher_is_better=True, summary="time in which a kernel ran (NVML)"),
    Metric(name="step_time", kind=Kind.DURATION, higher_is_better=False, absolute=True, summary="mean of a step"),
    Metric(name="step_p95", kind=Kind.DURATION, higher_is_better=False, absolute=True, summary="of 20 steps, 19"),
    Metric(name="copy_stall", kind=Kind.SHARE, higher_is_better=False, summary="wall time in copies to the device"),
    Metric(name="logging_stall", kind=Kind.SHARE, higher_is_better=False, summary="wall time in loggers"),
    Metric(name="checkpoint_stall", kind=Kind.SHARE, higher_is_better=False, summary="wall time in checkpoints"),
    Metric(name="validation_stall", kind=Kind.SHARE, higher_is_better=False, summary="wall time in validation"),
    Metric(name="epoch_stall", kind=Kind.SHARE, higher_is_better=False, summary="wall time in epoch ends"),
)  # fmt: skip
METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}
"""Every metric a gate can hold, by name."""
MAX_REGRESSION = "max_regression"
"""The one requirement that is about a baseline instead of a limit."""
DEFAULT_MAX_REGRESSION = 0.05
_EXAMPLES = {Kind.RATE: ">= 1200", Kind.SHARE: "< 5%", Kind.DURATION: "<= 120ms"}
_UNITS = {
    Kind.RATE: {"": 1.0, "/s": 1.0, "samples/s": 1.0},
    Kind.SHARE: {"": 1.0, "%": 0.01},
    Kind.DURATION: {"us": 1e-6, "ms": 1e-3, "s": 1.0},
}
_FORM = re.compile(
    r"\s*([A-Za-z_]\w*)\s*(>=|<=|==|=|>|<)\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([A-Za-z/%]*)\s*", re.I
)


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold. ``limit`` is in samples/s, a share of 1, or seconds."""

    name: str
    limit: float
    strict: bool = False
    """The limit itself does not count as kept (``<`` and ``>``)."""
    text: str = ""
    """As the user wrote it, blanks evened out."""

    @property
    def metric(self) -> Metric:
        """The row of the table; a regression is one of throughput."""
        return METRICS["throughput" if self.name == MAX_REGRESSION else self.name]


def parse_all(texts: Iterable[str]) -> list[Requirement]:
    """Parse requirements; a text may hold several, separated by commas.

    Raises:
        UsageError: see :func:`parse`; or two limits for one thing.
    """
    found: dict[str, Requirement] = {}
    for text in texts:
        for part in text.split(","):
            requirement = parse(part)
            if requirement.name in found:
                raise UsageError(
                    f"{requirement.name} is required twice: {found[requirement.name].text} and {requirement.text}",
                    "keep one of them",
                )
            found[requirement.name] = requirement
    return list(found.values())


def parse(text: str) -> Requirement:
    """Parse one requirement.

    Raises:
        UsageError: malformed, an unknown name, a unit that does not fit, or a limit on the wrong side.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{text.strip()!r} is no requirement", "write: NAME >= NUMBER, for example starvation < 5%")
    name, operator, number, unit = match.groups()
    if name != MAX_REGRESSION and name not in METRICS:
        raise UsageError(f"there is no metric {name!r} to require", _suggest(name))
    kind = Kind.SHARE if name == MAX_REGRESSION else METRICS[name].kind
    limit = _limit(name, kind, float(number), unit.lower())
    _check_side(name, operator)
    return Requirement(
        name=name,
        limit=limit,
        strict=operator in ("<", ">"),
        text=f"{name} {operator} {number}{' ' if unit[:1].isalpha() and kind is Kind.RATE else ''}{unit}",
    )


def _limit(name: str, kind: Kind, number: float, unit: str) -> float:
    units = _UNITS[kind]
    if unit not in units:
        wrong = f"no unit {unit!r}" if unit else "a number without unit"
        takes = ", ".join(repr(known) for known in units if known)
        raise UsageError(f"{name} is {kind.value}: it takes {takes}, {wrong}", _example(name, kind))
    limit = number * units[unit]
    if not math.isfinite(limit):
        raise UsageError(f"{name}: {number:g} is no finite limit", _example(name, kind))
    if kind is Kind.SHARE and limit > 1:
        raise UsageError(f"{name} is a share: {number:g}{unit} is above 100 %", f"write {number:g}% or a part of 1")
    return limit


def _check_side(name: str, operator: str) -> None:
    if name == MAX_REGRESSION:
        if operator in (">", ">="):
            raise UsageError(f"{name} {operator}: a regression is limited from above", f"write: {name} = 5%")
        return
    metric = METRICS[name]
    if operator in ("=", "=="):
        raise UsageError(f"{name} {operator}: a measured number never equals a limit", _example(name, metric.kind))
    if (operator[0] == ">") != metric.higher_is_better:
        better = "higher" if metric.higher_is_better else "lower"
        right = ">=" if metric.higher_is_better else "<="
        raise UsageError(f"{name} {operator}: {better} is better, so a limit is {right}", f"write: {name} {right} ...")


def _example(name: str, kind: Kind) -> str:
    if name == MAX_REGRESSION:
        return f"example: {name} = 5%"
    higher = METRICS[name].higher_is_better
    return f"example: {name} {'>= 80%' if higher and kind is Kind.SHARE else _EXAMPLES[kind]}"


def _suggest(name: str) -> str:
    known = [*METRICS, MAX_REGRESSION]
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"metrics: {', '.join(known)}"
