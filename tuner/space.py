"""What may be tried: every setting's choices after the user's wishes, the dataset's gates and the machine's limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any

import msgspec

from gputune.probes.protocol import Gate
from gputune.probes.settings import NEED_WORKERS, SETTINGS, Safety, Scope, Setting, Settings
from gputune.record import Machine

SHM_SHARE = 0.5
"""Prefetched batches may fill at most this share of free /dev/shm; a full one kills workers with SIGBUS."""
MEMORY_SHARE = 0.8
"""Workers may take at most this share of available memory."""
WORKERS_PER_CPU_BOUND_CORE = 1.5
"""CPU-bound workers beyond this many per effective core only get in each other's way."""
WORKERS_PER_CORE = 16
"""Even workers that only wait cost start-up, memory and wake-ups; nobody needs more than this."""


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates of a search, and why some values are missing."""

    choices: dict[str, tuple[Any, ...]]
    offered: dict[str, tuple[Any, ...]] = {}
    """The same before the machine's limits and the gates: alike on every machine that runs the same search."""
    shm_bytes: int | None = None
    """Room for prefetched batches; None when unknown."""
    batch_bytes: int = 0
    memory_bytes: int | None = None
    """Room for workers and prefetched batches together (/dev/shm is memory too); None when unknown."""
    worker_bytes: int = 0
    cuts: list[str] = []
    """One sentence for each restriction, for the report."""

    def fits(self, settings: Settings) -> bool:
        """Whether the batches in flight (one more a worker in the making) fit into shared memory and memory."""
        if settings.num_workers == 0:
            return True
        in_flight_bytes = settings.num_workers * ((settings.prefetch_factor or 1) + 1) * self.batch_bytes
        if self.shm_bytes is not None and in_flight_bytes > self.shm_bytes:
            return False
        taken_bytes = in_flight_bytes + settings.num_workers * self.worker_bytes
        return self.memory_bytes is None or taken_bytes <= self.memory_bytes

    def candidates(self) -> list[Settings]:
        """Return every distinct valid combination of loader settings that fits."""
        names = [name for name in self.choices if SETTINGS[name].scope is Scope.LOADER]
        combinations = product(*(self.choices[name] for name in names))
        found = {self.loader_part(Settings.make(**dict(zip(names, v, strict=True)))) for v in combinations}
        return [settings for settings in found if self.fits(settings)]

    def loader_part(self, settings: Settings) -> Settings:
        """Return ``settings`` with process-wide ones as they are before any is tried: off, unless they are fixed."""
        return settings.replace(**{n: v[0] for n, v in self.choices.items() if SETTINGS[n].scope is Scope.PROCESS})

    def allows(self, settings: Settings) -> bool:
        """Whether every value of ``settings`` may be tried."""
        values = msgspec.structs.asdict(settings)
        return self.fits(settings) and all(
            values[name] in choices or (settings.num_workers == 0 and name in NEED_WORKERS)
            for name, choices in self.choices.items()
        )


def build(
    current: Settings,
    machine: Machine,
    *,
    gates: Sequence[Gate] = (),
    restrict: Mapping[str, tuple[Any, ...]] | None = None,
    allow: Sequence[str] = (),
    evident: Collection[str] = (),
    accelerator: bool = False,
    worker_bytes: int = 0,
    batch_bytes: int = 0,
    cpu_bound: bool = False,
) -> Space:
    """Return the space of a search.

    Args:
        current: the user's own settings; always part of the space.
        machine: limits that cut num_workers and what may be in flight.
        gates: what the dataset forbids.
        restrict: ``--set`` and ``--fix``: the only values to consider for a setting.
        allow: names of semantic settings the user lets us try.
        evident: names of process-wide settings that something measured speaks for.
        accelerator: whether settings that need one make sense.
        worker_bytes: memory one worker is expected to take (0: unknown).
        batch_bytes: bytes of tensors in one batch (0: unknown).
        cpu_bound: fetching is mostly CPU work, so workers beyond the cores cannot help.
    """
    restrict = dict(restrict or {})
    choices = {
        name: restrict.get(name) or _sensible(setting, current, allow, accelerator, evident)
        for name, setting in SETTINGS.items()
    }
    offered = _with_own(choices, current, restrict)
    process_wide = {name for name, setting in SETTINGS.items() if setting.scope is Scope.PROCESS}
    choices |= {name: (getattr(current, name),) for name in process_wide - {*restrict, *evident}}
    cuts: list[str] = []
    if "num_workers" not in restrict:
        most, why = _worker_limit(machine, worker_bytes, cpu_bound)
        choices["num_workers"] = tuple(n for n in choices["num_workers"] if n <= most)
        cuts.append(why)
    cuts += _close_gates(choices, gates, current)
    shm, memory = machine.shm_free_bytes, machine.memory_available_bytes
    return Space(
        choices=_with_own(choices, current, restrict),
        offered=offered,
        shm_bytes=int(shm * SHM_SHARE) if shm is not None else None,
        batch_bytes=batch_bytes,
        worker_bytes=worker_bytes,
        cuts=cuts,
        memory_bytes=int(memory * MEMORY_SHARE) if memory is not None else None,
    )


def _sensible(
    setting: Setting, current: Settings, allow: Sequence[str], accelerator: bool, evident: Collection[str]
) -> tuple[Any, ...]:
    """Return the choices of a setting the user has not restricted: its own value alone where changing it is not ours to
    decide or makes no sense here."""
    mine = getattr(current, setting.name)
    forbidden = setting.safety is Safety.SEMANTIC and setting.name not in allow
    unasked = setting.scope is Scope.PROCESS and setting.name not in evident
    if forbidden or unasked or (setting.needs_accelerator and not accelerator):
        return (mine if mine is not None else setting.choices[0],)
    return setting.choices


def _close_gates(choices: dict[str, tuple[Any, ...]], gates: Sequence[Gate], current: Settings) -> list[str]:
    """Drop from ``choices`` what the dataset forbids; return the reasons."""
    reasons = []
    for gate in gates:
        kept = tuple(value for value in choices[gate.setting] if value in gate.allowed)
        if kept != choices[gate.setting]:
            reasons.append(gate.reason)
        choices[gate.setting] = kept or (getattr(current, gate.setting),)
    return reasons


def _with_own(
    choices: Mapping[str, tuple[Any, ...]], current: Settings, restrict: Mapping[str, tuple[Any, ...]]
) -> dict[str, tuple[Any, ...]]:
    """Return the choices with the user's own values among them, where the user has not restricted them."""
    return {
        name: values
        if name in restrict or (mine := getattr(current, name)) is None or mine in values
        else tuple(sorted((*values, mine)))
        for name, values in choices.items()
    }


def _worker_limit(machine: Machine, worker_bytes: int, cpu_bound: bool) -> tuple[int, str]:
    """Return the most workers worth or safe to try and the sentence that says why."""
    cpus = machine.effective_cpus or machine.cpus or 1
    factor = WORKERS_PER_CPU_BOUND_CORE if cpu_bound else WORKERS_PER_CORE
    limit = max(2, round(cpus * factor))
    work = "CPU work" if cpu_bound else "mostly waiting"
    why = f"num_workers up to {limit}: {cpus:g} effective CPUs, fetching is {work}"
    if worker_bytes and machine.memory_available_bytes:
        room = int(machine.memory_available_bytes * MEMORY_SHARE / worker_bytes)
        if room < limit:
            limit = max(0, room)
            why = f"num_workers up to {limit}: each worker takes about {worker_bytes / 2**20:.0f} MiB of memory"
    return limit, why
