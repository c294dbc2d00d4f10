"""Train an upsampler: accelerate launch training/train_upsampler.py --config training/configs/scenes_upsampler.yaml

It adds detail to small images of another model; training/join_upsampler.py makes one model of both. The same command resumes
a run that was stopped. Ends with status 0 if the run is complete, 128 + N if signal N stopped it, saved, and 2 if something
is wrong.
"""

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("train_upsampler")  # before the imports that take seconds

import sys

from scdm.training.command import run
from scdm.training.config import UpsamplerConfig

if __name__ == "__main__":
    sys.exit(perform(lambda: run("train_upsampler", __doc__, UpsamplerConfig, lambda config: [config])))
