"""Every stack, as its user meets it: a verdict in time, applied with its gain, and none where nothing is to be gained.

The rows are printed at the end; ``pytest tests/stacks --write-matrix`` puts them into docs/stacks.md.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from matrix import Row, walk
from stacks import STACKS, Stack

pytestmark = [pytest.mark.stacks, pytest.mark.timeout(1800)]
AT_ONCE = 2
"""Stacks under way at a time: most of each is waiting, for the samples' sake and for the step's."""


@pytest.fixture(scope="module")
def walks(request, tmp_path_factory):
    """Start all stacks that were selected, two at a time; each test waits for its own."""
    wanted = [item.callspec.params["stack"] for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            stack.id: pool.submit(walk, stack, tmp_path_factory.mktemp(stack.id))
            for stack in wanted
            if not stack.why_not()
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.id)
def test_a_stack_gets_its_verdict_its_gain_and_no_false_alarm(
    stack: Stack, walks: dict[str, Future[Row]], matrix_rows: list[Row]
) -> None:
    row = Row(title=stack.title, library=stack.library, reason=f"not run: {stack.why_not()}")
    try:
        if stack.why_not():
            pytest.skip(stack.why_not())
        row.version, row.reason = stack.version, "failed"
        row = walks[stack.id].result()
    except AssertionError as error:
        row.reason = f"failed: {str(error).splitlines()[0] if str(error) else 'see the output'}"
        raise
    finally:
        matrix_rows.append(row)


def test_every_target_belongs_to_a_stack() -> None:
    targets = {path.name for path in (Path(__file__).parent / "targets").glob("*.py")}
    assert targets - {"common.py", "cpu_torchvision.py", "no_loader.py"} == {stack.script for stack in STACKS}
