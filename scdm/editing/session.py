"""Editing: an image that follows its layout while the layout is being painted."""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ..diffusion.inpainting import grown
from ..diffusion.samplers import Step
from ..files.images import MAX_PIXELS, from_levels, to_levels
from ..files.options import Option, check, declared
from ..files.untrusted import shown
from ..layouts.labels import LabelMap
from ..layouts.painting import class_called
from ..layouts.palette import Palette
from ..models.model import Model
from ..networks import Compiled
from ..pipeline import GenerateOptions, generate
from ..pipeline.inputs import checked_source, require, require_kinds
from . import history
from .history import MOST_MOMENTS, History, Moment, Plan, Saved
from .window import windowed

MARGIN = 1 / 16  # of the image's longer side
MOST_MARGIN = 1024  # pixels
Mask = Tensor | np.ndarray  # (H, W) bool


class Update(NamedTuple):
    """What an update made: the image (1, 3, H, W) in [-1, 1], the region (H, W) bool that was repainted (elsewhere it is the
    image of before, to the bit), and how long that took."""

    image: Tensor
    region: Tensor
    seconds: float


class Cancelled(Exception):
    """The update was stopped by `EditSession.cancel`."""


class EditSession:
    """A layout that is painted on, and the image that goes with it.

    Edits are cheap: they change the layout. `update` then repaints where it differs from the layout that the image was made
    for, with a margin, and nothing else; what nobody painted is the model's to decide, once, and stays. Noise belongs to the
    place in the image: every update uses the same at the same place, until `again` asks for a new draw there. One thread may
    edit or `cancel` while another updates.

    canvas: a layout (of batch 1), or the (height, width) of one on which nothing is painted yet.
    options: how images are made. Updates start from noise, so strength is 1. `feather` is no wider than the margin, and 0 is
        as wide.
    margin: pixels around a change that are repainted as well, so that it can settle; None is in proportion to the image.
    image: (1, 3, H, W) in [-1, 1] that was made for the layout already.
    moments: to go back to, at most, and 128 megapixels in all (32 of 2048x2048); the oldest are forgotten first.
    ValueError for classes that are not the model's, and for what does not fit the canvas or the model.
    """

    def __init__(
        self,
        model: Model,
        canvas: LabelMap | tuple[int, int],
        options: GenerateOptions | None = None,
        *,
        margin: int | None = None,
        image: Tensor | None = None,
        moments: Annotated[int, Option("layouts and images to go back to", ge=2, le=MOST_MOMENTS)] = MOST_MOMENTS,
    ):
        check({"moments": moments}, declared(EditSession.__init__))
        self.configure(model, GenerateOptions() if options is None else options, margin)
        ids = _ids(model, canvas if isinstance(canvas, LabelMap) else _blank(canvas, model.palette.num_classes))
        plan = Plan(ids, torch.zeros_like(ids))
        moment = Moment(plan) if image is None else Moment(plan, _levels(image, plan), plan)
        self._history, self._draws = History((moment,), most=moments), 0
        self._editing, self._updating = threading.Lock(), threading.RLock()
        self._cancelled = threading.Event()

    def configure(
        self,
        model: Model,
        options: GenerateOptions,
        margin: Annotated[
            int | None, Option("pixels around a change that are repainted as well", ge=0, le=MOST_MARGIN)
        ] = None,
    ) -> None:
        """How updates are made from now on. The image stays as it is; the model has the same classes as before."""
        require_kinds(model, options)
        check({"margin": margin}, declared(EditSession.configure))
        options.for_model(model)  # raises now what every update would
        require(options.strength == 1, f"an edit is painted from noise: leave strength at 1, not {options.strength}")
        self.model, self.options, self.margin = model, options, margin

    @property
    def labels(self) -> LabelMap:
        """The layout as it is now painted."""
        return _labels(self._history.now.plan, self.model)

    @property
    def image(self) -> Tensor | None:
        """(1, 3, H, W) in [-1, 1], in the 256 levels of image files, so that none loses any; None at first."""
        image = self._history.now.image
        return None if image is None else from_levels(image[None])

    @property
    def region(self) -> Tensor:
        """(H, W) bool: what `update` would repaint."""
        return _region(self._history.now, self._margin)

    # Edits

    def paint(self, mask: Mask, painted: str | int) -> None:
        """The class of that name or id, where the mask (H, W) bool is true."""
        class_id = _class_id(self.model.palette, painted)
        where = _mask(mask, self._history.now.plan)
        self._edit(lambda plan: plan._replace(ids=plan.ids.masked_fill(where, class_id)))

    def erase(self, mask: Mask) -> None:
        """Unpainted, where the mask (H, W) bool is true: there the model decides."""
        self.paint(mask, self.model.palette.num_classes)

    def change(self, labels: LabelMap) -> None:
        """Another layout of the same size in place of this one: where the two are the same, the image will stay."""
        ids = _ids(self.model, labels)
        size, here = f"{labels.width}x{labels.height}", self._history.now.plan.ids.shape
        require(ids.shape == here, f"the layout is {size}, the canvas {here[1]}x{here[0]}: resize it, or begin anew")
        self._edit(lambda plan: plan._replace(ids=ids))

    def again(self, mask: Mask | None = None) -> None:
        """Repaints what the mask (H, W) bool covers, or all, with a new seed."""
        plan = self._history.now.plan
        where = torch.ones_like(plan.ids, dtype=torch.bool) if mask is None else _mask(mask, plan)
        with self._editing:
            self._draws = draw = (self._draws + 1) % history.MOST_DRAWS
        self._edit(lambda plan: plan._replace(draws=plan.draws.masked_fill(where, draw)))

    def undo(self) -> bool:
        """Back to the layout and the image before the last edit; False if there was none."""
        return self._move(-1)

    def redo(self) -> bool:
        """The opposite of `undo`."""
        return self._move(1)

    def return_to(self, labels: LabelMap) -> bool:
        """To the nearest moment that has this very layout, as by `undo` or `redo`, of several in a row the last; False if
        there is none.

        For painters with an undo of their own: their layout of before is found again with its image.
        """
        ids = _ids(self.model, labels)
        with self._editing:
            place = self._history.nearest(ids)
            if place is not None:
                self._history = self._history.moved(place - self._history.at)
            return place is not None

    def _edit(self, change: Callable[[Plan], Plan]) -> None:
        """What changes nothing is no edit."""
        with self._editing:
            before = self._history.now.plan
            after = change(before)
            if after.differs(before).any():
                self._history = self._history.planned(after)

    def _move(self, by: int) -> bool:
        with self._editing:
            before = self._history
            self._history = before.moved(by)
            return self._history.at != before.at

    # Updates

    def update(self, on_step: Callable[[Step, int], None] | None = None) -> Update:
        """Repaints what the edits since the last update need; the whole image at first, nothing if there were none.

        on_step: as in `generate`. An exception from it, or `cancel`, stops the work and leaves the session as it was.
        """
        with self._updating:
            start = time.perf_counter()
            self._cancelled.clear()
            then = self._history
            region, image = _region(then.now, self._margin), then.now.image
            if image is None or region.any():
                with _cancelling(self.model, self._cancelled, on_step) as watched:
                    image = to_levels(self._made(then.now, region, watched))[0]
                with self._editing:
                    self._history = self._history.painted(then, image)
            return Update(from_levels(image[None]), region, time.perf_counter() - start)

    def cancel(self) -> None:
        """Stops the update that is running, before the next layer of the network (of a compiled one, after the step):
        it raises `Cancelled`."""
        self._cancelled.set()

    def _made(self, moment: Moment, region: Tensor, on_step: Callable[[Step, int], None]) -> Tensor:
        """The image of the moment's plan: all of it, or the region inpainted into the image that there is."""
        options, labels = self.options, _labels(moment.plan, self.model)
        draws = moment.plan.draws.masked_fill(~region, 0)  # new draws elsewhere have no influence here
        if moment.image is None or region.all():
            return generate(self.model, labels, options, draws=draws, on_step=on_step)
        # A part that fades in over more than the margin would be faint where it was asked for.
        options = replace(options, feather=min(options.feather or self._margin, self._margin))
        # Statistics of the whole prediction cannot be taken from a window.
        whole = options.dynamic_threshold is not None or options.mean is not None
        return generate(
            self.model if whole else windowed(self.model, region),
            labels,
            options,
            image=from_levels(moment.image[None]),
            mask=region[None, None].float(),
            draws=draws,
            on_step=on_step,
        )

    @property
    def _margin(self) -> int:
        size = self._history.now.plan.ids.shape
        return min(round(MARGIN * max(size)), MOST_MARGIN) if self.margin is None else self.margin

    # Files

    def save(self, path: str | Path) -> None:
        """Writes all of it but the model into one file. `open` goes on exactly where this session is."""
        noise = self.options.label_noise
        require(isinstance(noise, str), f"{path} is not written: label noise that is a function cannot be saved")
        with self._editing:
            now, draws = self._history, self._draws
        classes, weights = self.model.palette.names, self.model.digest()
        history.write(path, Saved(now, classes, weights, self.options, self._margin, draws))

    @classmethod
    def open(cls, path: str | Path, model: Model) -> EditSession:
        """The session in a file, with the model that it was saved with; another model of the same classes gets a warning.

        ValueError names the file and says what is wrong: not a history, damaged, or of other classes than the model's.
        """
        saved, names = history.read(path), model.palette.names
        theirs, ours = shown(list(saved.classes)), shown(list(names))
        require(saved.classes == names, f"{path} was painted in other classes, {theirs}, than the model's, {ours}")
        try:
            session = cls(model, _labels(saved.history.now.plan, model), saved.options, margin=saved.margin)
        except ValueError as error:
            raise ValueError(f"{path} is no session that can be opened: {error}") from error
        if not model.is_known_as(saved.weights):
            warnings.warn(f"{path} was made with another model: what it repaints may not fit the rest", stacklevel=2)
        session._history, session._draws = saved.history, saved.draws
        return session


@contextmanager
def _cancelling(
    model: Model, cancelled: threading.Event, on_step: Callable[[Step, int], None] | None
) -> Iterator[Callable[[Step, int], None]]:
    """Gives an `on_step` that raises `Cancelled` once the event is set. So does the next layer that this thread comes to,
    but not within a compiled network, whose graph this would break."""
    thread = threading.get_ident()  # others may use the network at the same time

    def stop(*_: Any) -> None:
        if cancelled.is_set() and threading.get_ident() == thread:
            raise Cancelled

    def watched(step: Step, steps: int) -> None:
        stop()
        if on_step is not None:
            on_step(step, steps)

    networks = [model.network, *([model.upsampler.network] if model.upsampler else [])]
    plain = [network for network in networks if not isinstance(network, Compiled)]
    hooks = [layer.register_forward_pre_hook(stop) for network in plain for layer in network.modules()]
    try:
        yield watched
    finally:
        for hook in hooks:
            hook.remove()


def _region(moment: Moment, margin: int) -> Tensor:
    if moment.made_for is None:
        return torch.ones_like(moment.plan.ids, dtype=torch.bool)
    return grown(moment.plan.differs(moment.made_for), margin)


def _labels(plan: Plan, model: Model) -> LabelMap:
    return LabelMap(plan.ids[None].long(), model.palette.num_classes)


def _ids(model: Model, labels: LabelMap) -> Tensor:
    """(H, W) of the one layout, in a copy: others may go on painting in theirs."""
    require(labels.batch == 1, f"one layout is edited at a time, not {labels.batch}: choose one")
    seen = labels.edges is not None and model.config.network.edges
    require(not seen, "borders of instances cannot be edited: use LabelMap(labels.ids, labels.num_classes)")
    return model.prepared(labels).ids[0].to("cpu", torch.int32, copy=True)


def _blank(size: Any, num_classes: int) -> LabelMap:
    sides = size if isinstance(size, tuple | list) and len(size) == 2 else (0, 0)
    fits = all(_is_whole(side) and side >= 1 for side in sides) and math.prod(sides) <= MAX_PIXELS
    most = MAX_PIXELS // 2**20
    require(fits, f"a canvas has a height and a width in pixels, up to {most} megapixels, not {shown(size)}")
    return LabelMap(torch.full((1, *map(int, sides)), num_classes), num_classes)


def _levels(image: Tensor, plan: Plan) -> np.ndarray:
    """uint8 (H, W, 3)."""
    checked, _ = checked_source(image, None, 1, (plan.ids.shape[0], plan.ids.shape[1]))
    return to_levels(cast(Tensor, checked))[0]


def _class_id(palette: Palette, painted: str | int) -> int:
    """num_classes is MASK."""
    if isinstance(painted, str):
        return class_called(palette, painted)
    most = palette.num_classes
    known = _is_whole(painted) and 0 <= painted <= most
    require(known, f"{palette.name} has classes 0 to {most - 1}, and {most} for unpainted, not {shown(painted)}")
    return int(painted)


def _is_whole(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _mask(mask: Any, plan: Plan) -> Tensor:
    """On the host."""
    size = tuple(plan.ids.shape)
    known = isinstance(mask, Tensor | np.ndarray)
    found = f"{mask.dtype} of {tuple(mask.shape)}" if known else shown(mask)
    fits = known and str(mask.dtype) in ("bool", "torch.bool") and tuple(mask.shape) == size
    require(fits, f"the mask of an edit is bool of (height, width) = {size}, not {found}: for instance mask > 0.5")
    return mask.cpu() if isinstance(mask, Tensor) else torch.from_numpy(np.array(mask))  # which copies any view
