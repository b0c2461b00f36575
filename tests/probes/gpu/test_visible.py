import pytest

from gputune.probes.gpu.interface import GpuUnavailable
from gputune.probes.gpu.visible import choose

CARDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]


@pytest.mark.parametrize(
    ("visible", "ordinal", "expected"),
    [
        (None, 1, "GPU-ab22"),
        ("2", 0, "GPU-cc33"),
        (" 2 , 0", 1, "GPU-aa11"),
        ("GPU-ab22,0", 0, "GPU-ab22"),
        ("GPU-c", 0, "GPU-cc33"),
        ("MIG-1234,MIG-5678", 1, "MIG-5678"),
        ("MIG-GPU-aa11/7/0", 0, "MIG-GPU-aa11/7/0"),
        ("1,9,0", 0, "GPU-ab22"),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(visible: str | None, ordinal: int, expected: str) -> None:
    assert choose(visible, CARDS, ordinal) == expected


@pytest.mark.parametrize(
    ("visible", "ordinal"),
    [("", 0), ("-1", 0), ("1,9,0", 1), ("GPU-a", 0), ("0,0", 0), ("x", 0), (None, 3), ("²", 0)],
)
def test_what_cuda_would_not_show_is_not_shown(visible: str | None, ordinal: int) -> None:
    with pytest.raises(GpuUnavailable):
        choose(visible, CARDS, ordinal)
