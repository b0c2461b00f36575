"""Whatever NVML does costs its own figures, with the reason, and nothing else."""

from __future__ import annotations

import ctypes.util

import pytest

from gputune.record import Status

ALL = ("samples", "util", "memory", "memory_v2", "power", "energy", "clock", "gpm_support", "gpm_sample")
MIDWAY = 5
"""Readings that succeed before the fault begins."""


def faulty(code: int, from_call: int = 0) -> str:
    return "sample 37\n" + "".join(f"err_{name} {code} {from_call}\n" for name in ALL)


def measure(scene, stub_library, state: str) -> None:
    file = scene.folder / "gpu"
    file.write_text(state)
    env = {"LD_LIBRARY_PATH": str(stub_library.parent), "GPUTUNE_FAKE_NVML": str(file)}
    assert scene.profile("nothing", "--no-search", "--device", "cuda", env=env) == 0, scene.err
    assert scene.run().status is Status.COMPLETE
    assert scene.run().ceiling is not None


@pytest.mark.parametrize(
    ("fault", "code", "from_call", "words"),
    [
        ("GPU lost in mid-run", 15, MIDWAY, "off the bus"),
        ("unknown NVML error in mid-run", 999, MIDWAY, "unknown error"),
        ("no NVML metric supported", 3, 0, "not supported"),
        ("no permission to read the GPU", 4, 0, "no permission"),
    ],
)
def test_a_gpu_that_fails_costs_its_figures(scene, stub_library, fault, code, from_call, words):
    measure(scene, stub_library, faulty(code, from_call))
    assert any(words in sentence for sentence in scene.run().missing)
    scene.survived(fault, words)


def test_a_library_of_another_version_than_the_driver_is_named(scene, stub_library):
    measure(scene, stub_library, "err_init 18\n")
    scene.survived("NVML library of another version than the driver", "version")


def test_a_machine_without_nvml_is_measured_without_it(scene):
    if ctypes.util.find_library("nvidia-ml"):
        pytest.skip("this machine has NVML")
    assert scene.profile("nothing", "--no-search", "--device", "cuda") == 0, scene.err
    assert scene.run().status is Status.COMPLETE
    scene.survived("NVML missing", "libnvidia-ml.so.1 not found")
