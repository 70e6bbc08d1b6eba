"""A server between a client and S3 (moto's) that answers wrongly, in part or not at all, as it is told."""

import contextlib
import http.client
import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}
# What S3 answers: status, and message by error code.
ANSWERS = {
    "AccessDenied": (403, "Access Denied"),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match"),
    "ExpiredToken": (400, "The provided token has expired."),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist in our records."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "BadGateway": (502, "Bad Gateway"),
    "ServiceUnavailable": (503, "Service is unable to handle request."),
    "SlowDown": (503, "Please reduce your request rate."),
    "RequestTimeout": (400, "Your socket connection to the server was not read from or written to."),
    "GatewayTimeout": (504, "Gateway Timeout"),
}
PERMANENT = {"AccessDenied", "SignatureDoesNotMatch", "ExpiredToken", "InvalidAccessKeyId", "NoSuchBucket"}
BROKEN = ("cut", "reset", "silent", "corrupt", "junk")


@dataclass
class Fault:
    """`kind` is a code of `ANSWERS` or one of `BROKEN`; for requests of `method` whose path and query hold
    `where`, so many `times`."""

    kind: str
    where: str = ""
    method: str = "GET"
    times: float = float("inf")


class FaultProxy(ThreadingHTTPServer):
    """Passes everything on to `upstream` (host, port), except for what `faults` say."""

    daemon_threads = True

    def __init__(self, upstream: tuple[str, int]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.faults = upstream, []
        self.met: list[str] = []  # the requests that met a fault
        self.closing = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        pass  # clients that gave up

    def fault_for(self, method: str, path: str) -> str | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method in ("*", method) and fault.where in unquote(path):
                    fault.times -= 1
                    self.met.append(f"{method} {path}")
                    return fault.kind
        return None

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self.shutdown()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault_for(self.command, self.path)
        if fault in ANSWERS:
            return self._refuse(fault)
        if fault == "silent":
            self.server.closing.wait(60)
            return self._drop(reset=False)
        if fault == "reset":
            return self._drop(reset=True)
        if fault == "junk":
            return self._send(200, [("Content-Type", "text/html")], b"<html>a login page of a network</html>")
        status, headers, content = self._ask(body)
        if fault == "corrupt" and content:
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        return self._send(status, headers, content, cut=fault == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def _ask(self, body: bytes):
        connection = http.client.HTTPConnection(*self.server.upstream)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        headers = [(n, v) for n, v in response.getheaders() if n.lower() not in HOP_BY_HOP]
        connection.close()
        return response.status, headers, content

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False):
        self.send_response(status)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = {n.lower(): v for n, v in headers}.get("content-length")
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self._drop(reset=False)

    def _refuse(self, code: str):
        status, message = ANSWERS[code]
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self._send(status, [("Content-Type", "application/xml")], text)

    def _drop(self, *, reset: bool):
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR) if not reset else self.connection.close()

    def log_message(self, *arguments):
        pass


def upstream_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port
