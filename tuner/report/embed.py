"""The stored run inside the page: safe in a script element, thinned when it would make the page too large."""

from __future__ import annotations

import msgspec

from gputune.probes.burst import Burst
from gputune.record import Run


def embedded(run: Run, room_bytes: int) -> tuple[str, str]:
    """Return the run as JSON that is safe inside a script element, and a sentence about what was left out.

    Args:
        run: what to embed.
        room_bytes: what it may take.
    """
    said = "The run is embedded in this page as JSON."
    ways = (
        (_whole, ""),
        (_without_proof_series, " Raw series of trials and proof are left out: see run.json."),
        (_without_series, " Raw series are left out: see run.json."),
    )
    for thin, left_out in ways:
        data = script_safe(msgspec.json.encode(thin(run)).decode())
        if len(data.encode()) <= room_bytes:
            return data, said + left_out
    return "null", "The run is too large to embed: see run.json."


def script_safe(text: str) -> str:
    """Return JSON that cannot end its script element, whatever strings it holds."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _whole(run: Run) -> Run:
    return run


def _bare(burst: Burst | None) -> Burst | None:
    if burst is None:
        return None
    return msgspec.structs.replace(
        burst, period_s=[], wait_s=[], samples=[], ready=[], workers=[], stalls=[], series=None
    )


def _without_proof_series(run: Run) -> Run:
    trials = [msgspec.structs.replace(trial, burst=_bare(trial.burst)) for trial in run.trials]
    proof = run.proof
    if proof:
        pairs = [msgspec.structs.replace(p, user=_bare(p.user), candidate=_bare(p.candidate)) for p in proof.pairs]
        proof = msgspec.structs.replace(proof, pairs=pairs)
    return msgspec.structs.replace(run, trials=trials, proof=proof)


def _without_series(run: Run) -> Run:
    thin = _without_proof_series(run)
    return msgspec.structs.replace(thin, baseline=_bare(run.baseline), ceiling=_bare(run.ceiling))
