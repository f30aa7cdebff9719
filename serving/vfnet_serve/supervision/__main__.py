"""`python -m vfnet_serve.supervision FOLDER`: the supervisor of a state folder, until nothing is wanted there."""

import sys
from pathlib import Path

from vfnet_serve.supervision.supervisor import supervise

sys.exit(supervise(Path(sys.argv[1])))
