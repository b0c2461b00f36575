"""The proof: the user's settings and the candidate's in alternating pairs, and what the change does to the samples."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gputune import cycles, stats
from gputune.bench import Bench
from gputune.probes.burst import Burst, Infeasible, Purpose, Sameness
from gputune.probes.protocol import Length, LoaderSite
from gputune.probes.settings import Settings
from gputune.record import Pair, Proof

MIN_PAIRS = 4
MAX_PAIRS = 8
TIGHT = 0.03
"""Relative half-width of the ratio's interval at which more pairs are not worth their time."""
CLEAR, CLEAR_SPREAD = 3.0, 0.10
"""A gain this many times its own uncertainty, known to this relative half-width, needs no more pairs either."""
LENGTH = Length(warmup_batches=2, min_batches=10, min_s=0.8, max_s=2.0, precision=0.02)


def prove(
    bench: Bench,
    user: Settings,
    candidate: Settings,
    deadline_s: float,
    say: Callable[[str], None] = lambda text: None,
    length: Length = LENGTH,
) -> Proof | None:
    """Measure alternating pairs (A B B A ...) until the interval of the ratio is tight or clear.

    Where the candidate writes checkpoints elsewhere, each burst has to hold whole stretches from one checkpoint to the
    next, and these are what is compared.

    Adjacent bursts share the machine's mood; drift and neighbours cancel in the ratio. At least
    :data:`MIN_PAIRS` pairs are taken even when the budget is over: an unproved recommendation is worth nothing.

    Returns:
        The comparison, or ``None`` when the candidate did not survive it.
    """
    pairs: list[Pair] = []
    while len(pairs) < MAX_PAIRS:
        order = (user, candidate) if len(pairs) % 2 == 0 else (candidate, user)
        bursts = {}
        for settings in order:
            result = bench.measure(settings, Purpose.PROOF, length)
            if isinstance(result, Infeasible) or (length.checkpoints and cycles.of_burst(result) is None):
                return None
            bursts[settings] = result
        pairs.append(Pair(user=bursts[user], candidate=bursts[candidate]))
        comparison = compare(pairs)
        say(f"pair {len(pairs)}: {comparison.value:.2f}x")
        enough = comparison.spread <= TIGHT or _clear(comparison) or bench.now_s() > deadline_s
        if len(pairs) >= MIN_PAIRS and enough:
            break
    return judged(candidate, pairs)


def _clear(ratio: stats.Estimate) -> bool:
    return ratio.spread <= CLEAR_SPREAD and ratio.value - 1 >= CLEAR * ratio.spread * ratio.value


def compare(pairs: list[Pair]) -> stats.Estimate:
    """Return candidate / user throughput over the pairs, with its 95 % interval."""
    rates = [user_and_candidate(pair) for pair in pairs]
    return stats.ratio_interval([candidate / max(1e-9, user) for user, candidate in rates])


def user_and_candidate(pair: Pair) -> tuple[float, float]:
    """Return samples a second of both sides; with their checkpoints where these are what was changed."""
    if pair.user.settings.async_checkpoint == pair.candidate.settings.async_checkpoint:
        return stats.samples_per_s(pair.user), stats.samples_per_s(pair.candidate)
    return _with_checkpoints(pair.user), _with_checkpoints(pair.candidate)


def _with_checkpoints(burst: Burst) -> float:
    return cycles.samples_per_s(burst) or stats.samples_per_s(burst)


def judged(candidate: Settings, pairs: list[Pair]) -> Proof:
    """Return the verdict on a set of pairs: better only if the interval excludes 1 and the gain matters."""
    ratio = compare(pairs)
    better = ratio.low > 1.0 and ratio.value >= 1.0 + stats.MIN_EFFECT
    return Proof(candidate=candidate, pairs=pairs, ratio=ratio.value, low=ratio.low, high=ratio.high, better=better)


def reproducibility(
    user: Settings, candidate: Settings, loader: LoaderSite, sameness: Sameness = Sameness.UNKNOWN
) -> str:
    """Return, in one sentence, what a change of settings does to the samples the model sees, and how that is known."""
    changed = user.differences(candidate)
    knobs = [name for name in changed if name in {**user.knob_values, **candidate.knob_values}]
    said = _reproducibility(changed, loader, sameness)
    return f"{said}; what {', '.join(knobs)} changes about them is the script's own" if knobs else said


def _reproducibility(changed: Collection[str], loader: LoaderSite, sameness: Sameness) -> str:
    if "deterministic" in changed:
        return "same elements in an order that varies from run to run"
    if "map_parallelism" in changed or "interleave_parallelism" in changed:
        return "identical elements in identical order; random augmentations draw another random stream"
    if "in_order" in changed:
        return "same samples in an order that varies from run to run"
    if loader.iterable and "num_workers" in changed:
        return "same samples, another order: an IterableDataset is sharded by worker"
    if "persistent_workers" in changed:
        return "same samples; at a fixed seed the shuffle order differs from the second epoch on"
    if sameness is Sameness.CONTENT:
        return "identical batches in identical order (the same indices, fetched again, brought the same values)"
    known = " (checked by index)" if sameness is Sameness.INDICES else ""
    if "num_workers" in changed:
        return f"identical batches in identical order{known}; random augmentations draw another random stream"
    return f"identical batches in identical order{known}"


def sameness(pairs: list[Pair]) -> Sameness:
    """Return the weakest evidence that any of the candidate's bursts has for the user's samples."""
    found = {pair.candidate.sameness for pair in pairs}
    ranked = (Sameness.UNKNOWN, Sameness.INDICES, Sameness.CONTENT)
    return next((rank for rank in ranked if rank in found), Sameness.UNKNOWN)
