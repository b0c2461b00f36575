"""Arguments for a Keras ``PyDataset``; a run over a ``tf.data`` pipeline gives what ``tfdata`` gives."""

from __future__ import annotations

from gputune import config
from gputune.export import tfdata
from gputune.record import Run

_ARGUMENTS = ("workers", "use_multiprocessing", "max_queue_size")


def render(run: Run) -> str:
    """Return Python that runs as it stands.

    Raises:
        InconclusiveError: nothing is recommended, or nothing of TensorFlow's.
    """
    config.from_run(run)
    wanted, _, site = tfdata.proved(run)
    if wanted.workers is None:
        return tfdata.render(run)
    name = site.dataset_class.replace("\n", " ")
    values = {argument: getattr(wanted, argument) for argument in _ARGUMENTS}
    return (
        "\n".join(
            [
                f"# Proved by gputune; pass them to {name}(..., **py_dataset_kwargs), whose __init__ hands **kwargs to",
                "# keras.utils.PyDataset.__init__.",
                "py_dataset_kwargs = dict(",
                *(f"    {argument}={value!r}," for argument, value in values.items() if value is not None),
                ")",
            ]
        )
        + "\n"
    )
