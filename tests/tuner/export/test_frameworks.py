"""Exports run against the real frameworks: pip install transformers accelerate hydra-core lightning."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import run_factory as factory

from gputune.export import huggingface, hydra, lightning
from gputune.probes.settings import Settings
from gputune.record import Recommendation, Run

WITH_WORKERS = Settings.make(num_workers=3, prefetch_factor=4, pin_memory=False, persistent_workers=True)
WITHOUT = Settings.make(num_workers=0)
pytestmark = pytest.mark.filterwarnings("ignore")


def recommending(settings: Settings) -> Run:
    chosen = Recommendation(settings=settings, ratio=2.0, low=1.9, high=2.1, reproducibility="")
    return factory.run(recommendation=chosen, trials=[], proof=None)


@pytest.mark.parametrize("settings", [WITH_WORKERS, WITHOUT], ids=["workers", "none"])
def test_training_arguments_take_keywords_flags_and_json(settings: Settings, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    text = huggingface.render(recommending(settings))
    flags = text.split("# command line flags\n")[1].split("\n")[0]
    (tmp_path / "arguments.json").write_text(
        json.dumps({"output_dir": str(tmp_path), **json.loads(text[text.index("{") :])})
    )
    parser = transformers.HfArgumentParser(transformers.TrainingArguments)
    made = [
        transformers.TrainingArguments(output_dir=str(tmp_path), **huggingface.arguments(settings)),
        parser.parse_args_into_dataclasses(["--output_dir", str(tmp_path), *shlex.split(flags)])[0],
        parser.parse_json_file(str(tmp_path / "arguments.json"))[0],
    ]
    for arguments in made:
        assert {name: getattr(arguments, name) for name in huggingface.arguments(settings)} == huggingface.arguments(
            settings
        )


def test_hydra_composes_the_overrides(tmp_path: Path) -> None:
    real = pytest.importorskip("hydra", reason="hydra-core is not installed")
    (tmp_path / "config.yaml").write_text("data:\n  num_workers: 0\n  pin_memory: false\n")
    overrides = hydra.render(recommending(WITH_WORKERS)).split("\n")[1].split(" ")
    # Keys that the configuration lacks take a plus, as the export says.
    overrides = [o if o.split("=")[0] in ("data.num_workers", "data.pin_memory") else f"+{o}" for o in overrides]
    with real.initialize_config_dir(str(tmp_path), version_base=None):
        made = real.compose("config", overrides=overrides)
    assert dict(made.data) == WITH_WORKERS.dataloader_kwargs()


def test_lightning_builds_the_loader_from_the_module() -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    names: dict[str, Any] = {}
    exec(compile(lightning.render(recommending(WITH_WORKERS)), "module", "exec"), names)
    module = names["DataModule"]()
    module.train_set = list(range(8))
    loader = module.train_dataloader()
    assert (loader.num_workers, loader.prefetch_factor, loader.persistent_workers) == (3, 4, True)
