"""The whole config, section by section; `python -m` this module prints its JSON schema."""

import json

from pydantic import Field

from robust_transfer.config.analysis import Analysis, Audit, Report
from robust_transfer.config.data import Data
from robust_transfer.config.detect import Detect
from robust_transfer.config.pretrain import Pretrain
from robust_transfer.config.transfer import Transfer
from robust_transfer.config.values import Name, Section


class StudyConfig(Section):
    """A study: every scientific choice."""

    study: Name = Field(description="name of the study: results go to results/<study>/")
    data_root: str = Field(min_length=1, description="folder below which dataset paths are")
    cache_root: str = Field(min_length=1, description="folder of the image caches")
    data: Data = Field(description="datasets, and where they lie")
    pretrain: Pretrain = Field(description="which backbones are trained, and how")
    transfer: Transfer = Field(description="to which datasets, and how")
    detect: Detect = Field(description="detection and segmentation from the same backbones")
    analysis: Analysis = Field(description="the statistics")
    report: Report = Field(description="what the report shows")
    audit: Audit = Field(default=Audit(), description="what the audit looks at")


if __name__ == "__main__":
    print(json.dumps(StudyConfig.model_json_schema(), indent=1))
