"""The arguments of every command, and the words that explain them. Free of torch: what needs more is imported when its
command is chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, get_args

from ..assets import embedded_models
from ..files.arguments import Parser
from ..files.options import Declared, declared
from ..files.plugins import load_plugins
from ..files.untrusted import LONGEST_LINE, brief, shown
from ..start import importing
from .flags import add_flags, add_stored_type, flag_of, reading
from .terminal import write

Words = dict[str, Any]  # of a command's parser

PLUGIN = "--plugin"
MOST_SHEET = 8192  # pixels
DEFAULT_MODEL = "scenes"
DEFAULT_PALETTE = "scenes"  # of the default model
DEFAULT_TOLERANCE = 16.0
MOST_IMAGES = 10_000  # of a layout, in one go

PALETTE_HELP = (
    "a palette's name (see 'scdm palette --list'; NAME_golden_angle for the colours of OneFormer preprocessors), a class "
    "table (JSON or YAML, or as tools write them: labelmap.txt, .gpl, .kpl, _classes.csv, labels.txt, dataset_meta.json, "
    "config.json), or a model file, whose palette is taken"
)


class Command(Parser):
    """Raises ValueError, like everything else. `arguments` adds a command's own once that command is chosen."""

    def __init__(self, arguments: Callable[[argparse.ArgumentParser], None] | None = None, **settings: Any):
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)
        self._arguments = arguments

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        add, self._arguments = self._arguments, None
        if add is not None:
            with importing():
                add(self)
        return super().parse_known_args(args, namespace)

    def hint(self, argument: str) -> str:
        misplaced = argument.partition("=")[0] == PLUGIN
        return f": {PLUGIN} stands before the command" if misplaced else super().hint(argument)

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{brief(message, LONGEST_LINE)} ('{self.prog} --help' explains)")

    def _print_message(self, message: str, file: Any = None) -> None:
        write(message, sys.stdout)


def parser() -> Command:
    top = Command(
        prog="scdm",
        description="From a painted layout of classes to an image.",
        epilog="'scdm COMMAND --help' explains a command and gives examples.",
    )
    top.add_argument(
        PLUGIN,
        action=_Plugin,
        metavar="MODULE",
        help="before the command: import this module, or file.py, which registers a sampler, a network ...",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the program's version and end")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (words, add, settings) in COMMANDS.items():
        commands.add_parser(name, help=words, arguments=add, **settings)
    return top


SAMPLE: Words = {
    "usage": "scdm sample LAYOUT [LAYOUT ...] -o OUT [options]",
    "description": """\
Make images from layouts: pictures in which every class is painted in its colour. What is transparent, or has no
class's colour, is left to the model. Grey images hold class ids, or other values (--values).

OUT says where the images go:
  a file        for one image; for --count above 1 the seed is put before the suffix (out_7.png)
  a folder      LAYOUT.png for each layout, or LAYOUT_SEED.png for --count above 1
  a pattern     a file name with {layout} and {seed}, such as 'out/{layout}-{seed}.jpg'
Folders must exist; files are replaced, but never one that is read. An image is that of its seed alone, whatever
else is made with it.""",
    "epilog": """\
examples:
  scdm sample layout.png -o image.png
  scdm sample layout.png -o image.png --count 4 --seed 7       image_7.png ... image_10.png
  scdm sample layouts/*.png -o images/ --sheet overview.png
  scdm sample layout.png -o image.png --model ade20k.safetensors --size 256x256 --steps 50 --sampler dpmpp_2m
  scdm sample x_gtFine_labelIds.png -o x.png --model cityscapes.safetensors --instances x_gtFine_instanceIds.png
  scdm sample layout.png -o new.png --image old.png --mask part.png --feather 4    repaint what the mask shows white
  scdm sample layout.png -o new.png --image old.png --strength 0.5                 keep half of the old image""",
}


def _add_sample(command: argparse.ArgumentParser) -> None:
    from ..pipeline.options import PRESETS, every_option  # which takes longer than all of this module

    command.add_argument("layouts", metavar="LAYOUT", nargs="+", type=Path, help="image file of a layout")
    command.add_argument("-o", "--output", metavar="OUT", required=True, help="file, folder or pattern, see above")
    command.add_argument(
        "--model",
        metavar="NAME|FILE",
        default=DEFAULT_MODEL,
        help=f"a file or an embedded model: {' or '.join(embedded_models())} (default {DEFAULT_MODEL})",
    )
    command.add_argument("--count", metavar="N", type=_count, default=1, help="images for each layout (default 1)")
    command.add_argument("--sheet", metavar="FILE", type=Path, help="also show each layout and its images in a row")
    command.add_argument(
        "--sheet-width",
        metavar="PIXELS",
        type=_sheet_width,
        help="width of the sheet, on which the pictures are then made to fit, with the layouts' names",
    )

    layout = command.add_argument_group("the layout")
    layout.add_argument("--palette", metavar="NAME|FILE", help=f"{PALETTE_HELP} (default: the model's own)")
    _add_tolerance(layout)
    layout.add_argument(
        "--size", metavar="WxH", type=_size, help="resize the layout, by majority where it shrinks (default: its own)"
    )

    layout.add_argument(
        "--instances",
        metavar="FILE",
        action="append",
        default=[],
        help="instance map of the layout's size, for models that read borders: a value (8 to 32 bits) or a colour for each "
        "thing. For several layouts once for each, in their order, or a pattern with {layout} (default: borders between "
        "classes)",
    )

    settings = every_option().values()
    image = command.add_argument_group("an image to start from")
    image.add_argument("--image", metavar="FILE", type=Path, help="of the layout's size; greys of 16 bits are scaled")
    image.add_argument(
        "--mask",
        metavar="FILE",
        type=Path,
        help="which part to repaint, of the layout's size: white is repainted, black and transparent kept, grey mixed; "
        "of any depth, and 0 and 1 of 255 are taken for black and white",
    )
    add_flags(image, [setting for setting in settings if setting.option.needs])

    sampling = command.add_argument_group("sampling")
    named = "; ".join(
        f"{name} is {', '.join(f'{option} {value}' for option, value in options.items())}".replace("_", "-")
        for name, options in PRESETS.items()
    )
    sampling.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default=argparse.SUPPRESS,
        help=f"options by name, which those that are given change: {named}",
    )
    add_flags(sampling, [setting for setting in settings if not setting.option.needs and not setting.owners])
    sampling.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default auto)")
    sampling.add_argument(
        "--compile",
        action="store_true",
        default=False,
        help="compile the network first: a minute or more, which pays for many images of one size",
    )
    add_flags(command.add_argument_group("options of samplers"), [setting for setting in settings if setting.owners])

    report = command.add_argument_group("output")
    report.add_argument(
        "--json", action="store_true", help="write a report to standard output: settings, classes, files"
    )
    report.add_argument("--quiet", action="store_true", help="print nothing but errors")


INSPECT: Words = {
    "description": "Say what a model file holds (network, process, classes, origin), or which classes a layout shows.",
    "epilog": """\
examples:
  scdm inspect scenes
  scdm inspect model.safetensors --json
  scdm inspect layout.png --palette ade20k""",
}


def _add_inspect(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file", metavar="FILE", help="a model file, an embedded model's name, or the image of a layout"
    )
    _add_palette_of_layout(command)
    command.add_argument("--json", action="store_true", help="the same for programs")


CORRUPT: Words = {
    "epilog": """\
examples:
  scdm corrupt layout.png -o rough.png --kind downsample --to 32
  scdm corrupt layout.png -o sparse.png --kind patterns --share 0.9 --seed 7
  scdm corrupt layout.png -o faded.png --kind diffuse --step 700 --rates uniform""",
}


def _add_corrupt(command: argparse.ArgumentParser) -> None:
    from ..diffusion.corruption import CORRUPTIONS, RemovedKind, about

    kinds = "\n".join(f"  {kind:<13} {about(kind)}" for kind in CORRUPTIONS)
    command.description = (
        f"Corrupt a layout and write it in the colours of its palette, transparent where it is unpainted.\n\n{kinds}"
    )
    command.add_argument("layout", metavar="LAYOUT", type=Path, help="image file of a layout")
    command.add_argument("-o", "--output", metavar="OUT", required=True, type=Path, help="image file to write")
    command.add_argument("--kind", required=True, choices=tuple(CORRUPTIONS), help="see above")
    command.add_argument("--seed", type=_natural, default=0, help="of what is random (default 0)")
    numbers = strengths()
    rated = " and ".join(numbers.pop("rates"))
    for name, owners in numbers.items():
        words = "; ".join(
            f"of {kind}: {setting.option.help}, {setting.describe()} (default {setting.default})"
            for kind, setting in owners.items()
        )
        first = next(iter(owners.values()))
        command.add_argument(corruption_flag(name), dest=name, help=words, **reading(first))
    rates = f"of {rated}: uniform, or a data set's (default: the palette's)"
    command.add_argument("--rates", metavar="NAME", help=rates)
    words = 'removed pixels: MASK, which is unpainted (default), or the class "unlabelled", as in the benchmark'
    command.add_argument("--removed", default="mask", choices=get_args(RemovedKind), help=words)
    _add_palette_of_layout(command)


def strengths() -> dict[str, dict[str, Declared]]:
    """The settings of corruptions by name, each with the corruptions that have it."""
    from ..diffusion.corruption import CORRUPTIONS, settings

    found: dict[str, dict[str, Declared]] = {}
    for kind in CORRUPTIONS:
        for name, setting in settings(kind).items():
            found.setdefault(name, {})[kind] = setting
    return found


def corruption_flag(name: str) -> str:
    return "--to" if name == "size" else flag_of(name)


PALETTE: Words = {
    "description": "Write the colours of a palette, to paint with: .kpl (Krita), .gpl (GIMP and others), .png (a picture).",
    "epilog": """\
examples:
  scdm palette --list
  scdm palette ade20k -o ade20k.kpl
  scdm palette model.safetensors -o colours.png""",
}


def _add_palette(command: argparse.ArgumentParser) -> None:
    command.add_argument("palette", metavar="NAME|FILE", nargs="?", help=PALETTE_HELP)
    command.add_argument("-o", "--output", metavar="FILE", type=Path, help="file to write, .kpl, .gpl or .png")
    command.add_argument("--list", action="store_true", help="list the palettes that have names")


CONVERT: Words = {
    "description": "Turn a published checkpoint of SDM or SCDM (.pt) into a model file that explains itself.",
    "epilog": """\
examples:
  scdm convert ema_0.9999_best.pt -o ade20k.safetensors
  scdm convert ema_0.9999_best.pt -o ade20k.safetensors --half
  scdm convert checkpoint.pt -o mine.safetensors --entry ema --palette classes.json --prediction v

What weights do not show (label diffusion, size, attention heads, process) is taken as published, with a note.""",
}


def _add_convert(command: argparse.ArgumentParser) -> None:
    from ..models.assumptions import Assumptions

    command.add_argument("source", metavar="SOURCE", type=Path, help="checkpoint file")
    command.add_argument("-o", "--output", metavar="OUT", required=True, type=Path, help="model file, .safetensors")
    command.add_argument("--palette", metavar="NAME|FILE", help=f"{PALETTE_HELP} (default: by the number of classes)")
    command.add_argument(
        "--size", metavar="WxH", type=_size, help="of its training images (default 256x256, Cityscapes 512x256)"
    )
    settings = dict(declared(Assumptions))
    add_flags(command.add_mutually_exclusive_group(), [settings.pop("head_channels"), settings.pop("heads")])
    add_flags(command, settings.values())
    add_stored_type(command)
    command.add_argument("--force", action="store_true", help="replace OUT if it is there")


PAINT: Words = {
    "description": """\
Open a page in the browser on which a layout is painted, and its image follows after every stroke. It is served to this
computer alone, keeps what is painted through a reload and a restart, and reads no file but those that are dropped on it.""",
    "epilog": """\
examples:
  scdm paint
  scdm paint --model ade20k.safetensors --size 256x256 --steps 20
  scdm paint --no-browser --port 0                 prints the address""",
}


def _add_paint(command: argparse.ArgumentParser) -> None:
    from ..paint.options import DEFAULT_MODEL, ServerOptions
    from ..pipeline.options import every_option

    command.add_argument(
        "--model",
        metavar="NAME|FILE",
        action="append",
        help="a model to begin with; once for each that the page is to offer beside the embedded ones, "
        f"{' and '.join(embedded_models())} (default {DEFAULT_MODEL})",
    )
    command.add_argument(
        "--size", metavar="WxH", type=_size, help="of a new canvas (default: what the model paints best, up to 512x512)"
    )
    add_flags(command, declared(ServerOptions).values())
    settings = every_option()
    add_flags(command, [settings[name] for name in ("steps", "sampler", "precision")])
    command.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="(default auto)")


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Words]] = {
    "sample": ("make images from layouts", _add_sample, SAMPLE),
    "paint": ("paint a layout on a page of its own, whose image follows", _add_paint, PAINT),
    "inspect": ("say what a model file or a layout holds", _add_inspect, INSPECT),
    "corrupt": ("corrupt a layout as the benchmark or sparse scribbles do", _add_corrupt, CORRUPT),
    "palette": ("export colours for Krita, GIMP or as a picture", _add_palette, PALETTE),
    "convert": ("turn a published checkpoint into a model file", _add_convert, CONVERT),
}


def _add_palette_of_layout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--palette",
        metavar="NAME|FILE",
        default=DEFAULT_PALETTE,
        help=f"of the layout: {PALETTE_HELP} (default {DEFAULT_PALETTE})",
    )
    _add_tolerance(command)


def _add_tolerance(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--tolerance",
        metavar="DISTANCE",
        type=float,
        default=DEFAULT_TOLERANCE,
        help=f"how far a pixel may be from a class's colour, in levels of 255 (default {DEFAULT_TOLERANCE:g})",
    )
    command.add_argument(
        "--values",
        metavar="NAME",
        help="what the values of a grey image or of places in a colour table mean, by the palette: ids, or for example "
        "annotations (ade20k) or train_ids (cityscapes), see 'scdm palette --list'; colors: none, they are colours "
        "(default: as the file tells; a note says what was assumed)",
    )


def _count(text: str) -> int:
    count = _at_least(1, text)
    if count > MOST_IMAGES:
        raise argparse.ArgumentTypeError(f"at most {MOST_IMAGES} images for each layout, not {brief(text, 80)}")
    return count


def _sheet_width(text: str) -> int:
    width = _at_least(256, text)
    if width > MOST_SHEET:
        raise argparse.ArgumentTypeError(f"at most {MOST_SHEET} pixels, not {brief(text, 80)}")
    return width


def _natural(text: str) -> int:
    return _at_least(0, text)


def _at_least(low: int, text: str) -> int:
    try:
        if (number := int(text)) >= low:
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be a whole number from {low}, not {shown(text)}")


def _size(text: str) -> tuple[int, int]:
    """(width, height)"""
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f"must look like 256x192 (width x height), not {shown(text)}")
    return width, height


class _Plugin(argparse.Action):
    """Imports it at once, so that the command that follows knows what it registers."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, name: Any, option: str | None = None) -> None:
        load_plugins([name])


class _Version(argparse.Action):
    """Says the version when asked for it: looking it up takes as long as all the rest of this module."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib import metadata

        try:
            version = metadata.version("scdm")
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        write(f"scdm {version}\n", sys.stdout)
        parser.exit()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **more: Any):
        super().__init__(prog, max_help_position=28, **more)
