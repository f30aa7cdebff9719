"""People correct captured images at `/review/`: a page and what it asks for. Only with a store and keys of its own.

A person's work is saved at once and never written over: each save names the version that it was made from, and is
refused where another is there by now. The refusal has what is there, and the page merges.
"""
