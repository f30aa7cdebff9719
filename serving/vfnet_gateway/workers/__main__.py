"""`python -m vfnet_gateway.workers LINK LISTENER`: one worker; two descriptors, and its settings come by the first."""

import socket
import sys

from vfnet_gateway.workers.worker import work

sys.exit(work(socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2]))))
