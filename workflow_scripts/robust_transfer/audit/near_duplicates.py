"""Images that look alike across the splits of a cache."""

import numpy as np
from PIL import Image
from scipy.fft import dctn

from robust_transfer.images.cache import ImageCache
from robust_transfer.scenes.cache import SceneCache

SIDE = 16  # thumbnails, pixels a side
LOW = 8  # frequencies a side whose signs make up the 64 bits of the hash
BITS_APART = 3  # of 64
#: Root mean square difference of two thumbnails, in grey levels of 255, that counts as none; and
#: the spread that a thumbnail needs: flat images all look alike.
ALIKE, FLAT = 3.0, 6.0
#: Images looked at in a split; more are thinned evenly. Bounds the time of an audit.
AT_MOST = 20_000


def near_duplicates(cache: ImageCache | SceneCache) -> tuple[list[tuple[int, int]], int]:
    """Find pairs of a training and a test image that are one picture, but for small changes.

    Two images count when their perceptual hashes differ in at most `BITS_APART` of 64 bits and
    their thumbnails by at most `ALIKE`: recompressed, slightly rescaled or recoloured copies do,
    two pictures of one kind of thing do not.

    Args:
        cache: of the dataset.

    Returns:
        Pairs of positions (train, test), one a test image, and how many images were looked at.

    Source: the hash of C. Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions", section 3.2.1 (signs of low DCT frequencies about their median).
    """
    train, test = (_thinned(cache.split(name)) for name in ("train", "test"))
    looks = [_thumbnails(cache, rows) for rows in (train, test)]
    hashes = [_hashes(thumbnails) for thumbnails in looks]
    places = _buckets(hashes[0])
    pairs = []
    for at, bits in enumerate(hashes[1]):
        if looks[1][at].std() < FLAT:
            continue
        near = sorted({row for key in _keys(bits) for row in places.get(key, ())})
        if near:
            rows = np.array(near)
            alike = (hashes[0][rows] != bits).sum(1) <= BITS_APART
            apart = np.sqrt(((looks[0][rows] - looks[1][at]) ** 2).mean((1, 2)))
            found = rows[alike & (apart <= ALIKE)]
            if len(found):
                pairs.append((int(train[found[0]]), int(test[at])))
    return pairs, len(train) + len(test)


def _thinned(rows: np.ndarray) -> np.ndarray:
    """Return at most `AT_MOST` rows, evenly spread."""
    if len(rows) <= AT_MOST:
        return rows
    return rows[np.linspace(0, len(rows) - 1, AT_MOST).astype(np.int64)]


def _thumbnails(cache: ImageCache | SceneCache, rows: np.ndarray) -> np.ndarray:
    """Return (n, SIDE, SIDE) float32 grey levels in [0, 255]."""
    found = np.empty((len(rows), SIDE, SIDE), np.float32)
    for place, row in enumerate(rows):
        grey = Image.fromarray(np.asarray(cache.image(int(row)))).convert("L")
        found[place] = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))
    return found


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Return (n, 64) bool: which low frequencies lie above their median."""
    if not len(thumbnails):
        return np.zeros((0, LOW * LOW), bool)
    low = dctn(thumbnails, axes=(1, 2))[:, :LOW, :LOW].reshape(len(thumbnails), -1)
    low[:, 0] = 0  # brightness
    return low > np.median(low, axis=1, keepdims=True)


def _keys(bits: np.ndarray) -> list[tuple[int, bytes]]:
    """Cut a hash in four: two hashes at most 3 bits apart share one of the quarters."""
    return [(place, quarter.tobytes()) for place, quarter in enumerate(np.split(bits, 4))]


def _buckets(hashes: np.ndarray) -> dict[tuple[int, bytes], list[int]]:
    """Index hashes by their quarters."""
    places: dict[tuple[int, bytes], list[int]] = {}
    for row, bits in enumerate(hashes):
        for key in _keys(bits):
            places.setdefault(key, []).append(row)
    return places
