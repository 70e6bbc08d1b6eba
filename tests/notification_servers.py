"""Receivers of notifications on 127.0.0.1, which answer as a test says: a web server and a mail server.

`python -m tests.notification_servers PORT` prints what arrives at a webhook, for a look at notifications.
"""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

from aiosmtpd.controller import Controller

HANG, DRIP, CUT = "hang", "drip", "cut"
Answer = int | str | tuple[int, dict[str, str]]


@dataclass
class WebReceiver:
    """`answers` are given in turn, the last one for ever: a status, a status with headers, or `HANG`, `DRIP`
    (a header that comes byte by byte) or `CUT`. `received` holds the bodies of all requests, with the header
    `Idempotency-Key`."""

    answers: list[Answer] = field(default_factory=lambda: [200])
    received: list[tuple[dict, str]] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def web_receiver() -> Iterator[WebReceiver]:
    receiver = WebReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.received.append((body, self.headers["Idempotency-Key"]))
            answer = receiver.next_answer()
            if answer == CUT:
                self.connection.close()
            elif answer == HANG:
                receiver.over.wait()
            elif answer == DRIP:
                self._drip()
            else:
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

        def _drip(self) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not receiver.over.wait(0.05):
                    self.wfile.write(b"x")

        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/services/T0/geheim"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class MailReceiver:
    """`answers` are given in turn to what was sent, then `250 OK`; `refuses` are recipients."""

    answers: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    received: list[str] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    port: int = 0

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address in self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer.startswith("250"):
            self.received.append(envelope.content.decode())
            self.recipients.append(envelope.rcpt_tos)
        return answer


class _AnyPort(Controller):
    """It looks whether it answers, on the port that the system chose."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextlib.contextmanager
def mail_receiver() -> Iterator[MailReceiver]:
    receiver = MailReceiver()
    controller = _AnyPort(receiver, hostname="127.0.0.1", port=0, server_kwargs={"hostname": "localhost"})
    controller.start()
    receiver.port = controller.port
    try:
        yield receiver
    finally:
        controller.stop()


class _Printer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(f"{body['kind']}: {body['title']}", body["reason"], body["figures"], "", sep="\n", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments) -> None:
        pass


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        HTTPServer(("127.0.0.1", int(sys.argv[1])), _Printer).serve_forever()
