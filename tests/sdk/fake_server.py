"""A small API in a thread: it keeps journals as the real one does, and can be told to misbehave."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import zstandard


class FakeServer:
    """Understands `POST /journal`; other routes are added to `routes` as {(method, path): function(body) → answer}."""

    def __init__(self):
        self.entries = defaultdict(dict)  # stream id → {seq: entry}
        self.tokens = {}
        self.applied = defaultdict(int)
        self.batches = []
        self.keys = []
        self.signals = []
        self.refuse = []  # [(status, code)] for the next requests
        self.stale = set()
        self.routes = {}
        self.requests = []
        self.lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args):
                pass

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = fake.answer(self.command, self.path, self.headers, body)
                raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                kind = "application/octet-stream" if isinstance(answer, bytes) else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

        class Server(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                # A client that was killed is nothing to report; what is wrong with us shall be read.
                if not isinstance(sys.exc_info()[1], ConnectionError):
                    super().handle_error(request, client_address)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, path, headers, body):
        with self.lock:
            self.keys.append(headers.get("Authorization", "").removeprefix("Bearer "))
            if self.refuse:
                status, code = self.refuse.pop(0)
                return status, {"error": {"code": code, "message": f"told to say {code}"}}
            path = path.removeprefix("/api/v1")
            if path == "/journal":
                return 200, self.apply(unpacked(body, headers.get("Content-Encoding")))
        self.requests.append((method, path, body))
        route = self.routes.get((method, path.partition("?")[0]))
        if route is None:
            return 404, {"error": {"code": "not_found", "message": f"no {method} {path} here"}}
        return route(body)

    def apply(self, body):
        lines = [json.loads(line) for line in body.splitlines() if line]
        assert lines[0]["kind"] == "batch"
        self.batches.append(lines)
        answer = {"acked": {}, "expected": {}, "rejected": [], "signals": list(self.signals)}
        stream = None
        for line in lines[1:]:
            if line["kind"] == "stream":
                stream = self.open(line, answer)
            elif stream is not None and stream not in answer["expected"]:
                self.take(stream, line, answer)
        return answer

    def open(self, line, answer):
        stream = f"{line['root']}.{line['attempt']}.{line['writer']}"
        if stream in self.stale or self.tokens.setdefault(stream, line["token"]) != line["token"]:
            answer["rejected"].append({"stream": stream, "seq": 0, "code": "stale_token"})
            return None
        if line["from_seq"] > self.applied[stream] + 1:
            answer["expected"][stream] = self.applied[stream] + 1
        else:
            answer["acked"][stream] = self.applied[stream]
        return stream

    def take(self, stream, entry, answer):
        applied = self.applied[stream]
        if entry["seq"] > applied + 1:
            answer["expected"][stream] = applied + 1
            return
        last = entry.get("last", entry["seq"]) if entry["kind"] == "dropped" else entry["seq"]
        if last > applied:
            self.entries[stream][entry["seq"]] = entry
            self.applied[stream] = last
        answer["acked"][stream] = self.applied[stream]

    # What tests ask.

    def all_entries(self, kind=None):
        with self.lock:
            every = [entry for stream in self.entries.values() for _, entry in sorted(stream.items())]
        return [entry for entry in every if kind is None or entry["kind"] == kind]

    def run_states(self, run=None):
        return [e["state"] for e in self.all_entries("run.state") if run is None or e["run"] == str(run)]

    def tasks(self):
        """The last word on each task run, by label."""
        return {entry["label"]: entry for entry in self.all_entries("task.state")}

    def messages(self):
        return [entry["message"] for entry in self.all_entries("log")]


def unpacked(body, encoding):
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(body).read()
    return gzip.decompress(body) if encoding == "gzip" else body
