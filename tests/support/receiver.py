"""A webhook's receiver on loopback that does as it is told, and notes all that arrives.

    with Receiver() as receiver:
        receiver.script("/a", [answer(500), reset, answer(200)])
        …receiver.url("/a")…
        first, second = receiver.wait(2)

What a path's script does not say, and every request behind its end, is answered
with `receiver.default`, which is 200.
"""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service import wait_until


# ---- what to do with a request: functions of the handler ------------------------


def answer(status, headers=None, body=b"", after=0):
    """`after` that many seconds."""
    def act(handler):
        handler.server.receiver.closing.wait(after)
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    return act


def reset(handler):
    """A connection reset in place of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def hang(seconds):
    def act(handler):
        handler.server.receiver.closing.wait(seconds)
        handler.close_connection = True
    return act


def drip(seconds, pause=0.2):
    """An answer that comes byte by byte for so long, and never ends."""
    def act(handler):
        text = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        end, at = time.monotonic() + seconds, 0
        while time.monotonic() < end and not handler.server.receiver.closing.wait(pause):
            handler.wfile.write(text[at:at + 1] or b"x")
            at += 1
        handler.close_connection = True
    return act


def flood(length):
    """200 with a body of so many bytes."""
    def act(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        sent = 0
        while sent < length:
            handler.wfile.write(b"x" * min(65536, length - sent))
            sent += 65536
        handler.server.receiver.flooded += sent
    return act


# ---- what has arrived ------------------------------------------------------------


@dataclass
class Arrived:
    path: str
    headers: dict  # names in lower case
    body: bytes
    at: float  # time.monotonic()
    connection: int  # counts from 0
    answered: float = None
    event: dict = field(default=None)

    def __post_init__(self):
        try:
            self.event = json.loads(self.body)
        except ValueError:
            pass

    @property
    def kind(self):
        return self.headers.get("x-webhook-event")

    @property
    def attempt(self):
        return int(self.headers["x-webhook-attempt"])

    @property
    def delivery(self):
        return self.headers["webhook-id"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        with self.server.receiver.changed:
            self.number = self.server.receiver.connections
            self.server.receiver.connections += 1

    def any_method(self):
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        arrived = Arrived(self.path, {name.lower(): value for name, value in self.headers.items()},
                          body, time.monotonic(), self.number)
        act = receiver.take(arrived)
        try:
            act(self)
        except OSError:
            self.close_connection = True
        finally:
            receiver.leave(arrived)

    do_POST = do_GET = do_PUT = do_HEAD = any_method

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that has gone


class Receiver:
    """`certificate` is a file with a key and a certificate, for HTTPS."""

    def __init__(self, certificate=None, address="127.0.0.1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.server = type("Bound", (Server,), {"address_family": family})((address, 0), Handler)
        self.server.receiver = self
        self.port = self.server.server_address[1]
        self.scheme, self.address = "http", f"[{address}]" if ":" in address else address
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake in the connection's own thread: one that fails stops nobody.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
            self.scheme = "https"
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self.arrived, self.scripts, self.default = [], {}, answer(200)
        self.connections = self.running = self.most = self.flooded = 0

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, path="/"):
        return f"{self.scheme}://{self.address}:{self.port}{path}"

    def script(self, path, actions):
        with self.changed:
            self.scripts[path] = list(actions)

    def take(self, arrived):
        with self.changed:
            self.arrived.append(arrived)
            self.running += 1
            self.most = max(self.most, self.running)
            self.changed.notify_all()
            script = self.scripts.get(arrived.path)
            return script.pop(0) if script else self.default

    def leave(self, arrived):
        with self.changed:
            arrived.answered = time.monotonic()
            self.running -= 1

    def of(self, path=None, kind=None):
        """What has arrived so far."""
        with self.changed:
            return [one for one in self.arrived
                    if path in (None, one.path) and kind in (None, one.kind)]

    def wait(self, count, timeout=20, path=None, kind=None):
        """The first `count` requests, once they have arrived."""
        wait_until(lambda: len(self.of(path, kind)) >= count, timeout,
                   f"request {count} for {path or 'any path'}")
        return self.of(path, kind)[:count]


# ---- signatures -------------------------------------------------------------------


def signature_hex(secret, body):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signature_v1(secret, arrived):
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = b".".join([arrived.headers["webhook-id"].encode(),
                        arrived.headers["webhook-timestamp"].encode(), arrived.body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def assert_signed(arrived, secret):
    assert arrived.headers["x-webhook-signature"] == signature_hex(secret, arrived.body)
    assert arrived.headers["webhook-signature"] == signature_v1(secret, arrived)
    assert abs(int(arrived.headers["webhook-timestamp"]) - time.time()) < 60


def make_certificate(directory, name="127.0.0.1"):
    """A self-signed certificate for loopback: a file with its key, and one without."""
    both, only = directory / "receiver.pem", directory / "receiver.crt"
    key = directory / "receiver.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", only],
                   check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + only.read_bytes())
    return both, only
