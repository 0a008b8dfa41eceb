"""The memory that a fit of probes takes, stated before it takes it."""

from robust_transfer.transfer.lbfgs import MEMORY

BYTES = 8  # of a float64
CHUNK_BYTES = 2**30  # of the arithmetic of one chunk of images
SEARCH_BYTES = 2**32  # of the search of the seeds that are fitted at once
LIBRARY_BYTES = 2**25  # that the linear algebra takes for itself, about: packed blocks, threads


def row_bytes(width: int, columns: int) -> int:
    """Return what the arithmetic of one image takes: itself, and four arrays of its logits."""
    return BYTES * (width + 4 * columns)


def probe_bytes(
    n: int,
    features: int,
    classes: int,
    penalties: int,
    samples: int = 1,
    chunk_bytes: int = CHUNK_BYTES,
) -> int:
    """Return the memory that a fit takes, beside the features that it is given.

    Args:
        n: images of each sample.
        features: width of the features.
        classes: number of classes.
        penalties: of each sample.
        samples: fitted at once.
        chunk_bytes: as in `fit_probes`.
    """
    width, columns = features + 1, classes * penalties
    row = samples * row_bytes(width, columns)
    chunk = min(n * row, max(chunk_bytes, row))
    search = samples * _search_bytes(width, columns)
    curvature = BYTES * 5 * width**2  # itself, its axes, and what finding them takes
    return chunk + search + curvature + LIBRARY_BYTES


def rows_of_a_chunk(n: int, wide: int, columns: int, chunk_bytes: int) -> int:
    """Return how many images a chunk holds of each sample."""
    return min(n, max(1, chunk_bytes // row_bytes(wide, columns)))


def room_for(n: int, features: int, classes: int, penalties: int, samples: int) -> int:
    """Return how many numbers a chunk takes of a fit, or of one with one penalty a sample."""
    wide = samples * (features + 1)
    return max(
        rows_of_a_chunk(n, wide, columns, CHUNK_BYTES) * (wide + 2 * columns)
        for columns in (samples * classes, samples * classes * penalties)
    )


def _search_bytes(width: int, columns: int) -> int:
    """Return what the search takes for one sample: steps, changes, and what is at hand."""
    return BYTES * (2 * MEMORY + 10) * width * columns


def samples_at_once(features: int, classes: int, penalties: int) -> int:
    """Return how many samples' searches fit into `SEARCH_BYTES`, at least one."""
    return max(1, SEARCH_BYTES // _search_bytes(features + 1, classes * penalties))
