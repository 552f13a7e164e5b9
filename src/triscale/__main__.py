"""`python -m triscale` is `triscale`."""

import sys

from triscale.cli.main import main

sys.exit(main())
