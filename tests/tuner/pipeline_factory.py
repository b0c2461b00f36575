"""Synthetic runs over a ``tf.data`` pipeline, with known numbers."""

from __future__ import annotations

from typing import Any

import msgspec
import run_factory as factory

from gputune import record
from gputune.probes.burst import Burst, HostUse, Purpose
from gputune.probes.protocol import Environment, LoaderSite
from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import PipelineSettings, PipelineStage, StageUse

FILE = "/home/ana/project/train.py"
OWN = PipelineSettings(map_parallelism=1, batch_parallelism=1, prefetch=0)
GOOD = OWN.replace(map_parallelism=8, prefetch=2, private_threadpool_size=8)
STAGES = [
    PipelineStage(operation="shuffle", file=FILE, line=19),
    PipelineStage(operation="map", file=FILE, line=20, function="decode"),
    PipelineStage(operation="batch", file=FILE, line=21),
]
USES = [
    StageUse(name="TensorSlice", busy_s=0.1, elements=1000),
    StageUse(name="Shuffle", busy_s=0.1, elements=1000),
    StageUse(name="MapAndBatch", busy_s=3.8, elements=30, chosen={"parallelism": 2}),
]


def burst(settings: PipelineSettings = OWN, *, cores: float = 0.1, **values: Any) -> Burst:
    made = factory.burst(Settings(tensorflow=settings), **values)
    host = HostUse(cpu_cores=cores, other_cpu_cores=0.0, rss_bytes=1 << 30)
    return msgspec.structs.replace(made, workers=[], host=host, stages=USES)


def site(own: PipelineSettings = OWN, **changes: Any) -> LoaderSite:
    values: dict[str, Any] = {"file": FILE, "line": 21, "dataset_class": "TensorSliceDataset", "stages": STAGES}
    return factory.site(settings=Settings(tensorflow=own), **{**values, **changes})


def run(own: PipelineSettings = OWN, good: PipelineSettings = GOOD, **changes: Any) -> record.Run:
    """A starved run whose recommendation is proved."""
    pairs = [record.Pair(user=burst(own), candidate=burst(good, wait_s=0.001))] * 4
    settings = Settings(tensorflow=good)
    values: dict[str, Any] = {
        "environment": Environment(pid=1, python="3.11.7", torch="", tensorflow="2.21.0", keras="3.15.1"),
        "loader": site(own),
        "loaders": [site(own)],
        "baseline": burst(own),
        "ceiling": burst(own, purpose=Purpose.CEILING, wait_s=0.0),
        "trials": [],
        "outcome": record.Outcome.RECOMMENDED,
        "proof": record.Proof(candidate=settings, pairs=pairs, ratio=2.4, low=2.3, high=2.5, better=True),
        "recommendation": record.Recommendation(
            settings=settings, ratio=2.4, low=2.3, high=2.5, reproducibility="identical elements in identical order"
        ),
    }
    return msgspec.structs.replace(factory.run(), **{**values, **changes})
