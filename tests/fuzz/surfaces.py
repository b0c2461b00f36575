"""Every door through which bytes from elsewhere come in, each as one function, with what it may answer.

A surface takes bytes and returns whether they were accepted. It refuses with an error of ours; anything else that
comes out of it is a bug.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import run_factory

from gputune import baseline, config, export, record, report
from gputune.errors import GputuneError
from gputune.export import json as json_export
from gputune.export import toml as toml_export
from gputune.export import yaml as yaml_export
from gputune.probes import protocol
from gputune.probes.burst import Burst
from gputune.probes.channel import Channel, ChannelClosed, ChannelTimeout
from gputune.probes.settings import Settings


class Surface(NamedTuple):
    """One door."""

    name: str
    feed: Callable[[bytes], bool]
    seeds: list[bytes]
    """Valid inputs to start mutations from."""
    share: float = 1.0
    """Of the inputs, relative to other doors: rendering takes milliseconds, decoding microseconds."""


class Surfaces:
    """All doors, reading through files in a folder of their own where the product reads files."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "input"
        run = run_factory.run()
        settings = Settings.make(num_workers=4)
        exported = config.Config(loaders=[config.LoaderConfig(file="/a.py", line=3, settings=settings)])
        held = baseline.from_run(run, "main")
        run = _short(run)
        frames = [_frame(message) for message in _events(run)]
        self.all = [
            Surface("run.json", self._from_file(record.load), [record.dump(run)]),
            Surface("views of a run", self._from_file(_shown), [record.dump(run)], share=0.05),
            Surface("baseline", self._from_file(baseline.load), [msgspec.json.encode(held)]),
            Surface("config .json", _config(".json"), [json_export.text(exported).encode()]),
            Surface("config .yaml", _config(".yaml"), [yaml_export.text(exported).encode()]),
            Surface("config .toml", _config(".toml"), [toml_export.text(exported).encode()]),
            Surface("event frames", lambda data: _frames(data, protocol.Event), frames),
            Surface("order frames", lambda data: _frames(data, protocol.Order), [_frame(protocol.Release())]),
        ]

    def _from_file(self, load: Callable[[Path], Any]) -> Callable[[bytes], bool]:
        def feed(data: bytes) -> bool:
            self._file.write_bytes(data)
            return _accepted(lambda: load(self._file))

        return feed


def temporary() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for inputs, in memory where there is memory: a million files are written into it."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def _accepted(step: Callable[[], Any]) -> bool:
    try:
        step()
    except GputuneError as error:
        said = str(error)
    else:
        return True
    assert "\n" not in said, f"more than one line: {said}"
    return False


def _shown(file: Path) -> None:
    """Load a run and render it every way there is."""
    run = record.load(file)
    for name in (*report.FORMATS, *export.FORMATS):
        form = report.FORMATS.get(name) or export.FORMATS[name]
        with contextlib.suppress(GputuneError):  # a form may refuse a run; the others must still be tried
            form.render(run)


def _config(suffix: str) -> Callable[[bytes], bool]:
    return lambda data: _accepted(lambda: config.parse(data, suffix, "input"))


def _frames(data: bytes, kind: Any) -> bool:
    """Read frames until there are none; the writer is gone, as after a crash."""
    read, write = os.pipe()
    spare_read, spare_write = os.pipe()
    os.close(spare_read)
    channel: Channel[Any] = Channel(read, spare_write, kind)
    os.write(write, data[:60_000])  # a pipe holds 64 KiB
    os.close(write)
    count = 0
    try:
        while True:
            channel.receive(0.0)
            count += 1
    except (ChannelClosed, ChannelTimeout):
        return count > 0
    finally:
        channel.close()


def _short(run: record.Run) -> record.Run:
    """Return the run with few measurements, so that a million of its kind are read in minutes."""

    def cut(burst: Burst | None) -> Burst | None:
        if burst is None:
            return None
        series = {name: getattr(burst, name)[:2] for name in ("period_s", "wait_s", "samples", "ready", "workers")}
        return msgspec.structs.replace(burst, **series, stalls=burst.stalls[:1])

    trials = [msgspec.structs.replace(trial, burst=cut(trial.burst)) for trial in run.trials[:2]]
    thin = {"baseline": cut(run.baseline), "ceiling": cut(run.ceiling), "diagnosis": cut(run.diagnosis)}
    return msgspec.structs.replace(run, **thin, trials=trials, proof=None)


def _frame(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return struct.pack("<I", len(body)) + body


def _events(run: record.Run) -> list[msgspec.Struct]:
    assert run.baseline is not None
    assert run.loader is not None
    assert run.environment is not None
    site = run.loader
    return [
        protocol.Hello(protocol=1, environment=run.environment, loader=site, loaders=[site]),
        protocol.Measured(id=1, burst=run.baseline),
        protocol.Progress(text="hello"),
        protocol.Goodbye(loaders=[site], conducted=False),
    ]
