"""One gateway in several processes: they share its port, its places in the ensemble and its metrics.

Each worker is a whole gateway. What all of them may do together is known to the process that starts them: a place in
the ensemble is asked of it (`shared_places`), so that one queue, fair to all requests, is in front of Triton however
many processes there are. That costs a message there and one back for each image. Start reading in `supervising`.
"""
