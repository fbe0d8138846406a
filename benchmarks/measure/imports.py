"""The import of the names that every user needs, in fresh interpreters."""

import json
import subprocess
import time

from benchmarks.figures import median
from benchmarks.site import PROGRAMS, Site

TIMEOUT = 60
PROGRAM = """
import json, sys
{imports}
network = {{"_ssl", "_socket", "http.client", "httpx", "urllib.request", "asyncio"}}
own = [name for name in sys.modules if name.partition(".")[0] == "{product}"]
pages = int(open("/proc/self/statm").read().split()[1])
print(json.dumps([len(own), len(network & set(sys.modules)), pages * 4096 / 2**20]))
"""


def imports(site: Site) -> dict[str, float]:
    """Start to end of an interpreter that imports and does nothing else, less that of a bare one."""
    bare = [_seconds(site, "pass")[0] for _ in range(site.sizes.imports)]
    whole = [
        _seconds(site, PROGRAM.format(product=site.product, imports=site.imports)) for _ in range(site.sizes.imports)
    ]
    modules, network, memory = json.loads(whole[-1][1])
    return {
        "import.ms": 1000 * (median([seconds for seconds, _ in whole]) - median(bare)),
        "import.memory": memory,
        "import.modules": modules,
        "import.network": network,
    }


def _seconds(site: Site, program: str) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(
        [site.python, "-c", program],
        cwd=PROGRAMS,
        env=dict(site.environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    return time.perf_counter() - began, done.stdout
