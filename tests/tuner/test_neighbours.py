"""What other processes cost a burst, and what is the script's own doing."""

from __future__ import annotations

import msgspec
import pytest
import run_factory as factory
from hypothesis import given
from hypothesis import strategies as st

from gputune import neighbours
from gputune.probes.burst import Burst, HostUse
from gputune.probes.settings import Settings


def burst(*, workers: int = 0, wait_s: float = 0.0, **host: float | None) -> Burst:
    made = factory.burst(Settings.make(num_workers=workers), step_s=0.1 - wait_s, wait_s=wait_s)
    values = {"cpu_cores": 0.0, "other_cpu_cores": 1.0, "queued_share": 0.2, "worker_queued_share": 0.4, **host}
    return msgspec.structs.replace(made, host=HostUse(**values))  # type: ignore[arg-type]


def test_without_workers_the_training_threads_standing_in_line_is_lost() -> None:
    assert neighbours.lost_share(burst()) == pytest.approx(0.2)


def test_where_the_loop_waits_for_data_the_workers_standing_in_line_counts() -> None:
    assert neighbours.lost_share(burst(workers=2, wait_s=0.0)) == pytest.approx(0.2, rel=0.02)
    assert neighbours.lost_share(burst(workers=2, wait_s=0.05)) == pytest.approx(0.3, rel=0.02)


def test_standing_in_line_behind_ones_own_processes_is_ones_own_doing() -> None:
    assert neighbours.lost_share(burst(cpu_cores=3.0)) == pytest.approx(0.05)
    assert neighbours.lost_share(burst(cpu_cores=2.0, other_cpu_cores=0.0)) == 0.0


@pytest.mark.parametrize("unknown", ["cpu_cores", "other_cpu_cores", "queued_share", "worker_queued_share"])
def test_what_is_not_counted_is_unknown_of_all_rounds(unknown: str) -> None:
    blind = burst(workers=2, **{unknown: None})
    assert neighbours.lost_share(blind) is None
    assert neighbours.lost_shares([burst(workers=2), blind]) == []


def test_a_neighbour_that_takes_nothing_from_the_script_does_not_disturb_it() -> None:
    assert not neighbours.disturbed(burst(other_cpu_cores=3.0, queued_share=0.01))
    assert neighbours.disturbed(burst(other_cpu_cores=3.0, queued_share=0.1))
    assert neighbours.disturbed(burst(other_cpu_cores=3.0, queued_share=None))
    assert not neighbours.disturbed(burst(other_cpu_cores=0.2, queued_share=None))


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 64.0), st.floats(0.0, 64.0))
def test_never_more_than_half_is_excused(main: float, workers: float, own: float, other: float) -> None:
    values = {"queued_share": main, "worker_queued_share": workers, "cpu_cores": own, "other_cpu_cores": other}
    lost = neighbours.lost_share(burst(workers=2, wait_s=0.05, **values))
    assert lost is not None
    assert 0.0 <= lost <= neighbours.MOST_LOST
    assert neighbours.undisturbed([100.0], [lost])[0] >= 100.0
