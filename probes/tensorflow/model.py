"""What TensorFlow's own model of a running pipeline says: time in each transformation, and what AUTOTUNE chose."""

from __future__ import annotations

import importlib
from typing import Any

from gputune.probes.tensorflow.settings import StageUse

_MODEL = "tensorflow.python.data.experimental.ops.iterator_model_ops"


def stages(iterator: Any) -> list[StageUse]:
    """Return what each transformation of a running pipeline did, from the source to the end.

    Empty where TensorFlow keeps no model (autotuning is off) or this version cannot show it.
    """
    try:
        model = importlib.import_module(_MODEL).get_model_proto(iterator)
    except Exception:  # noqa: BLE001  the model is an extra: whatever TensorFlow says instead must not cost a burst
        return []
    found, key, seen = [], model.output, set()
    while key in model.nodes and key not in seen:
        seen.add(key)
        node = model.nodes[key]
        if node.name not in ("Root", "ModelDataset", "Model"):
            found.append(_use(node))
        key = node.inputs[0] if len(node.inputs) else -1
    return found[::-1]


def _use(node: Any) -> StageUse:
    chosen = {
        parameter.name: int(parameter.value)
        for parameter in node.parameters
        if parameter.tunable and abs(parameter.value) < 1 << 40
    }
    return StageUse(name=node.name, busy_s=node.processing_time / 1e9, elements=int(node.num_elements), chosen=chosen)
