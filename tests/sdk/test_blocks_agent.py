"""Fifty planted secrets, used by runs of a real agent, are in nothing that leaves a process."""

from __future__ import annotations

import base64
import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.parse

import pytest

from orchestrator import testing
from orchestrator.blocks import Secret
from orchestrator.client import Client
from orchestrator.masking import MASK
from tests.sdk.conftest import ROOT

FLOWS = '''
import base64, json, logging, os, sys, urllib.parse
from orchestrator import flow, get_run_logger, task
from orchestrator.blocks import Secret

@task
def fails(text):
    raise LookupError(f"task {text}")

def tell(text):
    """In all the ways that people tell things."""
    log = get_run_logger()
    print("print", text)
    print("stderr", text, file=sys.stderr)
    sys.stdout.buffer.write(f"buffer {text}\\n".encode())
    log.info("log %s", text, extra={"token": text})
    log.info("url %s", urllib.parse.quote(text, safe=""))
    log.info("json %s", json.dumps({"a": text}))
    for before in ("", "a", "ab"):
        log.info("base64 %s", base64.b64encode(f"{before}{text}:x".encode()).decode())
        log.info("safe %s", base64.urlsafe_b64encode(f"{before}{text}".encode()).decode())
    logging.getLogger("orchestrator.mine").warning("mine %s", text)
    fails.with_options(name=f"fails {text}", tags=[text], task_run_name=text)(text, return_state=True)

@flow
def careless(first: Secret, names: list[str]):
    loaded = [first.get(), *(Secret.load(name).get() for name in names)]
    for text in loaded:
        tell(text)
    raise RuntimeError(f"at last {loaded}")

@flow
def dies(name: str):
    print("before it dies:", Secret.load(name).get(), flush=True)
    os.kill(os.getpid(), 9)

@flow
def leaves(name: str):
    raise SystemExit("left " + Secret.load(name).get())
'''
MADE = [f"p{number}/{secrets.token_urlsafe(12)}+ü\"'\\{number}" for number in range(50)]


@pytest.fixture
def served():
    with testing.server(serve=True, lease_seconds=20, wait_seconds=1) as server:
        server.sent = []
        answer = server.memory.request

        def note(method, path, query, headers, body):
            if not path.startswith("/blocks"):
                server.sent.append(body)
            return answer(method, path, query, headers, body)

        server.memory.request = note
        yield server


@pytest.fixture
def agent(served, tmp_path):
    """An agent with a key of its own; its log."""
    settings = {
        "PYTHONPATH": str(ROOT),
        "ORCHESTRATOR_API_KEY": served.new_key("agent"),
        "ORCHESTRATOR_AGENT_GRACE_SECONDS": "2",
    }
    command = [sys.executable, "-m", "orchestrator.cli", "agent", "start", "--name", "tester"]
    path = tmp_path / "agent.log"
    with path.open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT)
        yield path
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def deploy(tmp_path, name, process):
    code = tmp_path / "code"
    code.mkdir(exist_ok=True)
    (code / "flows.py").write_text(FLOWS)
    source = {"type": "path", "path": str(code)}
    body = {"flow": name, "name": "prod", "entrypoint": f"flows.py:{name}", "source": source, "process": process}
    with Client() as client:
        client.post("/deployments", body)


def traces(secret):
    """What would give a secret away: the middle of each of its forms."""
    yield secret[2:14]
    yield urllib.parse.quote(secret, safe="")[4:18]
    for before in (b"", b"a", b"ab"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(before + secret.encode()).decode()[6:20]


@pytest.mark.parametrize("process", ["fresh", "warm"])
def test_planted_secrets_are_found_nowhere(served, agent, tmp_path, until, process):
    for number, secret in enumerate(MADE):
        Secret(value=secret).save(f"s{number}")
    for name in ("careless", "dies", "leaves"):
        deploy(tmp_path, name, process)
    names = [f"s{number}" for number in range(1, 50)]
    runs = [
        served.trigger("careless/prod", {"first": {"$block": "secret/s0"}, "names": names}),
        served.trigger("dies/prod", {"name": "s7"}),
        served.trigger("leaves/prod", {"name": "s8"}),
    ]
    until(lambda: all(run.is_final for run in runs))
    until(lambda: "before it dies" in agent.read_text())

    careless = served.run(runs[0])
    assert careless.state_name == "Failed"
    assert careless.error["message"].count(MASK) == 50
    assert len(served.tasks(careless)) == 50
    assert f"before it dies: {MASK}" in agent.read_text()
    store = served.memory.store
    told = [agent.read_text(), repr(store.quarantine), repr([run.history for run in runs])]
    told += [repr([[line.message, line.extra] for line in run.lines]) for run in runs]
    told += [repr([[task.label, task.message, task.error, task.tags] for task in run.tasks.values()]) for run in runs]
    told += [repr([run.error, run.parameters, run.state_message]) for run in runs]
    told += [repr(each.lines) for each in store.agents.values()]
    told += [_unpacked(body) for body in served.sent]
    whole = "\n".join(told)
    found = [trace for secret in MADE for trace in traces(secret) if trace in whole]
    assert found == []
    assert whole.count(MASK) > 50 * 10
    assert len(re.findall("base64", whole)) >= 150


def _unpacked(body):
    if body[:4] == b"\x28\xb5\x2f\xfd":
        import zstandard

        body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body.decode("utf-8", "replace")
