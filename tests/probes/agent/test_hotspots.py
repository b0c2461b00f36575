"""Diagnostic bursts name the lines that real scripts spend their time in."""

from __future__ import annotations

import pytest

from gputune.probes.burst import Purpose, StallKind, Where
from gputune.probes.protocol import Length, Measure, Measured
from gputune.probes.settings import Settings
from gputune.probes.target import TargetGone

SERVED = pytest.param(1, "forkserver", marks=pytest.mark.heavy)
LENGTH = Length(warmup_batches=1, min_batches=6, min_s=0.8, max_s=3.0, precision=10.0)


def diagnose(conducted, settings=None):
    answer = conducted.target.measure(
        Measure(id=99, purpose=Purpose.DIAGNOSIS, settings=settings or conducted.hello.loader.settings, length=LENGTH)
    )
    assert isinstance(answer, Measured), answer
    return answer.burst


def share(burst, where, function):
    return sum(h.seconds_share for h in burst.hotspots if h.where is where and h.function == function)


@pytest.mark.parametrize(
    ("workers", "method"),
    [(0, "fork"), (1, "fork"), pytest.param(1, "forkserver", marks=pytest.mark.heavy), (1, "spawn")],
)
def test_the_slow_transform_and_the_work_on_the_training_thread_are_named(conduct, workers, method):
    burst = diagnose(conduct("hot.py", workers, method))
    assert share(burst, Where.FETCH, "burn") > 0.6
    assert share(burst, Where.MAIN, "burn") > 0.5
    assert all(h.file.endswith("hot.py") for h in burst.hotspots if h.function == "burn")
    assert sum(h.seconds_share for h in burst.hotspots) <= 2.0 + 1e-6


def test_other_bursts_are_not_sampled_and_slow_log_handlers_are_timed(conduct):
    conducted = conduct("hot.py", 0, "fork")
    assert diagnose(conducted).hotspots
    burst = conducted.burst()
    assert burst.hotspots == []
    logs = [stall for stall in burst.stalls if stall.kind is StallKind.LOGGING]
    assert len(logs) >= len(burst.period_s) - 1
    assert all(stall.detail == "logging.Slow" and stall.duration_s >= 0.005 for stall in logs)


def test_workers_added_for_a_diagnosis_are_sampled_as_well(conduct):
    burst = diagnose(conduct("hot.py", 0, "fork"), Settings.make(num_workers=2))
    assert share(burst, Where.FETCH, "burn") > 0.6


@pytest.mark.parametrize("steps", [20, 10**6])
def test_a_script_without_a_loader_says_what_its_main_thread_does(start, steps):
    with pytest.raises(TargetGone) as gone:
        start("no_loader.py", steps).hello(60)
    assert gone.value.status == 0
    goodbye = gone.value.goodbye
    assert goodbye is not None
    assert not goodbye.conducted
    assert goodbye.hotspots[0].function == "load_by_hand"
    assert goodbye.hotspots[0].seconds_share > 0.5


def test_a_persistent_loader_that_nobody_holds_survives_being_conducted(conduct):
    conducted = conduct("unheld_loader.py")
    assert conducted.burst().period_s
    assert conducted.burst(num_workers=2).period_s
    assert conducted.burst(num_workers=0).period_s


LIBRARY = """
import time


def burn(cpu_s):
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        sum(range(100))


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for t in self.transforms:
            x = t(x)
        return x


class Resize:
    def __call__(self, x):
        burn(0.004)
        return x


class Flip:
    def __call__(self, x):
        burn(0.0002)
        return x.flip(0)
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("forkserver", marks=pytest.mark.heavy)])
def test_of_an_installed_librarys_pipeline_the_costly_transform_is_named(conduct, tmp_path, method):
    package = tmp_path / "site-packages" / "shapevision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(LIBRARY)
    burst = diagnose(conduct("composed.py", package.parent, method))
    loading = [h for h in burst.hotspots if h.where is Where.FETCH]
    assert sum(h.seconds_share for h in loading if h.via == "Resize") > 0.6
    (place,) = {(h.function, h.file.rsplit("/", 1)[-1]) for h in loading if h.via == "Resize"}
    assert place == ("Pictures.__getitem__", "composed.py")
