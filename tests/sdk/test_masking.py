"""Secrets are in nothing that a process tells, however they are written."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import urllib.parse

import pytest

from orchestrator import flow, get_run_logger, journal, masking, task, testing
from orchestrator.blocks import AwsCredentials, Secret, SqlAlchemyConnector, Webhook
from orchestrator.masking import MASK, hide, mask, mask_json

SECRETS = [
    "hunter22",
    "tr0ub4dor&3",
    "correct horse",
    "p@ss/w+rd ü%😀\"'",
    "//++//++??>>==",
    "a\\b\\\\c\nand a second line",
    "\\\\server\\share",
    "<b>&amp;</b>",
    '{"a": "b c"}',
    "sécret",
    "x" * 300,
]


@pytest.fixture(autouse=True)
def nothing_hidden():
    masking.forget()
    yield
    masking.forget()


def spellings(secret):
    """As people, libraries and servers write it."""
    yield secret
    for text in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), ascii(secret)):
        yield text
        yield json.dumps(text)
    yield repr(secret.encode())
    yield html.escape(secret)
    for encode in (urllib.parse.quote, urllib.parse.quote_plus):
        for text in (encode(secret), encode(secret, safe=""), encode(encode(secret, safe=""), safe="")):
            yield text
            yield text.replace("%2F", "%2f").replace("%2B", "%2b")


@pytest.mark.parametrize("secret", SECRETS)
def test_any_spelling_is_masked(secret):
    hide([secret])
    for text in spellings(secret):
        masked = mask(f"before {text} after")
        assert masked.startswith("before ")
        assert masked.endswith(" after")
        assert masked.count(MASK) == 1
        assert len(masked) <= len(f"before {MASK} after") + 6, text  # Quotes are no part of it.


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [b"", b"\xff", b"\xff\xfe", b"user:"])
@pytest.mark.parametrize("after", [b"", b"@", b"\xff\xff", b"@db.example"])
@pytest.mark.parametrize("secret", SECRETS)
def test_it_is_masked_in_base64_wherever_it_stands(secret, before, after, encode):
    hide([secret])
    encoded = encode(before + secret.encode() + after).decode()
    for text in (encoded, encoded.rstrip("="), urllib.parse.quote(encoded, safe="")):
        masked = mask(text)
        assert masked.count(MASK) == 1
        left = urllib.parse.unquote(masked.replace(MASK, ""))
        assert len(left) <= 4 * len(before + after) // 3 + 8, left


def test_nothing_costs_nothing():
    text = "text"
    value = {"a": [1]}
    assert mask(text) is text
    assert mask_json(value) is value


def test_what_is_short_stays():
    hide(["12345", "  123  ", "", "ab\n"])
    assert mask("12345 123 ab") == "12345 123 ab"


def test_white_space_around_it_is_no_part_of_it():
    hide(["  hunter22\n"])
    assert mask("is hunter22.") == f"is {MASK}."


def test_the_longest_wins():
    hide(["hunter", "hunter22", "hunter22-and-more"])
    assert mask("hunter hunter22 hunter22-and-more") == f"{MASK} {MASK} {MASK}"


def test_lines_of_a_key_are_masked_one_by_one():
    lines = [f"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC{number:04}" for number in range(20)]
    hide(["-----BEGIN PRIVATE KEY-----\n" + "\n".join(lines) + "\n-----END PRIVATE KEY-----\n"])
    assert mask(f"line: {lines[7]}") == f"line: {MASK}"
    assert "MIIE" not in mask("\n".join(lines))
    assert "MIIE" not in mask(repr("\n".join(lines)))


def test_a_very_long_secret_is_masked_as_a_whole():
    secret = "".join(f"{number:05}x" for number in range(700))
    hide([secret])
    assert set(mask(secret)) == {"*"}
    assert "00350x" not in mask(f"part of it: {secret[2_000:]}"[:1_500])


def test_json_keeps_its_form():
    hide(["hunter22", "123456"])
    value = {"hunter22": ["hunter22", {"deep": ("x hunter22", 123456, 1234567, True, None)}]}
    assert mask_json(value) == {MASK: [MASK, {"deep": [f"x {MASK}", MASK, 1234567, True, None]}]}


def test_texts_of_backslashes_end():
    hide(["\\\\\\\\secret", "\\n\\n\\n\\n", '""""""'])
    text = "\\" * 100_000
    assert mask(text).replace("*", "").strip("\\") == ""
    assert mask(text + "secret").endswith(MASK)


def test_the_oldest_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(masking, "MOST", 3)
    for number in range(5):
        hide([f"secret-{number}"])
    assert [mask(f"secret-{number}") == MASK for number in range(5)] == [False, False, True, True, True]


def test_a_forked_child_masks_too():
    hide(["hunter22"])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        hide(["another-one"])
        os.write(writing, mask("hunter22 another-one").encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == f"{MASK} {MASK}"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_is_guarded_under_whoever_writes(python, unbuffered):
    script = """
        import logging, sys
        from orchestrator import masking

        early = logging.StreamHandler()
        for stream in (sys.stdout, sys.stderr):
            masking.guard(stream)
            masking.guard(stream)
        print("before: hunter2")
        masking.hide(["hunter22"])
        print("printed", "hunter22", flush=True)
        sys.stdout.buffer.write(b"bytes hunter22\\n")
        print("ü" * 9_000 + "hunter22" + "ü" * 9_000)
        logging.getLogger().addHandler(early)
        logging.warning("logged %s", "hunter22")
        raise ValueError("raised hunter22")
    """
    done = python(script, check=False, PYTHONUNBUFFERED=unbuffered)
    told = done.stdout + done.stderr
    assert "hunter22" not in told
    assert told.count(MASK) == 6
    assert "ü" * 9_000 + MASK + "ü" * 9_000 in told
    assert done.stdout.startswith("before: hunter2\nprinted ********\n")


# Where secrets come from.


@pytest.mark.parametrize(
    ("block", "texts"),
    [
        (lambda: Secret(value="hunter22"), ["hunter22"]),
        (lambda: Secret(value={"user": "me", "deep": [{"password": "hunter22"}, 1234567]}), ["hunter22", "1234567"]),
        (lambda: Secret(value="postgresql://me:hunter%2F22@db.example/x"), ["hunter/22", "hunter%2F22"]),
        (lambda: AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key="hunter22"), ["hunter22"]),
        (
            lambda: Webhook(url="https://x.example/hunter22", headers={"Authorization": "Bearer abc-12345"}),
            ["abc-12345"],
        ),
        (
            lambda: SqlAlchemyConnector(connection_info="postgresql+psycopg://me:hunter22@db.example/x"),
            ["hunter22"],
        ),
    ],
)
def test_a_block_that_is_made_hides_its_secrets(block, texts):
    block()
    for text in texts:
        assert mask(f"it is {text}") == f"it is {MASK}"


def test_what_is_no_secret_stays_readable():
    Webhook(url="https://x.example/hunter22", headers={"Content-Type": "application/json"}, method="PATCH")
    assert mask("PATCH application/json") == "PATCH application/json"


# What a run tells.


def everything(server):
    """All that the server in memory was told, as text."""
    store = server.memory.store
    runs = [
        [run.name, run.parameters, run.tags, run.history, run.error, run.state_message, run.version]
        + [[task.task, task.label, task.message, task.tags, task.history, task.error] for task in run.tasks.values()]
        + [[line.logger, line.message, line.extra] for line in run.lines]
        for run in server.runs()
    ]
    return repr([runs, list(store.events.values()), list(store.artifacts.values()), store.quarantine])


def test_a_run_tells_no_secret(capsys):
    secret = "tr0ub4dor&3/x"

    @task
    def fails(where):
        get_run_logger().info("with extra", extra={"token": secret, secret: 1})
        raise LookupError(f"nothing at {where}")

    @flow(log_prints=True)
    def careless(url):
        Secret(value=secret)
        print("printed", secret)
        get_run_logger().warning("logged %s", urllib.parse.quote(secret, safe=""))
        logging.getLogger("orchestrator.other").error("basic %s", base64.b64encode(f"me:{secret}".encode()).decode())
        state = fails.with_options(name=f"fails {secret}", tags=[secret])(secret, return_state=True)
        assert secret in str(state.message)  # The flow itself sees it.
        try:
            raise ValueError(f"first {secret}")
        except ValueError as error:
            raise RuntimeError(json.dumps({"second": secret})) from error

    with testing.server() as server:
        with pytest.raises(RuntimeError):
            careless(url="x")
        told = everything(server)
    assert told.count(MASK) >= 12
    for text in (secret, urllib.parse.quote(secret, safe=""), "tr0ub", "0cjB1YjRkb3Im", "RyMHViNGRvciYz"):
        assert text not in told
        assert text not in capsys.readouterr().err


def test_journal_files_hold_no_secret(home, monkeypatch, until):
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_test")
    monkeypatch.setenv("ORCHESTRATOR_EXIT_SECONDS", "0.1")

    @flow
    def logs():
        Secret(value="hunter22")
        get_run_logger().info("planted: hunter22")

    logs()
    files = home / "journals"
    until(lambda: any(b"planted" in path.read_bytes() for path in files.glob("*.ndjson")))
    assert not any(b"hunter22" in path.read_bytes() for path in files.iterdir())
    journal.end()
