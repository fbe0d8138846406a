"""The fake API with what an agent asks for: bundles, deployments, claims, waits, heartbeats."""

from __future__ import annotations

import json
import time
import uuid

from tests.sdk.fake_server import FakeServer


class FakePlatform(FakeServer):
    """Deploy to it, trigger, and let an agent work."""

    def __init__(self, lease_seconds=2.0):
        super().__init__()
        self.lease_seconds = lease_seconds
        self.bundles = {}
        self.deployments = []
        self.queue = []
        self.attempts = {}
        self.counter = 0
        self.waits = 0
        self.heartbeats = []
        self.news = []  # whole heartbeats, with load and log
        self.kept = []  # runs that no other holder would be given
        self.lost = []
        self.facts = {}  # what newer servers tell agents besides
        self.cancels = []
        self.ended = []
        self.routes |= {
            ("POST", "/deployments"): self.deploy,
            ("POST", "/agents"): self.register,
            ("POST", "/agents/A/claim"): self.claim,
            ("POST", "/agents/A/heartbeat"): self.beat,
            ("POST", "/agents/A/ended"): self.end,
        }

    def answer(self, method, path, headers, body):
        name = path.removeprefix("/api/v1")
        if name.startswith("/bundles/"):
            return self.bundle(method, name.removeprefix("/bundles/"), body)
        if method == "GET" and name.startswith("/agents/A/wait"):
            with self.lock:
                self.keys.append(headers.get("Authorization", "").removeprefix("Bearer "))
            return self.wait(int(name.partition("since=")[2]))
        return super().answer(method, path, headers, body)

    def bundle(self, method, sha256, body):
        if method == "PUT":
            self.bundles[sha256] = body
            return 201, {"sha256": sha256}
        if sha256 not in self.bundles:
            return 404, {"error": {"code": "not_found", "message": "no such bundle"}}
        return 200, self.bundles[sha256]

    def deploy(self, body):
        told = json.loads(body)
        self.deployments.append(told)
        return 201, {**told, "id": str(uuid.uuid4()), "url": "http://portal"}

    def register(self, body):
        beat = self.lease_seconds / 4
        told = {"id": "A", "heartbeat_seconds": beat, "lease_seconds": self.lease_seconds, "wait_seconds": 1}
        return 200, {**told, **self.facts}

    def wait(self, since):
        end = time.monotonic() + 1.0
        self.waits += 1
        while time.monotonic() < end and self.counter == since:
            time.sleep(0.01)
        return 200, {"since": self.counter, "due": self.counter != since}

    def claim(self, body):
        slots = json.loads(body)["slots"]
        with self.lock:
            taken, self.queue = self.queue[:slots], self.queue[slots:]
        return 200, {"runs": taken}

    def beat(self, body):
        told = json.loads(body)
        self.news.append(told)
        self.heartbeats.append(told["leases"])
        signals = [{"run": run, "signal": "cancel"} for run in self.cancels]
        replaceable = [lease["run"] for lease in told["leases"] if lease["run"] not in self.kept]
        return 200, {"lost": list(self.lost), "signals": signals, "replaceable": replaceable}

    def end(self, body):
        self.ended.append(json.loads(body))
        return 200, {}

    def trigger(self, deployment, parameters=None, run_count=0, run=None, **more):
        """Queue a run of a deployment as the claim will hand it out; its id."""
        run = run or str(uuid.uuid4())
        self.attempts[run] = self.attempts.get(run, 0) + 1
        claim = {
            "run": run,
            "attempt": self.attempts[run],
            "run_count": run_count,
            "token": f"orr_{uuid.uuid4().hex}",
            "name": f"run-{run[:4]}",
            "flow": deployment["flow"],
            "deployment": deployment["name"],
            "deployment_id": str(uuid.uuid4()),
            "entrypoint": deployment["entrypoint"],
            "source": deployment["source"],
            "parameters": {**deployment["parameters"], **(parameters or {})},
            "tags": ["from-trigger"],
            "lease_seconds": self.lease_seconds,
            **more,
        }
        with self.lock:
            self.queue.append(claim)
            self.counter += 1
        return run
