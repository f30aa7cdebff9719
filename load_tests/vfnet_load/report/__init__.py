"""Runs as pages: figures, tables and pictures in one file."""
