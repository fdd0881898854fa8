"""A stand-in for Google's object store, as far as one client uses it: objects that are put, looked at and got.

It says where it listens on its first line.
"""

import hashlib
import http.server
import urllib.parse

OBJECTS = {}
LAST_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def path_only(self):
        return urllib.parse.unquote(self.path.partition("?")[0])

    def do_PUT(self):
        body = self.body()
        etag = '"%s"' % hashlib.md5(body).hexdigest()
        OBJECTS[self.path_only()] = body
        self.answer(200, headers={"ETag": etag})

    def do_GET(self):
        body = OBJECTS.get(self.path_only())
        if body is None:
            return self.answer(404)
        etag = '"%s"' % hashlib.md5(body).hexdigest()
        self.answer(200, body, {"ETag": etag, "Last-Modified": LAST_MODIFIED})

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("listens on http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
