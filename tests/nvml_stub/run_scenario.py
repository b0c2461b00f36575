"""Open the GPU and read it, in a process of its own because pynvml keeps global state.

Takes {"uuid": str | null, "reads": n, "interval_s": s} as its argument and prints what it saw; both are JSON.
"""

import dataclasses
import json
import sys
import time

from gputune.probes.gpu import open_gpu

scenario = json.loads(sys.argv[1])
gpu = open_gpu(scenario["uuid"])
opened_s = time.monotonic()
readings = []
for _ in range(scenario["reads"]):
    time.sleep(scenario["interval_s"])
    readings.append(dataclasses.asdict(gpu.read()))
result = {
    "kind": type(gpu).__name__,
    "name": gpu.name,
    "uuid": gpu.uuid,
    "driver": gpu.driver,
    "opened_s": opened_s,
    "read_s": time.monotonic(),
    "readings": readings,
    "gaps": gpu.gaps(),
    "missing": gpu.missing(),
}
gpu.close()
gpu.close()
result["after_close"] = dataclasses.asdict(gpu.read())
print(json.dumps(result))
