# SPDX-License-Identifier: Apache-2.0
# A web server for one folder, with ranges, for the tests: prints its port and serves until its input ends.
import http.server
import os
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def serve(self):
        kind, _, name = self.path.strip("/").partition("/")
        path = os.path.join(sys.argv[1], name)
        if kind == "moved":
            return self.answer(302, [("Location", "/file/" + name)])
        if kind == "cookie" and self.headers.get("Cookie") != "a=b":
            return self.answer(403)
        if not os.path.isfile(path):
            return self.answer(404)
        data = open(path, "rb").read()
        if kind == "whole":
            return self.answer(200, (), data)
        headers = [("Accept-Ranges", "bytes")]
        wanted = self.headers.get("Range")
        if not wanted:
            return self.answer(200, headers, data)
        first, last = wanted.split("=")[1].split("-")
        part = data[int(first):int(last) + 1]
        if kind == "short":
            part = part[:100]
        headers.append(("Content-Range", f"bytes {first}-{last}/{len(data)}"))
        self.answer(206, headers, part)

    do_GET = do_HEAD = serve


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
