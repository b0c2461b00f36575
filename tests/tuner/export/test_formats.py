"""Every export format: what it holds, and that what it is for accepts it."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import run_factory as factory
from hypothesis import given
from hypothesis import strategies as st
from patch_bench import LOADER_SETTINGS
from torch.utils.data import DataLoader

from gputune import config
from gputune.errors import InconclusiveError
from gputune.export import FORMATS, bencher, env, github_benchmark, huggingface, hydra, lightning, python
from gputune.probes.settings import Settings
from gputune.record import Recommendation, Run

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
SETTINGS = st.builds(
    Settings.make,
    num_workers=st.integers(0, 16), prefetch_factor=st.one_of(st.none(), st.integers(1, 16)),
    pin_memory=st.booleans(), persistent_workers=st.booleans(),
)  # fmt: skip
NEED_NO_RECOMMENDATION = {"markdown", "github-benchmark", "bencher"}


def recommending(settings: Settings) -> Run:
    chosen = Recommendation(settings=settings, ratio=2.0, low=1.9, high=2.1, reproducibility="")
    return factory.run(recommendation=chosen, trials=[], proof=None)


def executed(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "snippet", "exec"), names)
    return names


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("patch", "tfdata", "keras")])
def test_each_format_is_what_it_was(name: str, golden: Any) -> None:
    golden(f"export-{name}.txt", FORMATS[name].render(factory.run()))


@pytest.mark.parametrize("name", FORMATS)
def test_without_recommendation_only_measurements_are_exported(name: str) -> None:
    if name in NEED_NO_RECOMMENDATION:
        assert FORMATS[name].render(factory.healthy())
        return
    with pytest.raises(InconclusiveError, match="recommends nothing"):
        FORMATS[name].render(factory.healthy())


@pytest.mark.parametrize("name", ["github-benchmark", "bencher"])
def test_a_run_that_measured_nothing_feeds_nothing(name: str) -> None:
    with pytest.raises(InconclusiveError, match="measured nothing"):
        FORMATS[name].render(factory.no_loader())


@given(SETTINGS)
def test_the_snippet_gives_the_real_loader_the_same_settings(settings: Settings) -> None:
    kwargs = executed(python.render(recommending(settings)))["loader_kwargs"]
    loader = DataLoader([1, 2, 3], **kwargs)
    seen = {name: getattr(loader, name) for name in LOADER_SETTINGS}
    assert Settings.make(**seen) == settings


@given(SETTINGS)
def test_no_export_names_worker_options_without_workers(settings: Settings) -> None:
    run = recommending(settings)
    for render in (python.render, huggingface.render, hydra.render, env.render):
        held = "prefetch" in render(run).lower()
        assert held == (settings.num_workers > 0)


def test_a_path_with_a_line_break_stays_inside_its_comment() -> None:
    run = msgspec.structs.replace(factory.run(), loader=factory.site(file="/a\nimport os\n/train.py"))
    assert set(executed(python.render(run))) == {"__builtins__", "loader_kwargs"}


@dataclasses.dataclass
class TrainingArguments:
    """The loader fields of transformers.TrainingArguments with their types and defaults."""

    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    dataloader_persistent_workers: bool = False
    dataloader_prefetch_factor: int | None = None


@given(SETTINGS)
def test_hugging_face_arguments_are_fields_of_training_arguments(settings: Settings) -> None:
    made = TrainingArguments(**huggingface.arguments(settings))
    assert (made.dataloader_num_workers, made.dataloader_pin_memory) == (
        settings.num_workers,
        settings.pin_memory,
    )
    text = huggingface.render(recommending(settings))
    assert json.loads(text[text.index("{") :]) == huggingface.arguments(settings)


def test_hydra_fragment_and_overrides_hold_the_same_values() -> None:
    text = hydra.render(factory.run(), prefix="train.loader")
    assert "train.loader.num_workers=3 train.loader.pin_memory=true" in text
    fragment = msgspec.yaml.decode(text[text.index("train.loader:\n") :].encode())
    assert fragment["train.loader"] == factory.GOOD.dataloader_kwargs()


def test_a_shell_reads_the_environment_file(tmp_path: Path) -> None:
    file = tmp_path / "loader.env"
    file.write_text(env.render(factory.run()))
    command = f"set -a; . {shlex.quote(str(file))}; env"
    seen = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=20).stdout
    assert "DATALOADER_NUM_WORKERS=3\n" in seen
    assert "DATALOADER_PIN_MEMORY=1\n" in seen


def test_the_lightning_module_compiles_and_passes_the_arguments_to_the_loader() -> None:
    text = lightning.render(factory.run())
    compile(text, "module", "exec")
    assert all(f"{name}={value!r}," in text for name, value in factory.GOOD.dataloader_kwargs().items())


class BenchmarkRow(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of github-action-benchmark's customBiggerIsBetter (its README, "Custom benchmark tools")."""

    name: str
    unit: str
    value: float
    range: str | None = None
    extra: str | None = None


class BencherMetric(msgspec.Struct, forbid_unknown_fields=True):
    """One metric of the Bencher Metric Format (bencher.dev/docs/reference/bencher-metric-format)."""

    value: float
    lower_value: float | None = None
    upper_value: float | None = None


@pytest.mark.parametrize("name", [name for name in factory.ALL if name not in ("no_loader", "script_failed")])
def test_benchmark_feeds_have_the_shape_their_services_take(name: str) -> None:
    run = factory.ALL[name]()
    rows = msgspec.json.decode(github_benchmark.render(run), type=list[BenchmarkRow])
    assert len({row.name for row in rows}) == len(rows) >= 1
    assert all(row.name and row.unit and row.value > 0 for row in rows)
    feed = msgspec.json.decode(bencher.render(run), type=dict[str, dict[str, BencherMetric]])
    assert list(feed) == ["train.py"]
    for measure, metric in feed["train.py"].items():
        assert re.fullmatch(r"[a-z-]{1,64}", measure)
        assert metric.lower_value is None or metric.lower_value <= metric.value <= (metric.upper_value or 0)
    assert feed["train.py"]["throughput"].value == pytest.approx(rows[0].value)


def read_environment(text: str) -> dict[str, Any]:
    lines = [line.partition("=") for line in text.splitlines() if line.startswith("DATALOADER_")]
    whole = {name.removeprefix("DATALOADER_").lower(): int(value) for name, _, value in lines}
    return {
        name: bool(value) if name in ("pin_memory", "persistent_workers") else value for name, value in whole.items()
    }


def read_overrides(text: str) -> dict[str, Any]:
    pairs = (word.removeprefix("data.").partition("=") for word in text.split("\n")[1].split(" "))
    return {name: msgspec.yaml.decode(value) for name, _, value in pairs}


def read_trainer_arguments(text: str) -> dict[str, Any]:
    return {name.removeprefix("dataloader_"): value for name, value in json.loads(text[text.index("{") :]).items()}


READERS = {
    "python": lambda text: executed(text)["loader_kwargs"],
    "env": read_environment,
    "hydra": read_overrides,
    "huggingface": read_trainer_arguments,
    "yaml": lambda text: read_back(text, "yaml").dataloader_kwargs(),
    "json": lambda text: read_back(text, "json").dataloader_kwargs(),
    "toml": lambda text: read_back(text, "toml").dataloader_kwargs(),
}


def read_back(text: str, name: str) -> Settings:
    return config.parse(text.encode(), FORMATS[name].suffix, "made").loaders[0].settings


@given(SETTINGS, st.sampled_from(sorted(READERS)))
def test_exporting_and_reading_back_gives_the_same_settings(settings: Settings, name: str) -> None:
    assert Settings.make(**READERS[name](FORMATS[name].render(recommending(settings)))) == settings


def test_every_format_that_carries_settings_is_read_back_or_run() -> None:
    run_for_real = {"patch", "lightning", "tfdata", "keras"}  # test_patch.py; test_frameworks.py; test_tfdata.py
    assert set(FORMATS) - NEED_NO_RECOMMENDATION - run_for_real == set(READERS)


@pytest.mark.parametrize("name", ["python", "env", "lightning", "huggingface", "hydra"])
def test_what_no_loader_argument_expresses_is_said_in_a_comment(name: str) -> None:
    settings = Settings.make(num_workers=2, async_checkpoint="thread", async_logging=True)
    text = FORMATS[name].render(recommending(settings))
    comments = [line for line in text.splitlines() if line.startswith("# async_")]
    assert len(comments) == 2
    assert "gputune.install_async_save('thread')" in comments[0]
    assert text.startswith(FORMATS[name].render(recommending(settings.loader_only())).rstrip())


@pytest.mark.parametrize("name", ["yaml", "json", "toml"])
def test_process_wide_settings_come_back_from_a_configuration(name: str) -> None:
    settings = Settings.make(num_workers=2, async_checkpoint="process", async_logging=True)
    text = FORMATS[name].render(recommending(settings))
    assert config.parse(text.encode(), f".{name}", "file").loaders[0].settings == settings
