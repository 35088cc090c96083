"""HTTP load by wrk (https://github.com/wg/wrk; the Debian package ``wrk``)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = """
local at, bodies = 0, {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
request = function()
  at = at %% #bodies + 1
  return wrk.format("POST", nil, {["content-type"] = "application/json"}, bodies[at])
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "FIGURES [%%d, %%f, %%d, %%f, %%f]\\n",
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run measured; times in milliseconds. ``failed`` counts all but 2xx and 3xx."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


def load(url: str, bodies: Sequence[Any], connections: int, seconds: float) -> Load:
    """POST ``bodies`` in turn as fast as ``connections`` connections take them."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is not installed; on Debian: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "bodies")
        lines.write_text("".join(json.dumps(body) + "\n" for body in bodies))
        script = Path(folder, "post.lua")
        script.write_text(_SCRIPT % lines)
        options = ["-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "10s"]
        command = [program, *options, "-s", str(script), url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = re.search(r"^FIGURES (.*)$", output, re.MULTILINE)
    assert match, output
    requests, took, failed, p50, p99 = json.loads(match[1])
    return Load(requests, requests / took, p50, p99, failed)
