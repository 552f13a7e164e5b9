"""A PostgreSQL server for tests: of Debian's package, in a folder of its own, on loopback, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

SECONDS = 60  # to start or stop


class Postgres:
    """A server. url: what a search takes."""

    def __init__(self, folder, port):
        self.folder, self.port = folder, port
        self.url = f"postgresql://tester@127.0.0.1:{port}/postgres"

    def start(self):
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        _run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def database(self):
        """The URL of a new database."""
        import psycopg

        name = f"t{time.time_ns()}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url.removesuffix("postgres") + name

    def stop(self):
        """Stop it at once, as a crash would."""
        _run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")


@pytest.fixture(scope="session")
def postgres():
    """A running server."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed; run: apt-get install postgresql")
    pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="triscale-postgres-"))  # pytest's own are closed to other users
    folder.chmod(0o777)
    _run("initdb", "-D", folder / "data", "-U", "tester", "--auth=trust", "--encoding=UTF8", "--locale=C")
    server = Postgres(folder, _free_port())
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def programs():
    """The folder of PostgreSQL's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3].split(".")[0]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _run(program, *words):
    """One of them, as nobody that is root: PostgreSQL refuses to run as it."""
    user = {}
    if os.geteuid() == 0:
        other = pwd.getpwnam("postgres")
        user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
    command = [str(programs() / program), *map(str, words)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd="/", check=False, **user)
    assert made.returncode == 0, f"{' '.join(command)}: {made.stdout} {made.stderr}"


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
