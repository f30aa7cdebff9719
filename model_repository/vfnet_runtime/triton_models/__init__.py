"""The Python models as Triton calls them: `initialize`, `execute`, `finalize`. Each `model.py` imports its class from
here.
"""
