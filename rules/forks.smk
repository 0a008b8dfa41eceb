# Jobs start in moments: each is a fork of a process that has loaded what they need.
#
# Where Linux runs them in this very environment. ROBUST_TRANSFER_SERVER=none turns it off; the number
# of a process there: runs share that one's server and it ends with that one, as in the tests.
import re
import secrets

from robust_transfer.config.architectures import SMALL
from robust_transfer.forkserver.client import SERVER

LOADED_FOR_ALL = ["snakemake.script", "numpy", "pandas", "PIL.Image"]
LOADED_FOR_NETWORKS = ["torch", "safetensors.torch"]
WITH_NETWORKS = (
    "audit",
    "audit_replay",
    "audit_study",
    "benchmark",
    "evaluate_backbone",
    "export_model",
    "extract_features",
    "import_backbone",
    "initialise_backbone",
    "pretrain_backbone",
    "train_detector",
    "transfer_backbone",
)
if not all(SMALL.fullmatch(backbone.architecture) for backbone in study.backbones):
    LOADED_FOR_NETWORKS.append("torchvision")
CLIENT = str(SCRIPTS / "robust_transfer/forkserver/client.py")
CAN_FORK = sys.platform == "linux" and all(
    re.fullmatch(r"[A-Za-z0-9_./+-]+", path) for path in (sys.executable, CLIENT)
)  # the shell takes plain names as they are
if CAN_FORK and not workflow.deployment_settings.deployment_method:
    wanted = os.environ.get(SERVER, "")
    if wanted != "none":
        modules = {
            script.stem: LOADED_FOR_ALL
            + LOADED_FOR_NETWORKS * (script.stem in WITH_NETWORKS)
            + ["torchvision"] * (script.stem == "train_detector")
            for script in SCRIPTS.glob("*/*.py")
            if script.parent.name != "robust_transfer"
        }
        process = int(wanted) if wanted.isdigit() else os.getpid()
        name = "shared" if wanted.isdigit() else secrets.token_hex(8)
        address = f"robust-transfer-{process}-{name}"
        server = {"address": address, "process": process, "modules": modules}
        os.environ[SERVER] = json.dumps(server)
        # A script is the command `python <copy of the script>`; of other commands this changes none.
        shell.prefix(
            "set -euo pipefail; "
            f"function {sys.executable} {{{{ case $* in */.snakemake/scripts/tmp*.py) "
            f'exec {sys.executable} -I -S {CLIENT} {sys.executable} "$@" ;; '
            f'*) command {sys.executable} "$@" ;; esac; }}}}; '
        )
