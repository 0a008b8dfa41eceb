# Jobs start in moments: each is a fork of a process that has loaded what they need.
#
# Where Linux runs them in this very environment; ROBUST_TRANSFER_SERVER=none turns it off.
import secrets

from robust_transfer.config.architectures import SMALL
from robust_transfer.forkserver.client import SERVER

MOST_JOBS_NEED = (
    "snakemake.script",
    "numpy",
    "pandas",
    "PIL.Image",
    "safetensors.torch",
    "torch",
)
ONLY_SMALL_NETWORKS = not study.detectors and all(
    SMALL.fullmatch(backbone.architecture) for backbone in study.backbones
)

if (
    sys.platform == "linux"
    and not workflow.deployment_settings.deployment_method
    and os.environ.get(SERVER) != "none"
):
    modules = ",".join(
        MOST_JOBS_NEED if ONLY_SMALL_NETWORKS else (*MOST_JOBS_NEED, "torchvision")
    )
    address = f"robust-transfer-{os.getpid()}-{secrets.token_hex(8)}"
    os.environ[SERVER] = f"{address} {os.getpid()} {modules}"
    client = SCRIPTS / "robust_transfer/forkserver/client.py"
    shell.prefix(f"'{sys.executable}' -I -S '{client}' ")
