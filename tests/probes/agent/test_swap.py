"""Settings of a running loader are changed in place: every sample arrives once, in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TARGETS = Path(__file__).parents[2] / "targets"
PLAN = (
    {"num_workers": 2},
    {"num_workers": 0},
    {"num_workers": 3, "prefetch_factor": 4},
    {"num_workers": 1, "persistent_workers": True},
    {"num_workers": 2},
)


def samples(text: str) -> list[int]:
    line = next(line for line in text.splitlines() if line.startswith("SEEN "))
    return [int(part) for part in line.removeprefix("SEEN ").split(",")]


def plain_run(script: str, *arguments: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, str(TARGETS / script), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return samples(done.stdout)


@pytest.mark.parametrize(
    ("shape", "workers"),
    [
        ("sequential", 0),
        ("shuffle", 0),
        ("shuffle", 2),
        ("batch_sampler", 0),
        ("next", 0),
        ("islice", 1),
        ("dict", 0),
        ("custom", 0),
        ("accumulate", 0),
        ("gan", 0),
    ],
)
def test_every_loop_gets_every_sample_once_and_in_order_across_swaps(conduct, shape, workers):
    arguments = (shape, "1600", str(workers))
    conducted = conduct("loops.py", *arguments)
    assert conducted.hello.loader.role == "train"
    assert conducted.hello.loader.settings.num_workers == workers
    conducted.burst()
    for settings in PLAN:
        burst = conducted.burst(**settings)
        assert burst.settings.num_workers == settings["num_workers"]
        assert all(size == 8 for size in burst.samples)
    assert samples(conducted.finish().tail) == plain_run("loops.py", *arguments)


def test_a_ceiling_uses_up_the_indices_it_replaces_so_that_epochs_keep_their_length(conduct):
    conducted = conduct("loops.py", "sequential", 1600, 0)
    conducted.burst()
    ceiling = conducted.burst(replay=True, num_workers=0)
    seen = samples(conducted.finish().tail)
    assert len(seen) == 1600
    assert len(ceiling.period_s) >= 6
    assert sorted(set(seen)) != list(range(1600)), "replayed batches are repeats"


def test_settings_survive_into_the_next_epoch_and_the_script_ends_by_itself(conduct):
    conducted = conduct("loops.py", "epochs", 800, 0)
    conducted.burst(num_workers=2)
    gone = conducted.finish()
    assert gone.status == 0
    assert sorted(samples(gone.tail)) == sorted([*range(800), *range(800)])


def test_a_fixed_seed_gives_the_same_shuffle_in_both_epochs_as_without_us(conduct):
    conducted = conduct("loops.py", "epochs", 800, 2)
    conducted.burst(num_workers=0)
    conducted.burst(num_workers=1)
    assert samples(conducted.finish().tail) == plain_run("loops.py", "epochs", "800", "2")
