import os
import resource
from pathlib import Path

import pytest

from gputune.probes import host
from gputune.probes.cgroup import Cgroup, Throttling

GIB = 1 << 30


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def groups(tmp_path: Path, membership: str, files: dict[str, str]) -> Cgroup:
    """Return groups in a temporary folder; each gets the cgroup.procs that the kernel's have."""
    mount = tmp_path / "cgroup"
    write(mount, files)
    write(tmp_path, {"membership": membership})
    for folder in [*mount.rglob("*"), mount]:
        if folder.is_dir():
            (folder / "cgroup.procs").touch()
    return Cgroup(mount=mount, membership=tmp_path / "membership")


def test_the_tightest_quota_on_the_path_counts(tmp_path: Path) -> None:
    quotas = {"pods": "150000 100000", "pods/a": "400000 100000", "pods/a/b": "max 100000"}
    files = {f"{group}/cpu.max": quota for group, quota in quotas.items()}
    cgroup = groups(tmp_path, "0::/pods/a/b\n", files)
    assert cgroup.cpu_quota() == 1.5


def test_a_group_beside_the_path_does_not_count(tmp_path: Path) -> None:
    files = {"mine/cpu.max": "max 100000", "other/cpu.max": "50000 100000"}
    assert groups(tmp_path, "0::/mine\n", files).cpu_quota() is None


def test_inside_a_container_the_mount_is_the_group(tmp_path: Path) -> None:
    cgroup = groups(tmp_path, "0::/docker/4f2a\n", {"cpu.max": "250000 100000"})
    assert cgroup.cpu_quota() == 2.5


def test_version_1_quotas_are_read_and_minus_one_means_none(tmp_path: Path) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
        "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
    }
    assert groups(tmp_path, "4:cpu,cpuacct:/job\n1:memory:/\n", files).cpu_quota() == 3.0
    assert groups(tmp_path, "4:cpu,cpuacct:/\n", files).cpu_quota() is None


def test_a_hybrid_machine_is_read_on_both_sides(tmp_path: Path) -> None:
    mount = tmp_path / "cgroup"
    files = {"cpu/job/cpu.cfs_quota_us": "200000", "cpu/job/cpu.cfs_period_us": "100000"}
    files |= {"unified/job/cpu.max": "300000 100000"}
    cgroup = groups(tmp_path, "3:cpu:/job\n0::/job\n", files)
    (mount / "cgroup.procs").unlink()  # the mount of a hybrid machine is a plain tmpfs
    assert cgroup.cpu_quota() == 2.0


def test_effective_cpus_are_the_smallest_of_affinity_and_quota(tmp_path: Path) -> None:
    tight = host.cpus(groups(tmp_path / "a", "0::/\n", {"cpu.max": "50000 100000"}))
    wide = host.cpus(groups(tmp_path / "b", "0::/\n", {"cpu.max": "99900000 100000"}))
    assert tight.effective == 0.5
    assert wide.effective == len(os.sched_getaffinity(0))


def test_a_process_bound_to_one_cpu_has_one() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert host.cpus().affinity == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("membership", "name", "text"),
    [
        ("0::/job\n", "job/cpu.stat", "usage_usec 9\nnr_throttled 7\nthrottled_usec 2500000\n"),
        ("2:cpu:/job\n", "cpu/job/cpu.stat", "nr_throttled 7\nthrottled_time 2500000000\n"),
    ],
)
def test_throttling_is_counted_in_seconds_in_both_versions(
    tmp_path: Path, membership: str, name: str, text: str
) -> None:
    assert groups(tmp_path, membership, {name: text}).throttling() == Throttling(periods=7, throttled_s=2.5)


def test_memory_is_what_the_group_leaves_and_caches_count_as_free(tmp_path: Path) -> None:
    files = {
        "job/memory.max": str(8 * GIB),
        "job/memory.high": "max",
        "job/memory.current": str(6 * GIB),
        "job/memory.stat": f"anon {2 * GIB}\ninactive_file {3 * GIB}\n",
    }
    write(tmp_path, {"meminfo": "MemTotal: 67108864 kB\nMemFree: 1024 kB\nMemAvailable: 33554432 kB\n"})
    memory = host.memory(groups(tmp_path, "0::/job\n", files), proc=tmp_path)
    assert memory == host.Memory(total_bytes=8 * GIB, available_bytes=5 * GIB)


def test_memory_without_a_limit_is_the_machines(tmp_path: Path) -> None:
    files = {
        "memory/job/memory.limit_in_bytes": str((1 << 63) - 4096),
        "memory/job/memory.usage_in_bytes": "4096",
    }
    write(tmp_path, {"meminfo": "MemTotal: 4194304 kB\nMemAvailable: 2097152 kB\n"})
    memory = host.memory(groups(tmp_path, "1:memory:/job\n", files), proc=tmp_path)
    assert memory == host.Memory(total_bytes=4 * GIB, available_bytes=2 * GIB)


def test_a_machine_whose_files_are_missing_gives_none_and_not_zero(tmp_path: Path) -> None:
    empty = Cgroup(mount=tmp_path / "nowhere", membership=tmp_path / "nothing")
    assert empty.cpu_quota() is None
    assert empty.throttling() is None
    assert host.memory(empty, proc=tmp_path) is None
    assert host.shm_free_bytes(tmp_path / "nowhere") is None


def test_the_limit_on_open_files_is_the_soft_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 500), hard))
        assert host.open_files_limit() == min(soft, 500)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_processor_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"cpuinfo": "processor : 0\nmodel name\t: Some  CPU @ 2 GHz\n"})
    assert host.cpu_model(tmp_path) == "Some CPU @ 2 GHz"
    assert host.cpu_model(tmp_path / "nowhere") != ""


@pytest.mark.parametrize(("siblings", "threads"), [("0", 1), ("0,64", 2), ("0-1", 2), ("0-3,8-11", 8), ("", 1)])
def test_hardware_threads_that_share_a_core_are_counted(tmp_path: Path, siblings: str, threads: int) -> None:
    write(tmp_path, {"thread_siblings_list": siblings + "\n"})
    assert host.threads_per_core(tmp_path) == threads


def test_a_machine_that_does_not_tell_its_topology_has_one_thread_a_core(tmp_path: Path) -> None:
    assert host.threads_per_core(tmp_path / "nothing") == 1
