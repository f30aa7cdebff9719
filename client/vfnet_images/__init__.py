"""Encoded images: which kinds are read, and how they become pixels, the same for whoever looks at them.

The server decodes with it, and so do drawing, training and evaluation: `vfnet build` copies it, beside `vfnet_runtime`,
into the version folder of every Python model. It imports nothing else of this project.

`kinds` says what is read, by name and by content, without importing Pillow. `decoding` makes RGB pixels, of what
`encoded_files` leaves of a file, or for most JPEGs `turbo_jpegs`, to the same pixels.
"""
