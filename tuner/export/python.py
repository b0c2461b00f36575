"""DataLoader keyword arguments as a snippet to paste, one for each loader, by file and line."""

from __future__ import annotations

from gputune import config
from gputune.export import runtime_api
from gputune.record import Run


def render(run: Run) -> str:
    """Return Python that builds the keyword arguments; it runs as it stands."""
    made = config.from_run(run)
    parts = ["# Proved by gputune; paste the arguments into the call, or pass **loader_kwargs."]
    for number, loader in enumerate(made.loaders):
        name = "loader_kwargs" if number == 0 else f"loader_kwargs_{number + 1}"
        parts.append(snippet(loader, name))
    return runtime_api.appended("\n".join(parts), made.loaders[0].settings)


def snippet(loader: config.LoaderConfig, name: str = "loader_kwargs") -> str:
    """Return the assignment for one loader, with where it belongs."""
    where = f"{loader.file}:{loader.line}"
    if loader.user_file and loader.user_file != loader.file:
        where += f" (called from {loader.user_file}:{loader.user_line})"
    what = f" over {loader.dataset_class}" if loader.dataset_class else ""
    lines = [f"# {_one_line(where)}{_one_line(what)}", f"{name} = dict("]
    lines += [f"    {key}={value!r}," for key, value in loader.settings.dataloader_kwargs().items()]
    return "\n".join([*lines, ")"]) + "\n"


def _one_line(text: str) -> str:
    """Keep a path with a line break in it inside its comment."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
