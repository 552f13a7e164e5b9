"""A small Hub on this machine: the endpoints that the real client calls, over HTTP on the loopback interface.

What it speaks: `/api/models/REPO[/revision/REV]`, `HEAD` and `GET /REPO/resolve/REV/FILE` (a large file is a redirect
to `/lfs/SHA256`, with X-Linked-Etag and X-Linked-Size), `/api/repos/create`, `/api/validate-yaml`, `preupload`, the LFS
batch and its upload, and `commit`. `faults` makes it behave as the real one does on a bad day.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".pth")  # kept as large files, as the Hub's .gitattributes says


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@dataclass
class Repository:
    """Commits, oldest first, each with all of its files; the branches that name them; what people are told of it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, files, branch="main"):
        """A new commit with `files` changed. Returns its name."""
        whole = {**self.files(branch), **files}
        told = [*self.commits, *(f"{name} {sha256(data)}" for name, data in sorted(whole.items()))]
        name = hashlib.sha1("\n".join(told).encode()).hexdigest()
        self.commits[name] = whole
        self.branches[branch] = name
        return name

    def find(self, revision):
        """The commit that a branch or a commit's own name means; None for neither."""
        return revision if revision in self.commits else self.branches.get(revision)

    def files(self, revision):
        return self.commits.get(self.find(revision) or "", {})


@dataclass
class Hub:
    """repositories: by name. objects: large files that were uploaded, by SHA-256. tokens: who may write. requests: what
    was asked, as "METHOD path". faults: what goes wrong."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {"hf_writer"})
    requests: list[str] = field(default_factory=list)
    faults: set[str] = field(default_factory=set)

    def add(self, name, files, **told):
        """A repository with one commit. Returns the commit's name."""
        self.repositories[name] = Repository(**told)
        return self.repositories[name].commit(files)

    def __enter__(self):
        hub = self

        class Asked(Handler):
            server_hub = hub

        # Large files come from another host, as the real Hub's do: what the client sends there is another matter.
        self.connections = []
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), Asked) for _ in range(2)]
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)
        return self

    def stop(self):
        """Nobody answers any more, also not on connections that were kept open."""
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.servers = []
        for each in self.connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_):
        self.stop()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: Hub

    def setup(self):
        super().setup()
        self.server_hub.connections.append(self.connection)

    def log_message(self, *_):
        pass

    @property
    def may_write(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ") in self.server_hub.tokens

    def handle_any(self):
        hub, path = self.server_hub, unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.requests.append(f"{self.command} {path}")
        if "busy" in hub.faults:
            return self.say(503, b"try later")
        if "proxy" in hub.faults:
            return self.say(200, b"<html>Please log in to the network</html>", {"Content-Type": "text/html"})
        if path.startswith("/lfs/"):
            return self.object(path.removeprefix("/lfs/"))
        if path == "/api/repos/create":
            return self.create()
        if path == "/api/validate-yaml":
            header = json.loads(self.body)["content"].split("---")[1]
            return self.json({"errors": [], "warnings": []} if header else {"errors": [{"message": "empty"}]})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.batch()
        if path.startswith("/api/models/"):
            return self.api(path.removeprefix("/api/models/"))
        return self.resolve(path)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    # Answers

    def say(self, code, body=b"", headers=None, declared=None):
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if declared is None else declared))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            if len(body) < (declared or 0):
                self.close_connection = True

    def json(self, value, code=200):
        self.say(code, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, code, kind, told=""):
        self.say(code, json.dumps({"error": told}).encode(), {"X-Error-Code": kind, "X-Error-Message": told})

    def found(self, name, revision):
        """(repository, commit), or None after a refusal."""
        repository = self.server_hub.repositories.get(name)
        if repository is None or (repository.private and not self.may_write):
            self.refuse(401, "RepoNotFound", "Invalid username or password.")
            return None
        commit = repository.find(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
            return None
        return repository, commit

    # Reading

    def api(self, rest):
        parts = rest.split("/")
        name, what = "/".join(parts[:2]), parts[2:]
        if what[:1] == ["preupload"]:
            return self.preupload()
        if what[:1] == ["commit"]:
            return self.commit(name, "/".join(what[1:]))
        found = self.found(name, "/".join(what[1:]) if what[:1] == ["revision"] else "main")
        if found is None:
            return None
        repository, commit = found
        siblings = []
        for file, data in repository.commits[commit].items():
            sibling = {"rfilename": file, "size": len(data), "blobId": git_hash(data)}
            if file.endswith(LARGE):
                sibling["lfs"] = {"size": len(data), "sha256": self.stated(data), "pointerSize": 134}
            if "huge" in self.server_hub.faults and file.endswith(LARGE):
                sibling["size"] = 2**40
            siblings.append(sibling)
        return self.json({"id": name, "sha": commit, "siblings": siblings, "private": repository.private, "tags": []})

    def stated(self, data):
        """The SHA-256 that it states of a large file."""
        return sha256(b"another" + data if "wrong hash" in self.server_hub.faults else data)

    def resolve(self, path):
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        found = self.found(name, revision)
        if found is None:
            return None
        repository, commit = found
        if repository.gated and not self.may_write:
            return self.refuse(401, "GatedRepo", f"Access to model {name} is restricted.")
        data = repository.commits[commit].get(file)
        if data is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git_hash(data)}"'}
        if not file.endswith(LARGE):
            return self.say(200, data, headers)
        self.server_hub.objects[sha256(data)] = data
        headers |= {"X-Linked-Etag": f'"{self.stated(data)}"', "X-Linked-Size": str(len(data))}
        return self.say(302, b"", {**headers, "Location": f"{self.server_hub.storage}/lfs/{sha256(data)}"})

    def object(self, digest):
        hub = self.server_hub
        assert "Authorization" not in self.headers  # a token is for the Hub alone
        if self.command == "PUT":
            assert sha256(self.body) == digest
            hub.objects[digest] = self.body
            return self.say(200)
        data = hub.objects[digest]
        if "truncated" in hub.faults:
            data = data[: len(data) // 2]
        if "gone half-way" in hub.faults:
            self.say(200, data[:1000], declared=len(data))
            self.wfile.flush()
            return threading.Thread(target=hub.stop, daemon=True).start()
        return self.say(200, data)

    # Writing

    def create(self):
        hub, asked = self.server_hub, json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self.may_write:
            return self.refuse(401, "", "Invalid username or password.")
        if name in hub.repositories:
            return self.json({"error": "You already created this model repo", "url": f"{hub.endpoint}/{name}"}, 409)
        hub.repositories[name] = Repository(private=asked.get("visibility") == "private")
        hub.repositories[name].commit({})
        return self.json({"url": f"{hub.endpoint}/{name}"})

    def preupload(self):
        files = json.loads(self.body)["files"]
        modes = {True: "lfs", False: "regular"}
        told = [
            {"path": f["path"], "uploadMode": modes[f["path"].endswith(LARGE)], "shouldIgnore": False} for f in files
        ]
        return self.json({"files": told})

    def batch(self):
        hub = self.server_hub
        told = []
        for each in json.loads(self.body)["objects"]:
            upload = {"upload": {"href": f"{hub.storage}/lfs/{each['oid']}", "header": {}}}
            told.append({**each, **({} if each["oid"] in hub.objects else {"actions": upload})})
        return self.json({"transfer": "basic", "objects": told})

    def commit(self, name, branch):
        if not self.may_write:
            return self.refuse(403, "", "you may not write here")
        files = {}
        for line in self.body.splitlines():
            each = json.loads(line)
            if each["key"] == "file":
                files[each["value"]["path"]] = base64.b64decode(each["value"]["content"])
            elif each["key"] == "lfsFile":
                files[each["value"]["path"]] = self.server_hub.objects[each["value"]["oid"]]
        made = self.server_hub.repositories[name].commit(files, branch)
        url = f"{self.server_hub.endpoint}/{name}/commit/{made}"
        return self.json({"success": True, "commitOid": made, "commitUrl": url, "hookOutput": ""})
