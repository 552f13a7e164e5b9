"""Several processes that train together, in a process that `forks.Forks` made: as torchrun starts them, but at once."""

import ctypes
import os
import signal
import socket
import sys
import traceback

from triscale.errors import TriscaleError


def together(code, size=2):
    """Run a piece of code in `size` processes, this one among them, and end this one as they ended.

    What ends badly is printed with its rank.
    """
    port = _free_port()
    ranks = {}
    for rank in range(1, size):
        child = os.fork()
        if child == 0:
            _die_with_the_first()
            os._exit(_run(code, rank, size, port))
        ranks[child] = rank
    codes = {0: _run(code, 0, size, port)}
    for child, rank in ranks.items():
        codes[rank] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for rank, ended in codes.items():
        if ended:
            print(f"rank {rank} ended with {ended}", flush=True)
    worst = max(codes.values(), key=abs)
    if worst == -9:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(worst)


def _die_with_the_first():
    """A process whose first is killed before they have met would wait for it for minutes, long after the test."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _run(code, rank, size, port):
    values = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} | {k: str(v) for k, v in values.items()}
    try:
        exec(code, {"rank": rank, "size": size})
        return 0
    except TriscaleError as error:
        print(f"rank {rank}: {error}", flush=True)
        return error.exit_code
    except SystemExit as end:
        return end.code
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        return 70


def _free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]
