"""Where checkpoints lie on the web, and fetching them."""

from pathlib import Path

from robust_transfer.errors import ConfigError, DataError
from robust_transfer.images.download import download

TORCHVISION_WEIGHTS = "IMAGENET1K_V1"


def fetch_checkpoint(
    path: str | Path, *, url: str | None, sha256: str | None, architecture: str
) -> None:
    """Download a checkpoint; a broken download is gone on from.

    Args:
        path: where to.
        url: where from; None: torchvision's own standard weights of the architecture.
        sha256: of the file; None: what its name says, if it says anything.
        architecture: name of the network.

    Raises:
        DataError: it cannot be had, or is another file.
    """
    address = url or torchvision_address(architecture)
    digest = download(address, Path(path), f"sha256:{sha256}" if sha256 else "")
    if url is None:
        _check_name(address, Path(path), digest)


def torchvision_address(architecture: str) -> str:
    """Return where torchvision's first ImageNet weights of a network lie.

    Raises:
        ConfigError: it has none.
    """
    from torchvision.models import get_model_weights  # 5 s of import, for those who need it

    try:
        return str(get_model_weights(architecture)[TORCHVISION_WEIGHTS].url)
    except (KeyError, ValueError):
        raise ConfigError(
            f"pretrain.backbones: torchvision has no {TORCHVISION_WEIGHTS} weights of "
            f"{architecture}. Give a path or URL."
        ) from None


def _check_name(address: str, path: Path, digest: str) -> None:
    """Hold the file against the digits in its name: resnet18-f37072fd.pth."""
    expected = address.rpartition("-")[2].partition(".")[0]
    if not digest.startswith(expected):
        path.unlink()
        raise DataError(f"{address}: its SHA-256 is {digest}, its name says {expected}. Run again.")
