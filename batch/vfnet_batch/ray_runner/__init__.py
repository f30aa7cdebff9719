"""Scoring on a Ray cluster: the same readers, rows and writers, the work in between by actors."""
