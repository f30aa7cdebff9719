"""Annotated images: datasets read from the formats people have, checked before anything is computed."""
