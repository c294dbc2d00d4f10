"""What a painter waits for: an image, an edit, and the start of the program.

    python benchmarks/image.py --models scenes --sizes 64 128

Each time is compared with another of the same run: an image's with that of its bare network calls, an edit's (of a square
of a quarter of the side) with that of a whole image, the start of a program with the import of torch alone.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("image")  # before torch is loaded

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch

from scdm import assets
from scdm.datasets.scenes import Scenes
from scdm.diffusion.schedules import visited_steps
from scdm.editing.session import EditSession
from scdm.files.arguments import Parser
from scdm.layouts.labels import LabelMap
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, generate
from scdm.training.command import ending

COMMAND = "import sys; from scdm.__main__ import main; sys.argv[1:] = '{}'.split(); sys.exit(main())"
LAYOUT = assets.folder() / "examples" / "landscape.png"
LIBRARY = "import torch; from scdm import generate, load, read_layout"
STARTS = {  # what is written -> the program
    "import torch": "import torch",
    LIBRARY: LIBRARY,
    "scdm sample --help": COMMAND.format("sample --help"),
    "scdm palette --list": COMMAND.format("palette --list"),
    "scdm inspect layout.png": COMMAND.format(f"inspect {LAYOUT}"),
    "scdm sample absent.png -o a.png": f"import torch; {COMMAND.format('sample absent.png -o a.png')}",
}


@ending("image")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["scenes"], help="embedded models or files")
    parser.add_argument("--sizes", nargs="+", type=int, default=[64], help="sides of the images, in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, medians of {arguments.repeats}\n")
    print("| model | size | steps | image, s | of its bare network calls | edit, s | of an image |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.models:
        for size in arguments.sizes:
            print(image_row(name, load(name), size, arguments.repeats), flush=True)
    print("\n| start | s | of torch alone |\n| --- | --- | --- |")
    print("\n".join(start_rows(arguments.repeats)))
    return 0


def image_row(name: str, model: Model, size: int, repeats: int) -> str:
    labels = scene(model, size)
    options = GenerateOptions().for_model(model)
    assert options.steps is not None and options.guidance is not None
    steps = len(visited_steps(model.config.steps, options.steps))
    guided = options.guidance > 1 and model.config.distilled_guidance is None
    x, t = torch.randn(1, 3, size, size), torch.tensor([500])
    session = EditSession(model, labels)
    session.update()
    square = torch.zeros(size, size, dtype=torch.bool)
    square[size // 2 : 3 * size // 4, size // 2 : 3 * size // 4] = True

    def image() -> None:
        generate(model, labels)

    def bare_calls() -> None:
        with torch.inference_mode():
            for _ in range(steps):
                features = model.network.encode(x, t)
                model.network.decode(features, labels)
                if guided:
                    model.network.decode(features, None)

    def edit() -> None:
        session.again(square)
        session.update()

    of_calls, of_images = paired(image, bare_calls, repeats), paired(edit, image, repeats)
    cells = [name, f"{size}x{size}", str(steps)]
    for pairs in (of_calls, of_images):
        cells += [
            f"{median(first for first, _ in pairs):.2f}",
            f"{median(first / second for first, second in pairs):.2f}",
        ]
    return f"| {' | '.join(cells)} |"


def scene(model: Model, size: int) -> LabelMap:
    """The layout of a made scene."""
    _, ids = Scenes(1, 1, (size, size))[0]
    return LabelMap(ids[None], model.palette.num_classes)


def start_rows(repeats: int) -> list[str]:
    def start(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], capture_output=True)

    rows = []
    for name, code in STARTS.items():
        pairs = paired(start(code), start(STARTS["import torch"]), repeats)
        seconds, added = median(a for a, _ in pairs), median(a - b for a, b in pairs)
        rows.append(f"| `{name}` | {seconds:.2f} | {added:+.2f} s |")
    return rows


def paired(work: Callable[[], object], other: Callable[[], object], repeats: int) -> list[tuple[float, float]]:
    """Seconds of both, taken in turn after a warm-up."""
    work(), other()
    return [(seconds(work), seconds(other)) for _ in range(repeats)]


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(perform(main))
