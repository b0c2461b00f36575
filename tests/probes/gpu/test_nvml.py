from collections.abc import Callable
from typing import Any

import pytest

Scenario = Callable[..., dict[str, Any]]
VALUES = ("utilization", "memory_used_bytes", "power_w", "sm_clock_mhz", "energy_j", "sm_utilization")


def test_every_metric_of_a_healthy_gpu_is_read_in_its_unit(scenario: Scenario) -> None:
    told = ("gpu 97", "used_mib 2048", "power_w 312.5", "sm_mhz 1980", "gpm_2 71.5", "gpm_10 12.25")
    seen = scenario(*told, reads=2)
    reading = seen["readings"][1]
    assert (seen["name"], seen["uuid"], seen["driver"]) == ("Stub GPU 1", "GPU-stub-1", "580.00.stub")
    assert reading["utilization"] == 97.0
    assert reading["memory_used_bytes"] == 2 << 30
    assert reading["memory_total_bytes"] == 80 << 30
    assert reading["power_w"] == 312.5
    assert reading["sm_clock_mhz"] == 1980.0
    assert (reading["sm_utilization"], reading["memory_bandwidth"]) == (71.5, 12.25)
    assert reading["throttle_reasons"] == []
    assert seen["missing"] == []


def test_energy_grows_by_power_times_time_in_joules(scenario: Scenario) -> None:
    first, second = scenario("power_w 400", reads=2, interval_s=0.3)["readings"]
    watts = (second["energy_j"] - first["energy_j"]) / (second["time_s"] - first["time_s"])
    assert watts == pytest.approx(400, rel=0.2)


def test_traffic_on_the_bus_grows_by_rate_times_time_in_each_direction(scenario: Scenario) -> None:
    first, second = scenario("pcie_rx 800", "pcie_tx 50", reads=2, interval_s=0.3)["readings"]
    elapsed_s = second["time_s"] - first["time_s"]
    for counter, megabytes in (("pcie_received_bytes", 800), ("pcie_sent_bytes", 50)):
        assert (second[counter] - first[counter]) / elapsed_s == pytest.approx(megabytes * 1e6, rel=0.2)


def test_a_card_that_does_not_count_its_traffic_says_so_and_reads_all_else(scenario: Scenario) -> None:
    seen = scenario("err_pcie 3")
    assert seen["gaps"]["PCIe traffic"] == "this card or driver does not count it"
    assert seen["readings"][0]["pcie_received_bytes"] is None
    assert seen["readings"][0]["utilization"] == 42.0


def test_the_drivers_own_samples_come_once_and_on_the_monotonic_clock(scenario: Scenario) -> None:
    seen = scenario("sample 63", "period_us 20000", reads=3, interval_s=0.2)
    samples = [sample for reading in seen["readings"] for sample in reading["utilization_samples"]]
    times = [at_s for at_s, _ in samples]
    assert times == sorted(set(times))
    assert seen["opened_s"] - 1.0 < times[0]
    assert times[-1] < seen["read_s"] + 0.05
    assert 15 < len(times) < 100  # 0.6 s at 50 a second, on a machine that may be slow
    assert {value for _, value in samples} == {63.0}


def test_a_reading_without_new_driver_samples_is_no_gap(scenario: Scenario) -> None:
    seen = scenario("period_us 50000000", reads=2, interval_s=0.01)
    assert seen["readings"][1]["utilization_samples"] == []
    assert "utilisation history" not in seen["gaps"]


def test_driver_samples_stamped_by_another_clock_are_refused(scenario: Scenario) -> None:
    seen = scenario("clock_shift_us 90000000000")
    assert seen["readings"][0]["utilization_samples"] == []
    assert "wall clock" in seen["gaps"]["utilisation history"]


def test_throttling_that_is_normal_is_not_reported(scenario: Scenario) -> None:
    normal = 0x1 | 0x2 | 0x4 | 0x10 | 0x100
    assert scenario(f"throttle {normal}")["readings"][0]["throttle_reasons"] == []
    troubled = scenario(f"throttle {normal | 0x20 | 0x80}")["readings"][0]["throttle_reasons"]
    assert troubled == ["thermal slowdown (driver)", "external power brake"]


def test_old_drivers_are_asked_by_the_old_names(scenario: Scenario) -> None:
    seen = scenario("err_event_reasons 13", "err_memory_v2 13", "throttle 8", "used_mib 1024")
    assert seen["readings"][0]["throttle_reasons"] == ["hardware slowdown"]
    assert seen["readings"][0]["memory_used_bytes"] == (1024 + 500) << 20
    assert seen["missing"] == []


@pytest.mark.parametrize(
    ("function", "value", "metric"),
    [
        ("util", "utilization", "utilisation"),
        ("power", "power_w", "power"),
        ("clock", "sm_clock_mhz", "SM clock"),
        ("energy", "energy_j", "energy"),
        ("gpm_support", "sm_utilization", "SM utilisation (GPM)"),
    ],
)
def test_a_refused_metric_goes_missing_alone(scenario: Scenario, function: str, value: str, metric: str) -> None:
    code, reason = (4, "no permission") if function == "gpm_support" else (3, "not supported")
    seen = scenario(f"err_{function} {code}")
    assert [name for name in VALUES if seen["readings"][0][name] is None] == [value]
    assert list(seen["gaps"]) == [metric]
    assert reason in seen["gaps"][metric]


def test_metrics_missing_for_one_reason_share_one_sentence(scenario: Scenario) -> None:
    seen = scenario("err_power 3", "err_energy 3")
    assert seen["missing"] == ["GPU power, energy missing: not supported by this GPU."]


def test_a_gpu_before_hopper_only_lacks_the_sm_counters(scenario: Scenario) -> None:
    seen = scenario("gpm 0")
    assert seen["gaps"] == {"SM utilisation (GPM)": "needs a Hopper or newer GPU"}
    assert seen["readings"][0]["utilization"] == 42.0


def test_one_refused_counter_leaves_the_other(scenario: Scenario) -> None:
    reading = scenario("err_gpm_2 3", "gpm_10 20")["readings"][0]
    assert (reading["sm_utilization"], reading["memory_bandwidth"]) == (None, 20.0)


def test_counters_asked_again_too_soon_say_nothing_rather_than_nonsense(scenario: Scenario) -> None:
    seen = scenario("gpm_2 50", reads=3, interval_s=0.06)
    values = [reading["sm_utilization"] for reading in seen["readings"]]
    assert set(values) <= {None, 50.0}
    assert 50.0 in values


def test_an_error_of_the_moment_is_forgotten_once_the_metric_answers(scenario: Scenario) -> None:
    seen = scenario("err_power 10", "err_power 0 1", reads=2)
    assert [reading["power_w"] for reading in seen["readings"]] == [None, 250.0]
    assert seen["gaps"] == {}


@pytest.mark.parametrize(("code", "reason"), [(15, "off the bus"), (999, "unknown error"), (16, "needs a reset")])
def test_a_gpu_lost_in_mid_run_is_missing_from_there_with_the_reason(
    scenario: Scenario, code: int, reason: str
) -> None:
    seen = scenario(f"err_util {code} 2", reads=4, interval_s=0.11)
    alive, lost = seen["readings"][:2], seen["readings"][2:]
    assert all(reading[name] is not None for reading in alive for name in VALUES)
    assert all(reading[name] is None for reading in lost for name in VALUES)
    assert reason in seen["missing"][0]


def test_a_closed_gpu_gives_empty_readings(scenario: Scenario) -> None:
    assert all(scenario()["after_close"][name] is None for name in VALUES)


def test_the_device_is_found_by_uuid_with_or_without_its_prefix(scenario: Scenario) -> None:
    assert scenario("count 4", uuid="GPU-stub-3")["name"] == "Stub GPU 3"
    assert scenario("count 4", uuid="stub-3")["name"] == "Stub GPU 3"


def test_without_a_uuid_the_first_visible_device_is_read(scenario: Scenario) -> None:
    chosen = scenario("count 4", environment={"CUDA_VISIBLE_DEVICES": "2,0"})
    assert chosen["uuid"] == "GPU-stub-3"
    assert scenario("count 4")["uuid"] == "GPU-stub-1"


def test_a_mig_instance_is_read_as_far_as_instances_can_be(scenario: Scenario) -> None:
    seen = scenario("mig 2", "gpm_2 20", uuid="MIG-stub-2")
    reading = seen["readings"][0]
    assert seen["uuid"] == "MIG-stub-2"
    assert reading["sm_utilization"] == 20.0 + 12  # the instance's own id was asked for
    assert reading["memory_used_bytes"] == 1 << 30
    assert reading["sm_clock_mhz"] == 1410.0
    assert "other MIG instances share" in seen["gaps"]["power"]
    assert reading["power_w"] is None
    assert seen["gaps"]["utilisation"] == "not supported by this GPU"


def test_a_card_split_into_instances_stands_for_its_first(scenario: Scenario) -> None:
    assert scenario("mig 2")["uuid"] == "MIG-stub-1"
    assert scenario("mig 2", environment={"CUDA_VISIBLE_DEVICES": "MIG-stub-2"})["uuid"] == "MIG-stub-2"
