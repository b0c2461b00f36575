"""pytest plugin: ``gputune_check`` holds a loader or a script to requirements inside a project's own test suite.

    def test_the_loader_keeps_up(gputune_check):
        gputune_check("pkg.data:make_loader", "starvation < 5%", step_ms=40)

A failed requirement fails the test, an undecided one skips it with the reason. Checks wait for each other, also across
xdist workers: two at once would measure each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gputune.gate import Gated
    from gputune.script import Script

MARKER = "gputune"
LOCK_WAIT_S = 1800.0
"""Longer than any queue of checks; a check itself ends within its budget and the start of the script."""
_OPTIONS = {"require", "step_ms", "budget_s", "args"}


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(require=[...], step_ms=MS, budget_s=SECONDS, args=[...]): defaults of the gputune_check fixture",
    )


@pytest.fixture
def gputune_check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Gated]:
    """Return a function that checks a loader or a script; see :class:`Checker`."""
    marker = request.node.get_closest_marker(MARKER)
    defaults: dict[str, Any] = dict(marker.kwargs) if marker else {}
    if unknown := defaults.keys() - _OPTIONS:
        raise pytest.UsageError(f"@pytest.mark.{MARKER} takes {sorted(_OPTIONS)}, not {sorted(unknown)}")
    return Checker(tmp_path / "gputune", request.config.rootpath, defaults)


class Checker:
    """Checks one target after the other.

    Args:
        results_dir: where runs are kept.
        cwd: where targets run, and what ``package.module:name`` is imported from.
        defaults: from the marker.
    """

    def __init__(self, results_dir: Path, cwd: Path, defaults: dict[str, Any]) -> None:
        self._results_dir, self._cwd, self._defaults = results_dir, cwd, defaults

    def __call__(
        self,
        target: str | Path | Callable[[], Any],
        *require: str,
        step_ms: float | None = None,
        budget_s: float | None = None,
        args: Sequence[str] = (),
    ) -> Gated:
        """Measure a target and return its checks when all of them pass.

        Args:
            target: ``package.module:name``, a function of a module that makes a loader, or the path of a script.
            require: requirements such as ``starvation < 5%``.
            step_ms: simulated time of a step, for a loader.
            budget_s: stop undecided after this time (45).
            args: the script's own arguments.

        Raises:
            GputuneError: the target fails, or a requirement is none.
        """
        from gputune.errors import InconclusiveError
        from gputune.requirement import parse_all

        requirements = parse_all(require or self._defaults.get("require", ()))
        if not requirements:
            raise pytest.UsageError("gputune_check needs a requirement, for example 'starvation < 5%'")
        script = self._script(target, step_ms, args)
        budget = self._defaults.get("budget_s", 45.0) if budget_s is None else budget_s
        try:
            gated, said = self._check(script, requirements, budget)
        except InconclusiveError as error:
            pytest.skip(f"gputune: {error}")
        return _judged(gated, said)

    def _script(self, target: str | Path | Callable[[], Any], step_ms: float | None, args: Sequence[str]) -> Script:
        from gputune.loader_script import loader_script
        from gputune.script import parse

        if isinstance(target, Path) or (isinstance(target, str) and target.endswith(".py")):
            return parse([str(self._cwd / target), *(args or self._defaults.get("args", ()))], None)
        spec = target if isinstance(target, str) else _spec(target)
        return loader_script(spec, self._defaults.get("step_ms") if step_ms is None else step_ms)

    def _check(self, script: Script, requirements: Any, budget_s: float) -> tuple[Gated, str]:
        from gputune import baseline, gate, machine
        from gputune.checking import Request, check
        from gputune.report import check_lines

        request = Request(
            script=script,
            cwd=self._cwd,
            results_dir=self._results_dir,
            name=script.name,
            requirements=requirements,
            hardware=baseline.of_machine(machine.describe()),
            budget_s=budget_s,
            lock_wait_s=LOCK_WAIT_S,
        )
        run = check(request)
        gated = gate.evaluate(run, requirements)
        return gated, check_lines.render(run, gated, symbols=False)


def _judged(gated: Gated, said: str) -> Gated:
    from gputune.judging import Verdict

    if gated.verdict is Verdict.FAIL:
        pytest.fail(said.rstrip(), pytrace=False)
    if gated.verdict is Verdict.INCONCLUSIVE:
        pytest.skip(f"inconclusive: {said.splitlines()[-1]}")
    return gated


def _spec(function: Callable[[], Any]) -> str:
    """Return ``module:name`` of a function, which another process has to be able to import."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not module or not name or "<" in name:
        raise pytest.UsageError(f"{function!r} cannot be imported by its name; give a function of a module")
    return f"{module}:{name}"
