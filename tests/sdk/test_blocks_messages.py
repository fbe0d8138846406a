"""Webhook, SlackWebhook and EmailServerCredentials against servers of this process."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from orchestrator.blocks import EmailServerCredentials, SlackWebhook, Webhook, webhooks
from orchestrator.exceptions import BlockError


class Endpoint:
    """An address that notes who calls it, and answers as it is told."""

    def __init__(self):
        self.calls = []
        self.answers = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                endpoint.calls.append((self.command, self.path, dict(self.headers), body))
                status, headers = endpoint.answers.pop(0) if endpoint.answers else (200, {})
                self.send_response(status)
                for name, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_):
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that would have been made, by this thread: others, whosever they are, make theirs."""
    made, own, sleep = [], threading.get_ident(), time.sleep
    pause = lambda seconds: made.append(seconds) if threading.get_ident() == own else sleep(seconds)  # noqa: E731
    monkeypatch.setattr(webhooks.time, "sleep", pause)
    return made


# Webhooks.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_call_has_method_headers_and_payload(endpoint, method):
    hook = Webhook(url=f"{endpoint.url}/a?b=c", method=method, headers={"X-Key": "hunter22", "X-Number": 5})
    answer = hook.call({"a": "ü"})
    assert (answer.status_code, answer.text) == (200, "ok")
    verb, path, headers, body = endpoint.calls[0]
    assert (verb, path, headers["X-Key"], headers["X-Number"]) == (method, "/a?b=c", "hunter22", "5")
    assert (headers["Content-Type"], json.loads(body)) == ("application/json", {"a": "ü"})


@pytest.mark.parametrize(("payload", "sent"), [(None, b""), ("text", b"text"), (b"\0", b"\0"), ([], b"[]"), (0, b"0")])
def test_payloads_of_all_kinds(endpoint, payload, sent):
    Webhook(url=endpoint.url).call(payload)
    assert endpoint.calls[0][3] == sent


def test_coroutines_call_too(endpoint):
    assert asyncio.run(Webhook(url=endpoint.url).acall({"a": 1})).status_code == 200


def test_an_answer_that_refuses_is_an_answer(endpoint):
    endpoint.answers = [(404, {}), (500, {})]
    hook = Webhook(url=endpoint.url)
    assert [hook.call().status_code, hook.call().status_code] == [404, 500]
    assert len(endpoint.calls) == 2


def test_what_passes_is_tried_again(endpoint, pauses):
    endpoint.answers = [(503, {}), (429, {"Retry-After": "7"}), (502, {"Retry-After": "3600"}), (200, {})]
    assert Webhook(url=endpoint.url).call({"a": 1}).status_code == 200
    assert len(endpoint.calls) == 4
    assert 0.25 <= pauses[0] <= 0.75
    assert pauses[1:] == [7.0, 30.0]
    endpoint.answers = [(503, {})] * 9
    assert Webhook(url=endpoint.url, retries=1).call().status_code == 503
    assert len(endpoint.calls) == 6


def test_no_answer_names_the_host_alone(pauses):
    hook = Webhook(url="http://127.0.0.1:9/services/hunter22", retries=2)
    with pytest.raises(BlockError, match=r"127\.0\.0\.1") as refused:
        hook.call({"a": 1})
    assert "hunter22" not in str(refused.value)
    assert len(pauses) == 2


def test_a_silent_server_is_given_up_once(endpoint, pauses):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hook = Webhook(url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        with pytest.raises(BlockError, match="No answer"):
            hook.call({"a": 1})
    assert pauses == []  # It may have been taken: sent again, it might be done twice.


@pytest.mark.parametrize("url", ["file:///etc/passwd", "hunter22", "ftp://x"])
def test_addresses_that_are_none(url):
    for kind in (Webhook, SlackWebhook):
        with pytest.raises(ValueError, match="https://") as refused:
            kind(url=url)
        assert url not in str(refused.value)


def test_slack_is_told(endpoint):
    slack = SlackWebhook(url=f"{endpoint.url}/services/T/B/X")
    slack.notify("it failed", subject="nightly")
    asyncio.run(slack.anotify("x" * 100_000))
    first, second = (json.loads(call[3])["text"] for call in endpoint.calls)
    assert first == "*nightly*\nit failed"
    assert len(second) == 39_000
    endpoint.answers = [(403, {})]
    with pytest.raises(BlockError, match="403 ok"):
        slack.notify("x")


# Mail.


class Mailbox:
    """What a server received."""

    def __init__(self):
        self.mails = []
        self.refuse = None

    async def handle_DATA(self, server, session, envelope):
        if self.refuse:
            return self.refuse
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content.decode(), session.auth_data))
        return "250 OK"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def log_in(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"me@x.example", b"hunter22"), auth_data=data)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody vouches for."""
    directory = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    subprocess.run([*command, *files, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return directory


@pytest.fixture(params=["INSECURE", "STARTTLS"])
def mail(request, certificate):
    """A server, and the block that knows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    secure = {"tls_context": context, "require_starttls": True} if request.param == "STARTTLS" else {}
    box = Mailbox()
    options = {"authenticator": log_in, "auth_require_tls": request.param == "STARTTLS"}
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options, **secure)
    controller.start()
    block = EmailServerCredentials(
        smtp_server="127.0.0.1",
        smtp_port=controller.port,
        smtp_type=request.param,
        username="me@x.example",
        password="hunter22",
        recipients=["you@x.example"],
        verify=False,
        timeout_seconds=10,
    )
    yield block, box
    controller.stop()


def test_a_mail_is_sent(mail):
    block, box = mail
    sent = block.send("Grüße\nBcc: evil@x.example", "Hello ü", ["a@x.example", "b@x.example"], html="<b>Hello</b>")
    block.notify("First line\nmore")
    asyncio.run(block.asend("again", "text", "c@x.example", sender="other@x.example"))
    asyncio.run(block.anotify("x", subject="s"))
    sender, recipients, content, login = box.mails[0]
    assert (sender, recipients) == ("me@x.example", ["a@x.example", "b@x.example"])
    assert sent in content
    assert "multipart/alternative" in content
    assert "\nBcc:" not in content
    assert login.login == b"me@x.example"
    assert "Subject: First line\n" in box.mails[1][2].replace("\r\n", "\n")
    assert [mail[1] for mail in box.mails[1:]] == [["you@x.example"], ["c@x.example"], ["you@x.example"]]
    assert box.mails[2][0] == "other@x.example"


def test_what_the_server_refuses_is_told_without_the_password(mail):
    block, box = mail
    box.refuse = "554 no"
    with pytest.raises(BlockError, match="554"):
        block.send("s", "b")
    # That server answers a wrong password once, and is silent to the next way of telling it.
    wrong = block.model_copy(update={"password": type(block.password)("wrong-password"), "timeout_seconds": 1})
    with pytest.raises(BlockError, match="did not take the mail") as refused:
        wrong.send("s", "b")
    assert "wrong-password" not in str(refused.value)


def test_certificates_are_checked(mail):
    block, _ = mail
    if block.smtp_type == "STARTTLS":
        strict = block.model_copy(update={"verify": True})
        with pytest.raises(BlockError, match="CERTIFICATE_VERIFY_FAILED"):
            strict.send("s", "b")


def test_what_a_mail_lacks_is_told_before_anything_is_sent():
    block = EmailServerCredentials(smtp_server="127.0.0.1", smtp_port=9)
    with pytest.raises(BlockError, match="recipients"):
        block.send("s", "b")
    with pytest.raises(BlockError, match="sender"):
        block.send("s", "b", "you@x.example")
    with pytest.raises(BlockError, match="100 addresses"):
        block.send("s", "b", [f"{number}@x.example" for number in range(101)], sender="me@x.example")
    with pytest.raises(BlockError, match=r"127\.0\.0\.1 did not take"):
        block.send("s", "b", "you@x.example", sender="me@x.example")
    with pytest.raises(ValueError, match="Header values"):
        block.send("s", "b", "you@x.example\nBcc: evil@x.example", sender="me@x.example")
