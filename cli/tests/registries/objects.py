"""A stand-in for Google's object store and for the cache service of GitHub Actions, as far as one client uses them.

It says where it listens on its first line. The service is at /twirp, with entries that never change once they are there, and
blobs of Azure's protocol behind URLs that are good for nobody else.
"""

import hashlib
import http.server
import json
import urllib.parse
import xml.etree.ElementTree

OBJECTS = {}
# Blocks of large objects that are not put together yet, by path and name.
BLOCKS = {}
# Paths of entries by branch and key: finished ones, in order, and those that are on their way.
ENTRIES, RESERVED = {}, {}
# The bearer of a token may write the first of these branches, and read all.
BRANCHES = {"main": ["main"], "pull": ["pull", "main"]}
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

    def query(self):
        return dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))

    def do_PUT(self):
        body, query, path = self.body(), self.query(), self.path_only()
        if path.startswith("/entries/") and query.get("sig") != "put":
            return self.answer(403)
        if query.get("comp") == "block":
            BLOCKS[path, query["blockid"]] = body
            return self.answer(201)
        if query.get("comp") == "blocklist":
            names = xml.etree.ElementTree.fromstring(body)
            body = b"".join(BLOCKS[path, name.text] for name in names)
        elif path.startswith("/entries/") and self.headers.get("x-ms-blob-type") != "BlockBlob":
            return self.answer(400)
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

    def do_POST(self):
        call, message = self.path.rpartition("/")[2], json.loads(self.body())
        branches = BRANCHES.get(self.headers.get("Authorization", "").removeprefix("Bearer ").rpartition(".")[2])
        if branches is None or len(message["version"]) != 64:
            return self.answer(401)
        name = (branches[0], message["key"])
        if call == "CreateCacheEntry":
            if name in ENTRIES or name in RESERVED:
                return self.answer(409, b'{"code": "already_exists"}')
            RESERVED[name] = "/entries/%d" % (len(ENTRIES) + len(RESERVED))
            url = "http://%s%s?sig=put" % (self.headers["Host"], RESERVED[name])
            return self.answer_json({"ok": True, "signed_upload_url": url})
        if call == "FinalizeCacheEntryUpload":
            path = RESERVED.pop(name)
            if len(OBJECTS[path]) != int(message["size_bytes"]):
                return self.answer(400)
            ENTRIES[name] = path
            return self.answer_json({"ok": True, "entry_id": "1"})
        for branch in branches:
            for (other, key), path in reversed(ENTRIES.items()):
                if other == branch and key.startswith(message["restore_keys"][0]):
                    url = "http://%s%s?sig=get" % (self.headers["Host"], path)
                    return self.answer_json({"ok": True, "signed_download_url": url, "matched_key": key})
        self.answer_json({"ok": False})

    def answer_json(self, value):
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("listens on http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
