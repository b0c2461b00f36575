import pytest
from hypothesis import given
from hypothesis import strategies as st

from gputune.probes.burst import GpuUse, HostUse
from gputune.probes.gpu.interface import Reading
from gputune.probes.timeline import Tick, gpu_use, host_use, series


def tick(time_s: float, **values: object) -> Tick:
    return Tick(time_s=time_s, **values)  # type: ignore[arg-type]


def reading(time_s: float, **values: object) -> Tick:
    return Tick(time_s=time_s, gpu=Reading(time_s=time_s, **values))  # type: ignore[arg-type]


def test_a_window_between_ticks_is_interpolated() -> None:
    ticks = [tick(0, tree_cpu_s=0.0), tick(2, tree_cpu_s=4.0), tick(4, tree_cpu_s=4.0)]
    assert host_use(ticks, 1.0, 2.0).cpu_cores == pytest.approx(2.0)
    assert host_use(ticks, 1.0, 3.0).cpu_cores == pytest.approx(1.0)


def test_other_cpu_is_what_neither_the_tree_nor_we_used() -> None:
    ticks = [
        tick(0, tree_cpu_s=0.0, own_cpu_s=0.0, busy_s=0.0),
        tick(10, tree_cpu_s=20.0, own_cpu_s=1.0, busy_s=36.0),
    ]
    assert host_use(ticks, 0, 10).other_cpu_cores == pytest.approx(1.5)
    rounding = [tick(0, tree_cpu_s=0.0, busy_s=0.0), tick(10, tree_cpu_s=2.0, busy_s=1.9)]
    assert host_use(rounding, 0, 10).other_cpu_cores == 0.0


def test_standing_in_line_for_a_cpu_is_told_for_the_training_thread_and_its_workers() -> None:
    ticks = [
        tick(0, main_queued_s={1: 5.0}, workers_queued_s={2: 0.0, 3: 7.0}),
        tick(5, main_queued_s={1: 5.5}, workers_queued_s={2: 2.0, 3: 7.0}),
        tick(10, main_queued_s={1: 6.0}, workers_queued_s={3: 7.0, 4: 9.9}),
    ]
    use = host_use(ticks, 0, 10)
    assert use.queued_share == pytest.approx(0.1)
    assert use.worker_queued_share == pytest.approx(0.2)  # 2 s of the 5 s worker 2 was seen; worker 3 never; 4: new
    unknown = host_use([tick(0), tick(10)], 0, 10)  # a kernel that does not count it
    assert unknown.queued_share is unknown.worker_queued_share is None


def test_memory_is_the_largest_and_reads_are_the_sum() -> None:
    ticks = [tick(t, tree_cpu_s=0.0, rss_bytes=rss, read_bytes=100 * t) for t, rss in enumerate([5, 9, 7, 50])]
    use = host_use(ticks, 0.0, 2.0)
    assert (use.rss_bytes, use.read_bytes) == (9, 200)


def test_a_window_mostly_unwatched_claims_nothing() -> None:
    ticks = [tick(10, tree_cpu_s=0.0, busy_s=0.0), tick(11, tree_cpu_s=1.0, busy_s=1.0)]
    assert host_use(ticks, 0, 11) == HostUse()
    assert host_use(ticks, 11.5, 12) == HostUse()
    assert host_use([], 0, 1) == HostUse()
    assert gpu_use([], 0, 1) == GpuUse()


def test_the_end_of_the_target_ends_its_figures_but_not_the_machines() -> None:
    ticks = [tick(t, tree_cpu_s=float(t) if t <= 2 else None, throttled_s=0.0) for t in range(10)]
    assert host_use(ticks, 0, 2).cpu_cores == pytest.approx(1.0)
    assert host_use(ticks, 5, 8).cpu_cores is None
    assert host_use(ticks, 5, 8).throttled_s == 0.0


def test_the_drivers_samples_are_weighted_by_the_time_they_stand_for_and_beat_polling() -> None:
    history = ((9.5, 0.0), (10.5, 100.0), (11.0, 50.0), (12.0, 0.0))
    ticks = [reading(10.2, utilization=7.0), reading(12.2, utilization=7.0, utilization_samples=history)]
    # 10.0-10.5 at 100, 10.5-11.0 at 50
    assert gpu_use(ticks, 10.0, 11.0).utilization == pytest.approx(75.0)


def test_without_driver_samples_polling_has_to_do() -> None:
    ticks = [reading(9.9, utilization=0.0), reading(10.2, utilization=40.0), reading(10.8, utilization=60.0)]
    assert gpu_use(ticks, 10.0, 11.0).utilization == pytest.approx(50.0)


def test_throttling_seen_once_in_the_window_is_reported_and_outside_it_is_not() -> None:
    ticks = [reading(1, throttle_reasons=("a",)), reading(2, throttle_reasons=("b",)), reading(3), reading(4)]
    assert gpu_use(ticks, 1.5, 3.5).throttle_reasons == ("b",)


def test_energy_is_only_told_for_windows_long_enough_to_trust_it() -> None:
    ticks = [reading(t, energy_j=250.0 * t, power_w=250.0) for t in range(10)]
    assert gpu_use(ticks, 1, 3).energy_j is None
    assert gpu_use(ticks, 1, 3).power_w == 250.0
    assert gpu_use(ticks, 1, 6).energy_j == pytest.approx(1250.0)


def test_sm_utilisation_holds_for_the_time_since_the_previous_reading() -> None:
    ticks = [reading(at_s, sm_utilization=share) for at_s, share in ((1.0, 10.0), (1.2, 90.0), (1.4, 50.0))]
    assert gpu_use(ticks, 1.1, 1.3).sm_utilization == pytest.approx(70.0)


def test_a_series_is_bounded_and_loses_no_cpu_time() -> None:
    ticks = [tick(0.2 * n, tree_cpu_s=0.1 * n, rss_bytes=n) for n in range(5001)]
    points = series(ticks, 0.0, 1000.0, max_points=100)
    assert len(points.t_s) == 100
    assert {len(points.cpu_cores), len(points.gpu_utilization), len(points.rss_bytes)} == {100}
    assert all(cores == pytest.approx(0.5) for cores in points.cpu_cores)
    assert (points.start_s, points.t_s[-1], points.rss_bytes[-1]) == (0.0, pytest.approx(1000.0), 5000)
    assert series([], 0.0, 1.0).t_s == []


@given(st.integers(0, 200), st.integers(1, 20))
def test_a_series_covers_its_stretch_without_gap_whatever_the_number_of_ticks(count: int, most: int) -> None:
    points = series([tick(float(n), tree_cpu_s=float(n)) for n in range(count)], 0.0, float(count), max_points=most)
    assert len(points.t_s) <= most
    assert points.t_s == sorted(set(points.t_s))
    assert count < 2 or (points.start_s, points.t_s[-1]) == (0.0, count - 1)


def test_a_series_holds_only_its_stretch_and_the_gpu_samples_of_each_point() -> None:
    ticks = [
        reading(
            float(n), utilization=float(n), utilization_samples=((n - 0.6, 10.0), (n - 0.1, 30.0)) if n == 3 else ()
        )
        for n in range(10)
    ]
    points = series(ticks, 2.0, 5.0)
    assert points.t_s == [3.0, 4.0, 5.0]
    assert points.gpu_utilization == [20.0, 4.0, 5.0]


def test_each_core_has_a_row_and_many_cores_share_rows() -> None:
    two = [tick(0.2 * n, core_busy_s=((0, 0.2 * n), (5, 0.05 * n))) for n in range(4)]
    points = series(two, 0.0, 0.6)
    assert (points.cores, points.core_busy) == ([0, 5], [[100] * 3, [25] * 3])
    many = [tick(float(n), core_busy_s=tuple((core, n * (core % 4) / 4) for core in range(64))) for n in range(3)]
    points = series(many, 0.0, 2.0)
    assert (len(points.core_busy), points.cores_a_row, points.cores[1]) == (16, 4, 4)
    assert points.core_busy[0] == [38, 38]


def test_traffic_on_the_bus_is_a_difference_and_a_counter_that_wrapped_tells_nothing() -> None:
    def use(*counters: int) -> int | None:
        ticks = [tick(t, gpu=Reading(time_s=float(t), pcie_received_bytes=count)) for t, count in enumerate(counters)]
        return gpu_use(ticks, 0.0, len(counters) - 1.0).pcie_received_bytes

    assert use(100, 300, 500) == 400
    assert use(1 << 32, 5, 9) is None
    assert gpu_use([], 0.0, 1.0).pcie_received_bytes is None
