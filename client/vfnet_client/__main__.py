"""`python -m vfnet_client` is `vfnet`."""

import sys

from vfnet_client.cli import main

sys.exit(main())
