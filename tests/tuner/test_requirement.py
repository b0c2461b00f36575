"""Requirements are read exactly or refused with the next step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gputune.errors import UsageError
from gputune.requirement import METRICS, Kind, parse, parse_all

UNITS = {Kind.RATE: [("", 1.0), (" samples/s", 1.0)], Kind.SHARE: [("", 1.0), ("%", 0.01), (" %", 0.01)],
         Kind.DURATION: [("ms", 1e-3), ("s", 1.0), (" us", 1e-6)]}  # fmt: skip


@given(st.sampled_from(sorted(METRICS)), st.integers(0, 100), st.booleans(), st.data())
def test_every_metric_takes_its_own_units(name: str, part: int, strict: bool, data: st.DataObject) -> None:
    metric = METRICS[name]
    unit, factor = data.draw(st.sampled_from(UNITS[metric.kind]))
    number = part / 100 if metric.kind is Kind.SHARE and not unit else part
    operator = (">" if metric.higher_is_better else "<") + ("" if strict else "=")
    found = parse(f" {name}{operator} {number}{unit}")
    assert found.name == name
    assert found.limit == pytest.approx(number * factor)
    assert found.strict is strict
    assert parse(found.text) == found


@given(st.text(max_size=40))
def test_any_text_is_a_requirement_or_one_clear_line(text: str) -> None:
    try:
        said = parse(text).name
    except UsageError as error:
        said = error.hint
    assert said  # the name of a metric, or the next step


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("starvaton < 5%", "no metric 'starvaton'", "did you mean starvation?"),
        ("max_regresion = 5%", "no metric 'max_regresion'", "did you mean max_regression?"),
        ("bananas < 5%", "no metric 'bananas'", "metrics: throughput, of_ceiling"),
        ("throughput >= 120ms", "throughput is a rate in samples/s", "throughput >= 1200"),
        ("throughput >= 80%", "no unit '%'", "throughput >= 1200"),
        ("step_p95 <= 120", "a number without unit", "step_p95 <= 120ms"),
        ("step_p95 <= 5%", "step_p95 is a duration", "step_p95 <= 120ms"),
        ("starvation < 5ms", "starvation is a share", "starvation < 5%"),
        ("starvation < 5", "above 100 %", "write 5%"),
        ("starvation >= 5%", "lower is better", "starvation <="),
        ("gpu_util <= 80%", "higher is better", "gpu_util >="),
        ("throughput = 1200", "never equals", "throughput >= 1200"),
        ("max_regression > 5%", "limited from above", "max_regression = 5%"),
        ("starvation", "'starvation' is no requirement", "NAME >= NUMBER"),
        ("throughput >= nan", "is no requirement", "NAME >= NUMBER"),
        ("throughput >= 1e999", "no finite limit", "throughput >= 1200"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_next_step(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_several_requirements_fit_on_one_line_but_not_twice_the_same() -> None:
    assert [found.name for found in parse_all(["starvation < 5%, of_ceiling >= 0.9", "step_p95<=120ms"])] == [
        "starvation", "of_ceiling", "step_p95",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="starvation is required twice"):
        parse_all(["starvation < 5%", "starvation < 6%"])
