"""Fifty secrets go through a whole installation, and nothing keeps one in clear: no log, page, journal, event, audit
line, row, or file of PostgreSQL and Valkey.

The flow does with them what careless code does: prints them, logs them encoded in many ways, names runs, artifacts and
tags by them, and fails with them in its message.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import string
import subprocess
import sys
import textwrap
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestrator.server import environment
from tests.whole_stack import WholeStack

pytestmark = pytest.mark.skipif(
    not (environment.BASE_DIR / "staticfiles" / "staticfiles.json").exists(), reason="`make install` builds the assets"
)
PLANTED = 50
MARK = 12
PASSWORD = "correct horse battery"
IN_CLEAR = "everybody may read this"  # Found where secrets would be: the search works.
WAIT_SECONDS = 300

CARELESS = """
    import base64, json, logging, urllib.parse
    from orchestrator import flow, get_run_logger, task
    from orchestrator.artifacts import create_link_artifact, create_table_artifact
    from orchestrator.blocks import Secret

    @task(task_run_name="look at {text}")
    def look(text):
        return text

    @task
    def fail(text):
        raise RuntimeError(f"the server refused the password {text}")

    @flow(log_prints=True)
    def careless(count: int):
        log = get_run_logger()
        print("everybody may read this")
        for number in range(count):
            text = Secret.load(f"planted-{number}").get()
            print("the password is", text)
            create_table_artifact({text: [text]}, description=f"with {text}")
            create_link_artifact(f"https://user:{text}@db.example")
            print(base64.b64encode(f"user:{text}".encode()).decode())
            log.info("a URL: https://me:%s@db.example/x", urllib.parse.quote(text, safe=""))
            log.warning(json.dumps({"password": text}))
            logging.getLogger(__name__).error("repr: %r", {"password": text})
            look(text)
        fail(text, return_state=True)
        raise ValueError(f"gave up, with {text} in my hands")

    if __name__ == "__main__":
        careless.deploy("nightly")
"""


def planted() -> list[str]:
    """Random, and with the signs that encodings differ in. All have one mark, so that one search finds any of them."""
    mark = "".join(secrets.choice(string.ascii_letters) for _ in range(MARK))
    return [f"Pä {mark}{secrets.token_urlsafe(12)}/+&\"'<\\ {number}" for number in range(PLANTED)]


def forms(texts: list[str]) -> list[bytes]:
    """The mark of all secrets as it might lie in a file: in clear, and in the commonest encodings."""
    start = texts[0][: len("Pä ") + MARK]
    mark = start.split(" ")[1].encode()  # Letters alone: no encoding of a text or an address changes them.
    encoded = [base64.b64encode(b"\0" * shift + start.encode())[4 : 4 + 16] for shift in range(3)]
    return [mark, *encoded]


def told(secret: str) -> list[bytes]:
    """A secret in the encodings in which the flow tells it."""
    raw = secret.encode()
    return [raw, json.dumps(secret).encode(), urllib.parse.quote(secret, safe="").encode(), *in_base64(raw)]


def in_base64(raw: bytes) -> list[bytes]:
    return [base64.b64encode(before + raw) for before in (b"", b"u", b"u:", b"user:")]


class Caller:
    """The API with the key of the installation's first person."""

    def __init__(self, whole: WholeStack, made: dict[str, Any]) -> None:
        self.root, self.key = f"{whole.url}/api/v1", made["api_key"]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.root + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


def wait_for_end(call: Caller, id: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while (run := call("GET", f"/flow-runs/{id}"))["state"]["type"] not in {"COMPLETED", "FAILED", "CRASHED"}:
        assert time.monotonic() < deadline, run
        time.sleep(0.1)
    return run


def tables(whole: WholeStack) -> Iterator[tuple[str, str]]:
    """Every row of every table as text, read by the role that sees all tenants."""
    with psycopg.connect(whole.addresses["DATABASE_WORKER_URL"]) as connection:
        connection.execute("SET ROLE system")
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname <> 'django_migrations' ORDER BY 1"
        ).fetchall()
        for (name,) in names:
            rows = connection.execute(f"SELECT every::text FROM {name} every").fetchall()
            yield name, "\n".join(text for (text,) in rows)


def test_planted_secrets_are_found_nowhere(open_directory: Path, tmp_path: Path, migrated: Path) -> None:
    texts = planted()
    assert all(seen(texts, as_told) for text in texts for as_told in told(text))
    home = tmp_path / "home"
    directory = open_directory / "secrets"  # Of its own: others start theirs beside it.
    directory.mkdir(mode=0o755, exist_ok=True)
    whole = WholeStack(directory, ORCHESTRATOR_HOME=str(home), LOG_LEVEL="DEBUG").filled(migrated)
    whole.start()
    try:
        call = Caller(whole, whole.bootstrap("--password", PASSWORD))
        for number, text in enumerate(texts):
            call("PUT", f"/blocks/secret/planted-{number}", {"data": {"value": text}})
        run = run_carelessly(whole, call, tmp_path)
        assert run["state"]["type"] == "FAILED"
        shown = json.dumps([run, call("GET", f"/flow-runs/{run['id']}/logs?limit=1000"), call("GET", "/blocks")])
        shown += "".join(pages(whole, run["id"]))
        assert shown.count("********") > PLANTED * 3
        found = [f"row of {name}: {form!r}" for name, rows in tables(whole) for form in seen(texts, rows.encode())]
        assert [name for name, rows in tables(whole) if IN_CLEAR in rows] == ["log_line"]
        assert dict(tables(whole))["audit_entry"].count("block.read") == PLANTED
        found += [f"answer: {form!r}" for form in seen(texts, shown.encode())]
    finally:
        whole.stop()
    files = [path for folder in (directory, home) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    contents = {path: path.read_bytes() for path in files}
    assert any(IN_CLEAR.encode() in content for content in contents.values())
    found += [f"{path}: {form!r}" for path, content in contents.items() for form in seen(texts, content)]
    assert found == []


def pages(whole: WholeStack, run: str) -> Iterator[str]:
    """What a person sees of it in the portal and in the admin."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(f"{whole.url}/login/", timeout=60) as answer:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', answer.read().decode())[1]
    form = {"csrfmiddlewaretoken": token, "login": "alice@example.com", "password": PASSWORD}
    headers = {"Referer": f"{whole.url}/login/"}
    browser.open(
        urllib.request.Request(f"{whole.url}/login/", urllib.parse.urlencode(form).encode(), headers), timeout=60
    )
    home = f"{whole.url}/o/acme/"
    for path in (
        f"main/runs/{run}", f"main/runs/{run}?tab=log", f"main/runs/{run}?tab=tasks", f"main/runs/{run}/log",
        "main/runs", "main/", "main/quarantine", "main/blocks", "main/blocks/secret/planted-0",
        "main/blocks/secret/planted-0?tab=versions", "audit", "admin/", "admin/blocks/block/",
    ):  # fmt: skip
        with browser.open(home + path, timeout=60) as answer:
            assert "/login/" not in answer.url, path
            yield answer.read().decode()


def seen(texts: list[str], content: bytes) -> list[bytes]:
    return [form for form in forms(texts) if form in content]


def run_carelessly(whole: WholeStack, call: Caller, folder: Path) -> dict[str, Any]:
    """Deploy the flow and let the installation's own agent run it."""
    script = folder / "careless.py"
    script.write_text(textwrap.dedent(CARELESS))
    variables = {"ORCHESTRATOR_API_URL": call.root, "ORCHESTRATOR_API_KEY": call.key}
    done = subprocess.run(
        [sys.executable, str(script)], env=whole.environment() | variables | {"PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = call("POST", "/flow-runs", {"deployment": "careless/nightly", "parameters": {"count": PLANTED}})
    return wait_for_end(call, run["id"])
