"""Distil a model to few steps: accelerate launch training/distill.py --config training/configs/distill_scenes64.yaml

Each student learns to do in one step what its teacher does in two, and teaches the next (scdm/training/distillation.py).
They lie in folders of the run's, named by their steps. The same command resumes a run that was stopped. Ends with status 0
if all is complete, 128 + N if signal N stopped it, saved, and 2 if something is wrong.
"""

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("distill")  # before the imports that take seconds

import sys

from scdm.training.command import run
from scdm.training.config import DistillConfig
from scdm.training.states import in_order

if __name__ == "__main__":
    sys.exit(perform(lambda: run("distill", __doc__, DistillConfig, lambda config: in_order(config.runs()))))
