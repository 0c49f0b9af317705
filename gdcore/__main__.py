"""`python -m gdcore` is the command `gdcore`."""

import sys

from gdcore.cli import main

sys.exit(main())
