"""Train a model: accelerate launch training/train.py --config training/configs/scenes64.yaml

The same command resumes a run that was stopped. Ends with status 0 if the run is complete, 128 + N if signal N stopped it,
saved, and 2 if something is wrong.
"""

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("train")  # before the imports that take seconds

import sys

from scdm.training.command import run
from scdm.training.config import TrainConfig

if __name__ == "__main__":
    sys.exit(perform(lambda: run("train", __doc__, TrainConfig, lambda config: [config])))
