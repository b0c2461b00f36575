import os

from gputune import record
from gputune.machine import describe
from gputune.probes.gpu import NullGpu


class NamedGpu(NullGpu):
    name = "Some GPU"
    driver = "580.1"

    def __init__(self) -> None:
        super().__init__("only a name")
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_the_limits_of_this_machine_are_plausible_and_whole() -> None:
    machine = describe(NullGpu("none"))
    assert machine.cpus == os.cpu_count()
    assert machine.effective_cpus is not None
    assert 0 < machine.effective_cpus <= len(os.sched_getaffinity(0))
    assert machine.memory_bytes is not None
    assert machine.memory_available_bytes is not None
    assert 1 << 26 < machine.memory_available_bytes <= machine.memory_bytes
    assert machine.shm_free_bytes is not None
    assert machine.cpu_model
    assert machine.platform.startswith("Linux")
    assert (machine.gpu, machine.driver) == ("", "")


def test_the_gpu_given_is_named_and_stays_open() -> None:
    gpu = NamedGpu()
    machine = describe(gpu)
    assert (machine.gpu, machine.driver) == ("Some GPU", "580.1")
    assert not gpu.closed


def test_it_survives_the_way_to_disk() -> None:
    run = record.Run(id="x", created_at="2026-01-01T00:00:00+00:00", command=["a.py"], machine=describe())
    assert record.msgspec.json.decode(record.dump(run), type=record.Run).machine == run.machine
