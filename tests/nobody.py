"""Run something as a user who is not root, whom file permissions bind."""

from __future__ import annotations

import os
import subprocess
import sys

NOBODY = 65534


def as_nobody(imports: str, program: str) -> str:
    """What a Python program says on its error output when run by nobody.

    imports: statements run before root is given up, while the libraries can still be read.
    """
    drop = f"import os\nif os.getuid() == 0:\n    os.setgroups([])\n    os.setgid({NOBODY})\n    os.setuid({NOBODY})\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{drop}{program}"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
    )
    return done.stderr.strip()
