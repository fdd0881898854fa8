"""A web server for tests, of Python's own parts: files with and without validators, and what goes wrong.

Usage: server.py DIRECTORY [CERTIFICATE KEY]

Prints its port, then a line for each request: the method, the path, and the status of the answer. What it reads
it prints as well, and it ends when there is nothing more to read.
"""

import base64
import hashlib
import http.server
import os
import ssl
import subprocess
import sys
import threading
import urllib.parse

FAILED = {}
LOCK = threading.Lock()

CREDENTIALS = "Basic " + base64.b64encode(b"me:swordfish").decode()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # Before anything changes it. A proxy is asked with the whole URL.
        self.asked = self.path
        path = urllib.parse.urlsplit(self.path).path
        if self.path.startswith("http://"):
            path = "/files" + path
        kind, _, rest = path.lstrip("/").partition("/")
        handler = getattr(self, "serve_" + kind, None)
        if handler is None:
            self.answer(404)
        else:
            handler(rest)

    def do_POST(self):
        self.do_GET()

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def read(self, name):
        with open(os.path.join(self.directory, urllib.parse.unquote(name)), "rb") as file:
            return file.read()

    def serve_files(self, name):
        """As `http.server` does: a time of change, which it also understands when asked."""
        self.path = "/" + name
        super().do_GET()

    def serve_plain(self, name):
        """Nothing to recognise the file by."""
        self.answer(200, body=self.read(name))

    def serve_etag(self, name):
        body = self.read(name)
        etag = '"%s"' % hashlib.sha256(body).hexdigest()
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, [("ETag", etag)])
        else:
            self.answer(200, [("ETag", etag)], body)

    def serve_named(self, name):
        self.answer(200, [("Content-Disposition", 'attachment; filename="../from-server"')], self.read(name))

    def serve_redirect(self, rest):
        count, _, name = rest.partition("/")
        target = "/files/" + name if count == "1" else "/redirect/%d/%s" % (int(count) - 1, name)
        self.answer(302, [("Location", target)])

    def serve_status(self, code):
        self.answer(int(code))

    def serve_short(self, name):
        """Promises more than it sends."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(self.read(name))
        self.close_connection = True

    def serve_private(self, name):
        if self.headers.get("Authorization") == CREDENTIALS:
            self.answer(200, body=self.read(name))
        else:
            self.answer(401, [("WWW-Authenticate", "Basic")])

    def serve_bearer(self, name):
        """For those who have a token."""
        if self.headers.get("Authorization") == "Bearer swordfish":
            self.answer(200, body=self.read(name))
        else:
            self.answer(401, [("WWW-Authenticate", "Bearer")])

    def serve_away(self, rest):
        """To a port of this host that another server has."""
        port, _, rest = rest.partition("/")
        self.answer(302, [("Location", "http://127.0.0.1:%s/%s" % (port, rest))])

    def serve_flaky(self, rest):
        """COUNT requests go wrong in one way after the other, the next is answered."""
        count, _, name = rest.partition("/")
        with LOCK:
            FAILED[rest] = FAILED.get(rest, 0) + 1
            failed = FAILED[rest]
        if failed > int(count):
            self.answer(200, body=self.read(name))
        elif failed == 1:
            self.log_request(503)
            self.close_connection = True
        elif failed == 2:
            self.serve_short(name)
        else:
            self.answer(503)

    def serve_flakygit(self, rest):
        """The same as `git`, but the first COUNT requests are too much for it."""
        count, _, name = rest.partition("/")
        with LOCK:
            FAILED[count] = FAILED.get(count, 0) + 1
            failed = FAILED[count]
        if failed > int(count):
            self.serve_git(name)
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(503)

    def serve_tokengit(self, rest):
        """The same for those who have a token."""
        token = base64.b64encode(b"x-access-token:swordfish").decode()
        if self.headers.get("Authorization", "").lower() == ("basic " + token).lower():
            self.serve_git(rest)
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(401, [("WWW-Authenticate", "Basic")])

    def serve_git(self, rest):
        """Git's own server, as a CGI program."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while (size := int(self.rfile.readline(), 16)) > 0:
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.directory,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": "/" + rest,
            "QUERY_STRING": urllib.parse.urlsplit(self.path).query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        ran = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env=environment)
        head, _, body = ran.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self.answer(status, [(name, value) for name, value in headers if name != "Status"], body)

    def log_request(self, code="-", size="-"):
        # In one write: requests are answered on several threads.
        os.write(1, f"{self.command} {self.asked} {int(code)}\n".encode())

    def log_message(self, format, *args):
        pass


def main():
    directory = sys.argv[1]
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: Handler(*args, directory=directory)
    )
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        print(line, end="", flush=True)


main()
