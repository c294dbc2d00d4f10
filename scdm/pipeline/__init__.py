"""From a layout to images."""

from .composition import generate as generate
from .composition import require_kinds as require_kinds
from .inputs import MOST_VALUE as MOST_VALUE
from .options import MOST_FEATHER as MOST_FEATHER
from .options import GenerateOptions as GenerateOptions
