"""A web server on this machine that can be told to fail."""

import contextlib
import functools
import http.server
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; `server.faults` maps a path to a list of what happens to its next requests.

    A fault: a status to answer, "cut" to break off in the middle.
    """

    def do_GET(self):
        self.server.asked.append(self.path)
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            self.send_error(fault)
        elif fault == "cut":
            with open(self.translate_path(self.path), "rb") as file:  # noqa: PTH123
                data = file.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        else:
            super().do_GET()

    def log_message(self, *_):
        return


@contextlib.contextmanager
def serving(folder):
    """The server and its address; `server.asked` are the paths that were fetched."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.asked, server.faults, server.daemon_threads = [], {}, True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
