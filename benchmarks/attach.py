"""What our environment costs each interpreter that a command starts and that does not train.

python benchmarks/attach.py [--starts 40] [--out results/reference/attach.json]        (budget: 10 ms)
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from gputune.probes import attach


def start_ms(env: dict[str, str]) -> tuple[float, float]:
    """Return wall and CPU milliseconds of one interpreter that does nothing."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], env=env, check=True)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall_s * 1e3, cpu_s * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=40)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    plain = dict(os.environ)
    armed = attach.environment(plain, mode="probe", scope="tree", channel="1:2:3:4:5")
    # Alternating, so that both meet the same noise.
    pairs = [(start_ms(plain), start_ms(armed)) for _ in range(options.starts)]
    result = {
        "python": sys.version.split()[0],
        "starts": options.starts,
        "plain_wall_ms": round(statistics.median(pair[0][0] for pair in pairs), 2),
        "added_wall_ms": round(statistics.median(pair[1][0] - pair[0][0] for pair in pairs), 2),
        "added_wall_ms_of_the_fastest": round(min(p[1][0] for p in pairs) - min(p[0][0] for p in pairs), 2),
        "added_cpu_ms": round(statistics.median(pair[1][1] - pair[0][1] for pair in pairs), 2),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
