"""`python -m gdcore` is the command `gdcore`."""

import sys

from gdcore.cli.parser import main

sys.exit(main())
