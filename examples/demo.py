"""`make demo`: the whole platform on this machine, a person who can log in, and a real flow that has just run.

The flow of `examples/flights.py` is deployed, triggered through the API, claimed by the agent and followed here. With
`--once` everything stops then, and the exit code says whether all of it was recorded.
"""

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from orchestrator.server import environment
from orchestrator.server.embedded import StackError, data_directory

EMAIL = "demo@example.com"
ORGANIZATION = "Demo"
WORKSPACE = "Flights"
START_SECONDS = 90
STOP_SECONDS = 60
RUN_SECONDS = 300
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def main() -> int:
    """Start, prove, and stay up; the exit code for the shell."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop when everything has been proved")
    options = parser.parse_args()
    data_dir = environment.data_dir().absolute()
    with running_stack(data_dir) as up:
        person = bootstrap(data_dir)
        log_in(person)
        succeeded = run_flow(person, data_dir)
        print(welcome(person), flush=True)
        if up and not options.once:
            wait_for_end(up)
    return 0 if succeeded else 1


@contextmanager
def running_stack(data_dir: Path) -> Iterator[subprocess.Popen[bytes] | None]:
    """Start the stack and stop it in the end; one that runs already is used and left alone (None)."""
    if already_runs(data_dir):
        yield None
        return
    quiet = {**os.environ, "ORCHESTRATOR_AGENT_OUTPUT": "off"}  # The run's log is followed here.
    up = subprocess.Popen([sys.executable, "manage.py", "up"], cwd=environment.BASE_DIR, env=quiet)
    try:
        wait_until_ready(up, data_dir)
        yield up
    finally:
        up.terminate()
        up.wait(STOP_SECONDS)


def already_runs(data_dir: Path) -> bool:
    data_directory.prepare(data_dir)
    try:
        with data_directory.lock(data_dir):
            return False
    except StackError:
        return True


def wait_until_ready(up: subprocess.Popen[bytes], data_dir: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if up.poll() is not None:
            sys.exit(up.returncode or 1)
        stack = data_directory.read_stack(data_dir)
        if stack.get("pid") == up.pid and is_ready(stack["PUBLIC_URL"]):
            return
        time.sleep(0.1)
    sys.exit(f"The stack wasn't ready within {START_SECONDS} s. Its lines above say why.")


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=2).is_success
    except httpx.HTTPError:
        return False


def bootstrap(data_dir: Path) -> dict[str, Any]:
    """Make or find the demo's person, organization and workspace; answer how to reach them."""
    password = kept_password(data_dir)
    command = [sys.executable, "manage.py", "bootstrap", "--email", EMAIL, "--organization", ORGANIZATION]
    command += ["--workspace", WORKSPACE, "--password", password, "--json"]
    done = subprocess.run(command, cwd=environment.BASE_DIR, stdout=subprocess.PIPE, check=True, timeout=60)
    return {**json.loads(done.stdout), "password": password}


def kept_password(data_dir: Path) -> str:
    """One password for as long as the data directory lives, so that every start can print it."""
    file = data_dir / "demo.password"
    if not file.exists():
        data_directory.write_private(file, secrets.token_urlsafe(9))
    return file.read_text(encoding="utf-8")


def log_in(person: dict[str, Any]) -> None:
    """Log in as a browser does, and see the workspace's first page."""
    portal = person["portal_url"]
    base = portal.partition("/o/")[0]
    with httpx.Client(
        base_url=base, follow_redirects=True, timeout=20, headers={"Referer": f"{base}/login/"}
    ) as browser:
        form = browser.get("/login/").raise_for_status()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
        if token is None:
            sys.exit("The log-in page has no form. Its template is broken.")
        fields = {"login": person["email"], "password": person["password"], "csrfmiddlewaretoken": token[1]}
        browser.post("/login/", data=fields).raise_for_status()
        page = browser.get(portal).raise_for_status()
        if "/login/" in str(page.url):
            sys.exit(
                f"{person['email']} couldn't log in. Remove the data directory's demo.password, or reset the password."
            )


def run_flow(person: dict[str, Any], data_dir: Path) -> bool:
    """Deploy the example, trigger it, follow its log; whether it completed and was recorded whole."""
    from examples.flights import flight_delays
    from orchestrator.config import Api, use_api

    use_api(Api(person["api_url"], person["api_key"]))
    deployment = flight_delays.deploy("demo", parameters={"output": str(data_dir / "flight-delays")})
    with httpx.Client(
        base_url=person["api_url"], headers={"Authorization": f"Bearer {person['api_key']}"}, timeout=30
    ) as api:
        run = api.post("/flow-runs", json={"deployment": str(deployment)}).raise_for_status().json()
        print(f"\n  Watch it: {run['url']}\n", flush=True)
        return is_whole(follow(api, run["id"]))


def follow(api: httpx.Client, run_id: str) -> dict[str, Any]:
    """Print the run's log as it grows, until the run has ended; answer the run."""
    line, deadline = 0, time.monotonic() + RUN_SECONDS
    while True:
        run = api.get(f"/flow-runs/{run_id}").raise_for_status().json()
        told = api.get(f"/flow-runs/{run_id}/logs", params={"after": line}).raise_for_status().json()
        line = told["next"]
        for entry in told["items"]:
            print(f"  {entry['t'][11:19]}  {entry['message']}", flush=True)
        if run["state"]["type"] in FINAL and not told["items"]:
            return run
        if time.monotonic() > deadline:
            sys.exit(f"The run is {run['state']['name']} after {RUN_SECONDS} s: {run['state']['message']}")
        time.sleep(0.3)


def is_whole(run: dict[str, Any]) -> bool:
    """Completed, with every task run recorded: twelve months three times over, the models, and what binds them."""
    tasks, state = run["tasks"], run["state"]
    models = sum(tasks.values()) - 3 * 12 - 2
    whole = state["type"] == "COMPLETED" and set(tasks) == {"COMPLETED"} and models >= 30
    print(f"\n  {state['name']} in {run['duration']:.1f} s; task runs recorded: {tasks}")
    if not whole:
        print(f"  That is not what it should be. {state['message']}")
    return whole


def welcome(person: dict[str, Any]) -> str:
    rows = [("portal", person["portal_url"]), ("e-mail", person["email"]), ("password", person["password"])]
    return "\n" + "\n".join(f"  {name:9} {value}" for name, value in rows) + "\n"


def wait_for_end(up: subprocess.Popen[bytes]) -> None:
    """Stay until Ctrl-C, which reaches `up` as well: it stops by itself, and we wait for it."""
    try:
        up.wait()
    except KeyboardInterrupt:
        up.wait(STOP_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
