import pytest

from gputune import health
from gputune.probes.cgroup import Throttling
from gputune.probes.gpu import NullGpu
from gputune.probes.host import Cpus


class NamedGpu(NullGpu):
    name, uuid, driver = "Some GPU", "GPU-1", "580.1"

    def gaps(self) -> dict[str, str]:
        return {"energy": "not supported by this GPU", "SM utilisation (GPM)": "no permission to read it"}


def test_this_machine_is_examined_from_top_to_bottom() -> None:
    facts = {fact.name: fact for fact in health.examine(NullGpu("no driver"), "overlay")}
    assert {"gputune", "Python", "torch", "GPU", "CPUs", "memory", "/dev/shm free", "start methods"} <= set(facts)
    assert facts["GPU"].value == "none: no driver"
    assert facts["sandbox"].value == "overlay"


@pytest.mark.parametrize(
    ("cpus", "words"),
    [
        (Cpus(present=64, affinity=64, quota=4.0), "quota leaves 4 of 64"),
        (Cpus(present=64, affinity=2, quota=4.0), "affinity leaves 2 of 64"),
        (Cpus(present=8, affinity=8, quota=16.0), ""),
    ],
)
def test_whichever_limits_the_cpus_is_named(cpus: Cpus, words: str) -> None:
    advice = health.cpu_limit(cpus).advice
    assert words in advice
    assert bool(words) == bool(advice)


def test_throttling_is_a_limit_once_it_matters() -> None:
    assert list(health.cpu_throttling(None)) == []
    assert next(health.cpu_throttling(Throttling(3, 0.1))).advice == ""
    assert "raise the quota" in next(health.cpu_throttling(Throttling(900, 45.0))).advice


def test_a_busy_machine_is_a_limit() -> None:
    assert "quiet machine" in health.load(7.0, cpus=8).advice
    assert health.load(0.1, cpus=8).advice == ""


@pytest.mark.parametrize(("free", "words"), [(64 << 20, "--shm-size"), (None, "mount a tmpfs"), (16 << 30, "")])
def test_little_shared_memory_comes_with_what_to_do(free: int | None, words: str) -> None:
    fact = health.shared_memory(free)
    assert words in fact.advice
    assert bool(words) == bool(fact.advice)


def test_few_open_files_come_with_the_command_that_raises_them() -> None:
    assert "ulimit -n" in health.open_files(1024).advice
    assert health.open_files(1 << 20).advice == ""
    assert health.open_files(None).value == "unlimited"


def test_a_slow_default_start_method_is_a_limit() -> None:
    assert health.start_methods(["fork", "spawn"]).advice == ""
    assert "forkserver" in health.start_methods(["forkserver", "fork"]).advice


def test_packages_that_are_missing_or_harm_are_named() -> None:
    torch, bindings = health.packages({"pynvml": "13.0.1"}, has_gpu=False)
    assert "install torch" in torch.advice
    assert "uninstall pynvml" in bindings.advice
    good = health.packages({"torch": "2.13.0+cu130", "nvidia-ml-py": "13.1"}, has_gpu=True)
    assert [fact.advice for fact in good] == ["", ""]


def test_a_cpu_build_of_torch_is_a_limit_only_beside_a_gpu() -> None:
    versions = {"torch": "2.13.0+cpu", "nvidia-ml-py": "13.1"}
    assert "cannot use the GPU" in next(health.packages(versions, has_gpu=True)).advice
    assert next(health.packages(versions, has_gpu=False)).advice == ""


def test_what_the_gpu_does_not_tell_is_listed_with_the_reason() -> None:
    found = {fact.name: fact for fact in health.graphics(NamedGpu("x"))}
    assert found["GPU"].value == "Some GPU (GPU-1)"
    assert found["GPU energy"].value == "missing: not supported by this GPU"
    assert "GPU memory" not in found  # a reading without it is no zero
    assert "NVreg_RestrictProfilingToAdminUsers" in found["GPU SM utilisation (GPM)"].advice
