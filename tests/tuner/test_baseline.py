"""Baselines survive a round trip and nothing else gets in."""

from __future__ import annotations

import json
from pathlib import Path

import check_factory as checks
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gputune import baseline as baselines
from gputune.errors import InconclusiveError, RecordError, UsageError


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    made = baselines.from_run(checks.run(), "train")
    path = baselines.path_of(tmp_path, made)
    baselines.save(path, made)
    return path


def test_a_baseline_lies_under_its_hardware_and_reads_back(stored: Path, tmp_path: Path) -> None:
    assert stored.relative_to(tmp_path) == Path("nvidia-h100-80gb-hbm3/train.json")
    found = baselines.load(stored)
    assert found.throughput == pytest.approx(640, rel=0.02)
    assert len(found.samples_per_s) == len(found.of_ceiling) == 6
    assert found.fingerprint.torch == "2.13.0"


def test_a_cpu_machine_is_named_by_its_cpu_and_quota() -> None:
    here = baselines.Fingerprint(cpu_model="Intel(R) Xeon(R) Processor", effective_cpus=2.0)
    assert here.folder == "intel-xeon-processor-2cpu"


def test_this_hardware_is_preferred_and_another_still_found(stored: Path, tmp_path: Path) -> None:
    mine = baselines.load(stored).fingerprint
    other = msgspec.structs.replace(mine, gpu="A100")
    assert baselines.find(tmp_path, "train", mine) == stored
    assert baselines.find(tmp_path, "train", other) == stored
    assert baselines.find(tmp_path, str(stored), other) == stored
    assert baselines.find(tmp_path, "../../etc/passwd", other) is None
    assert other.differences(mine) == ["GPU A100 -> NVIDIA H100 80GB HBM3"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "schema version 2; this gputune reads up to 1"),
        ({"samples_per_s": []}, "needs 4 positive numbers"),
        ({"samples_per_s": [1, 2, 3, 0]}, "needs 4 positive numbers"),
        ({"samples_per_s": "many"}, "is no gputune baseline"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"fingerprint": None}, "is no gputune baseline"),
    ],
)
def test_what_is_no_baseline_is_refused_in_one_line(stored: Path, change: dict[str, object], said: str) -> None:
    stored.write_text(json.dumps({**json.loads(stored.read_text()), **change}))
    with pytest.raises(RecordError) as caught:
        baselines.load(stored)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("b") / "x.json"
    path.write_bytes(data)
    with pytest.raises(RecordError, match="is no gputune baseline"):
        baselines.load(path)


def test_a_huge_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.json").write_bytes(b" " * (baselines.MAX_FILE_BYTES + 1))
    with pytest.raises(RecordError, match="larger than"):
        baselines.load(tmp_path / "big.json")
    with pytest.raises(RecordError, match="cannot read baseline"):
        baselines.load(tmp_path / "none.json")


def test_a_run_of_one_burst_makes_no_baseline() -> None:
    with pytest.raises(InconclusiveError, match="holds 2 repeats; a baseline needs 4"):
        baselines.from_run(checks.run(rounds=2), "train")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "x" * 65, "a b"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a baseline"):
        baselines.check_name(name)


def test_an_accepted_regression_is_remembered_with_its_reason(stored: Path) -> None:
    old = baselines.load(stored)
    new = baselines.accepted(old, checks.run(slower=1.25), "larger images")
    baselines.save(stored, new)
    entry = baselines.load(stored).acknowledgements[0]
    assert entry.reason == "larger images"
    assert entry.ratio == pytest.approx(0.8, rel=0.02)
    assert entry.before_samples_per_s == pytest.approx(old.throughput)
