import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gputune.probes.gpu import NullGpu, open_gpu

Scenario = Callable[..., dict[str, Any]]


def test_it_says_why_and_reads_nothing() -> None:
    gpu = NullGpu("no NVIDIA driver is installed")
    assert gpu.missing() == ["GPU figures are missing: no NVIDIA driver is installed."]
    assert gpu.read().utilization is None
    assert gpu.read().time_s > 0


def test_a_machine_without_the_driver_gets_it(scenario: Scenario, tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")  # also hides a real driver from this test
    seen = scenario(library=False, environment={"LD_LIBRARY_PATH": str(tmp_path)})
    assert seen["kind"] == "NullGpu"
    assert "no NVIDIA driver is installed" in seen["missing"][0]


@pytest.mark.parametrize(
    ("lines", "uuid", "visible", "reason"),
    [
        (["err_init 9"], None, None, "kernel module is not loaded"),
        (["err_init 18"], None, None, "different driver versions"),
        (["err_init 4"], None, None, "no permission"),
        (["err_init 999"], None, None, "unknown error"),
        (["count 0"], None, None, "finds no GPU"),
        (["count 2"], "GPU-stub-7", None, "NVML knows no device GPU-stub-7"),
        (["err_handle 4"], None, None, "does not open device 0"),
        (["err_handle_by_uuid 15"], "GPU-stub-1", None, "fell off the bus"),
        (["count 2"], None, "", "leaves no device 0 of 2 visible"),
        (["count 2"], None, "-1", "leaves no device 0 of 2 visible"),
        (["count 2"], None, "1,1", "leaves no device 0 of 2 visible"),
    ],
)
def test_a_gpu_that_cannot_be_opened_is_null_with_the_reason(
    scenario: Scenario, lines: list[str], uuid: str | None, visible: str | None, reason: str
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    seen = scenario(*lines, uuid=uuid, environment=environment)
    assert seen["kind"] == "NullGpu"
    assert reason in seen["missing"][0]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("nvml", "errors", "device", "gpm"):
        monkeypatch.delitem(sys.modules, f"gputune.probes.gpu.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py cannot be imported" in open_gpu().missing()[0]
