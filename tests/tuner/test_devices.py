from __future__ import annotations

from gputune.devices import open_watched
from gputune.probes.protocol import Environment

ON_CPU = Environment(pid=1, python="3.11", torch="2.13")


def test_a_script_on_the_cpu_has_no_gpu_to_watch_and_the_report_says_so():
    assert any("runs on the CPU" in sentence for sentence in open_watched(ON_CPU, None).missing())


def test_cpu_can_be_asked_for_although_the_script_uses_a_gpu():
    on_gpu = Environment(pid=1, python="3.11", torch="2.13", device="cuda:0", device_uuid="GPU-x")
    assert any("runs on the CPU" in sentence for sentence in open_watched(on_gpu, "cpu").missing())


def test_a_device_that_is_not_there_is_a_null_object_with_a_reason():
    gpu = open_watched(ON_CPU, "cuda:7")
    assert gpu.missing()
    assert gpu.read() is not None
    gpu.close()
