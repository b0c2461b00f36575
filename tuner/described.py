"""Settings and places in the source as people read them."""

from __future__ import annotations

from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import DEFAULT_PREFETCH_FACTOR, SETTINGS, Settings
from gputune.probes.tensorflow.settings import shown as pipeline_value


def place(site: LoaderSite | None) -> str:
    """Return ``train.py:57`` for the line a user would edit."""
    if site is None or not (site.user_file or site.file):
        return "the loader"
    file, line = (site.user_file, site.user_line) if site.user_file else (site.file, site.line)
    return f"{'/'.join(file.split('/')[-2:])}:{line}"


def shown(settings: Settings, user: Settings) -> str:
    """Return settings without values that are torch's default and not the user's own choice."""
    if settings.pipeline is not None:
        before = user.pipeline.values() if user.pipeline else {}
        after = settings.pipeline.values()
        kept = [name for name, value in after.items() if value != before.get(name)] or list(after)
        return " ".join(f"{name}={pipeline_value(after[name])}" for name in kept)
    mine, theirs = settings.dataloader_kwargs(), user.dataloader_kwargs()
    default = {"prefetch_factor": DEFAULT_PREFETCH_FACTOR, "pin_memory": False, "persistent_workers": False}
    ordered = [name for name in SETTINGS if name in mine]
    kept = [n for n in ordered if mine[n] != default.get(n) or theirs.get(n, mine[n]) != mine[n]]
    values = {name: mine[name] for name in kept} | settings.process_wide() | settings.knob_values
    return " ".join(f"{name}={value}" for name, value in values.items())


API = {
    "async_checkpoint": "gputune.install_async_save({!r})",
    "async_logging": "gputune.install_async_logging()",
}
"""What switches each process-wide setting on in a script of one's own; the value is put into the braces."""


def process_wide(settings: Settings) -> list[str]:
    """Return, one sentence each, how what no argument of a loader can express is applied."""
    return [
        f"{name}={value} is applied by gputune run, or in your script by import gputune; {API[name].format(value)}."
        for name, value in settings.process_wide().items()
    ]
