"""A search on a Ray cluster elsewhere, `ray://HOST:PORT`, that wants a token. Run by `make accept-search`."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.tiny import tiny_images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef" * 2
# The command line with the preset `tiny` made brief.
SEARCH = """
import sys
from dataclasses import replace
from triscale.cli.main import main
from triscale.search import preset
from triscale.search.halving import Rung

own = replace(
    preset.PRESETS["tiny"], per_class=8, judged=18, rungs=(Rung(2, 1, 0.4), Rung(4, 2)), most=4, largest=2,
    growths=(2.0,), curve_seeds=1, final_seeds=2,
)
preset.PRESETS["tiny"] = own
sys.exit(main(sys.argv[1:]))
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment(**more):
    known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**known, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "RAY_USAGE_STATS_ENABLED": "0", **more}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(address, file of its token) of a cluster of two cores, in processes of its own."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text(TOKEN)
    port = free_port()
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2",
        "--node-ip-address", "127.0.0.1", "--port", str(free_port()), "--ray-client-server-port", str(port),
        "--include-dashboard=false", "--disable-usage-stats",
    ]  # fmt: skip
    env = environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    started = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(60):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert started.poll() is None, "ray ended at once"
            time.sleep(1)
        yield f"ray://127.0.0.1:{port}", token
    finally:
        started.terminate()
        started.wait(timeout=60)


def search(address, images, out, **more):
    command = ("search", "coefficients", images, "--size", "48", "--honesty", "later", "--on", address, "--out", out)
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, *map(str, command)], env=environment(**more), capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_a_search_goes_to_a_cluster_that_wants_a_token(cluster, tmp_path):
    address, token = cluster
    images = tiny_images(tmp_path / "images", train=16, val=4, test=4)
    code, out, err = search(address, images, tmp_path / "run", RAY_AUTH_TOKEN_PATH=str(token))
    assert code == 0, err
    assert out.startswith("Not compared yet")
    answers = [json.loads(line) for line in (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()[1:]]
    assert len(answers) >= 6 and all(each["score"] is not None for each in answers)
    assert all(each["worker"].startswith("ray:") for each in answers)
    assert "the winner is not trained here" in err


def test_without_the_token_one_line_says_what_to_do(cluster, tmp_path):
    address, _ = cluster
    images = tiny_images(tmp_path / "images", train=16, val=4, test=4)
    code, _, err = search(address, images, tmp_path / "run", HOME=str(tmp_path))
    assert code == 2
    assert "no Ray cluster answers there" in err.splitlines()[-1] and "RAY_AUTH_TOKEN here" in err.splitlines()[-1]
