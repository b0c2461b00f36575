"""What sampled stacks say, added up to functions of the user's code. Pure functions of stored hotspots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from gputune.probes.burst import Burst, Hotspot, Where

LOADING = frozenset({Where.FETCH, Where.COLLATE})
MIN_SAMPLED_S = 0.15
"""Fewer seconds of samples (100 a second) name nothing."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One function (and the library callable under it) with its part of the sampled time."""

    where: Where
    file: str
    line: int
    """The line of it that took most."""
    function: str
    via: str
    caller: str
    share: float

    @property
    def shown(self) -> str:
        """Return ``Resize in data/coco.py:57 (Coco.__getitem__)``."""
        function = "" if self.function == "<module>" else f" ({self.function.replace('.<locals>', '')})"
        place = f"{'/'.join(self.file.split('/')[-2:])}:{self.line}{function}"
        by = f", called by {self.caller.replace('.<locals>', '')}" if self.caller else ""
        return f"{self.via} in {place}{by}" if self.via else f"{place}{by}"


def of(hotspots: Iterable[Hotspot], *wheres: Where) -> list[Place]:
    """Return places of the given kinds, most expensive first; shares are of the stretch they belong to."""
    functions: dict[tuple[Where, str, str, str, str], list[Hotspot]] = defaultdict(list)
    for hotspot in hotspots:
        if hotspot.where in wheres:
            functions[(hotspot.where, hotspot.file, hotspot.function, hotspot.via, hotspot.caller)].append(hotspot)
    places = [
        Place(
            where=where, file=file, function=function, via=via, caller=caller,
            share=sum(h.seconds_share for h in lines),
            line=max(lines, key=lambda h: h.seconds_share).line,
        )
        for (where, file, function, via, caller), lines in functions.items()
    ]  # fmt: skip
    return sorted(places, key=lambda place: -place.share)


def loading(burst: Burst | None) -> list[Place]:
    """Return where fetching and collating spend their time (nothing without enough samples)."""
    if burst is None or _sampled_s(burst.hotspots, loading=True) < MIN_SAMPLED_S:
        return []
    return of(burst.hotspots, *LOADING)


def main_thread(burst: Burst | None, *wheres: Where) -> list[Place]:
    """Return what the main thread does outside ``next()``.

    Without a sample inside a module, autograd or an optimiser nobody can tell the model's computation from other
    code, so nothing is returned.
    """
    if burst is None or _sampled_s(burst.hotspots, loading=False) < MIN_SAMPLED_S:
        return []
    if not any(hotspot.where is Where.STEP for hotspot in burst.hotspots):
        return []
    return of(burst.hotspots, *wheres)


def _sampled_s(hotspots: Iterable[Hotspot], *, loading: bool) -> float:
    return sum(hotspot.seconds for hotspot in hotspots if (hotspot.where in LOADING) is loading)
