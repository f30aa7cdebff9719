"""Several servers behind one gateway: what each adds, and what callers see when one is killed, hangs or restarts."""
