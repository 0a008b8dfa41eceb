"""Image caches: original images in, one memory-mapped array a dataset and resolution out."""
