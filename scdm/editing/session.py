"""Editing: an image that follows its layout while the layout is being painted."""

from __future__ import annotations

import operator
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..diffusion.inpainting import grown
from ..diffusion.samplers import Step
from ..files import config as configuration
from ..files.images import MAX_PIXELS, from_levels, to_levels
from ..files.untrusted import shown
from ..layouts.labels import LabelMap
from ..layouts.painting import class_called
from ..models.model import Model
from ..networks import Compiled
from ..pipeline import MOST_VALUE, GenerateOptions, generate, require_kinds
from . import history
from .history import History, Moment, Plan
from .window import windowed

MARGIN = 1 / 16  # of the canvas's longer side
MOST_MARGIN = 1024  # pixels


class Update(NamedTuple):
    """What an update made: the image (1, 3, H, W) in [-1, 1], the region (H, W) bool that was painted anew (elsewhere it is
    the image of before, to the bit), and how long that took."""

    image: Tensor
    region: Tensor
    seconds: float


class Cancelled(Exception):
    """The update was stopped by `EditSession.cancel`."""


class EditSession:
    """A layout that is painted on, and the image that goes with it.

    Edits are cheap: they change the layout. `update` then paints anew what differs from the layout that the image was made
    for, with a margin, and nothing else; what nobody painted is the model's to decide, once, and stays. Noise belongs to
    the canvas: every update paints from the same at the same place, until it is asked for `again` there. One thread may edit
    or `cancel` while another updates. Moments to go back to are 1000 at most, with 128 megapixels in all at most (32 of
    2048x2048): then the oldest are forgotten.

    canvas: a layout (of batch 1), or the (height, width) of one on which nothing is painted yet.
    options: how images are made, the seed among them, always from noise (strength 1). `feather` is no wider than the
        margin, and 0 is as wide.
    margin: pixels around a change that are painted anew as well, so that it can settle; None is in proportion to the canvas.
    image: (1, 3, H, W) in [-1, 1], one that was made for the layout already.
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
    ):
        self.model = model
        self.options = GenerateOptions() if options is None else options
        require_kinds(model, self.options)
        labels = canvas if isinstance(canvas, LabelMap) else _blank(canvas, model.palette.num_classes)
        ids = _ids(model, labels)
        self.options.for_model(model)  # objects now to what no update could do
        if self.options.strength < 1:
            raise ValueError(
                "what changes in a session is painted anew from noise, or it would keep the look of what was there: leave "
                f"strength at 1, not {self.options.strength}"
            )
        self.margin = min(round(MARGIN * max(ids.shape)), MOST_MARGIN) if margin is None else _whole(margin)
        if not 0 <= self.margin <= MOST_MARGIN:
            raise ValueError(f"a margin is a whole number of pixels from 0 to {MOST_MARGIN}, not {shown(margin)}")
        plan = Plan(ids, torch.zeros_like(ids))
        moment = Moment(plan) if image is None else Moment(plan, _levels(image, ids.shape), plan)
        self._history, self._draws = History((moment,)), 0
        self._editing, self._updating = threading.Lock(), threading.Lock()
        self._cancelled = threading.Event()
        self._updater: int | None = None  # the thread that updates

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
        """(H, W) bool: what `update` would paint anew."""
        return self._region(self._history.now)

    def paint(self, mask: Tensor | np.ndarray, painted: str | int) -> None:
        """The class of that name or id, where the mask (H, W) bool is true."""
        palette = self.model.palette
        class_id = class_called(palette, painted) if isinstance(painted, str) else _whole(painted)
        if not 0 <= class_id <= palette.num_classes:
            raise ValueError(
                f"palette {palette.name} has the classes 0 to {palette.num_classes - 1}, and {palette.num_classes} for "
                f"unpainted, not {shown(painted)}"
            )
        self._paint(mask, class_id)

    def erase(self, mask: Tensor | np.ndarray) -> None:
        """Nothing, where the mask (H, W) bool is true: there the model decides."""
        self._paint(mask, self.model.palette.num_classes)

    def change(self, labels: LabelMap) -> None:
        """Another layout of the same size in place of this one: where the two are the same, the image will stay."""
        ids = _ids(self.model, labels)
        here = self._history.now.plan.ids.shape
        if ids.shape != here:
            raise ValueError(
                f"the layout is {ids.shape[1]}x{ids.shape[0]}, the canvas {here[1]}x{here[0]}: resize it, or begin anew"
            )
        self._edit(lambda plan: plan._replace(ids=ids))

    def again(self, mask: Tensor | np.ndarray | None = None) -> None:
        """Asks for what the mask (H, W) bool covers, or for all, in another way than any before."""
        where = None if mask is None else self._mask(mask)
        with self._editing:
            self._draws = draw = (self._draws + 1) % history.MOST_DRAWS
        new = torch.full_like(self._history.now.plan.draws, draw)
        self._edit(lambda plan: plan._replace(draws=new if where is None else torch.where(where, new, plan.draws)))

    def update(self, on_step: Callable[[Step, int], None] | None = None) -> Update:
        """Paints anew what the edits since the last update need; the whole image at first, nothing if there were none.

        on_step: as in `generate`. An exception from it, or `cancel`, stops the work and leaves the session as it was.
        """
        if self._updater == threading.get_ident():
            raise ValueError("an update cannot make another one: return first, and then update again")
        with self._updating, self._as_updater():
            start = time.perf_counter()
            self._cancelled.clear()
            then = self._history
            moment = then.now
            region, image = self._region(moment), moment.image
            if region.any():
                with _stopping(self.model.network, self._cancelled):
                    image = to_levels(self._made(moment, region, self._watched(on_step)))[0]
                with self._editing:
                    self._history = self._history.painted(then, image)
            assert image is not None  # without one, all is to be painted
            return Update(from_levels(image[None]), region, time.perf_counter() - start)

    def cancel(self) -> None:
        """Stops the update that is under way, before the next layer of the network (of a compiled one, after the step):
        it raises `Cancelled`."""
        self._cancelled.set()

    def undo(self) -> bool:
        """Back to the layout and the image before the last edit; False if there was none."""
        return self._move(-1)

    def redo(self) -> bool:
        """The opposite of `undo`."""
        return self._move(1)

    def save(self, path: str | Path) -> None:
        """Writes all of it but the model into one file. `open` goes on exactly where this session is."""
        if not isinstance(self.options.label_noise, str):
            raise ValueError(f"{path} is not written: label noise that is a function cannot be; choose one by its name")
        with self._editing:
            now, draws = self._history, self._draws
        about = {
            "classes": list(self.model.palette.names),
            "weights": self.model.digest(),
            "options": self.options.record(),
            "margin": self.margin,
            "draws": draws,
        }
        history.write(path, now, self.model.palette.num_classes, about)

    @classmethod
    def open(cls, path: str | Path, model: Model) -> EditSession:
        """The session in a file, with the model that it was saved with; another model of the same classes gets a warning.

        ValueError names the file and says what is wrong: not a history, damaged, or of other classes than the model's.
        """
        moments, num_classes, about = history.read(path)
        if about.get("classes") != list(model.palette.names) or num_classes != model.palette.num_classes:
            raise ValueError(
                f"{path} was painted in other classes, {shown(about.get('classes'))}, than those of the model, "
                f"{shown(list(model.palette.names))}: open it with the model that it was made with"
            )
        try:
            options, draws = _options(about.get("options")), about.get("draws")
            if not isinstance(draws, int) or not 0 <= draws < history.MOST_DRAWS:
                raise ValueError(f"it counts {shown(draws)} draws")
            session = cls(model, _labels(moments.now.plan, model), options, margin=about.get("margin"))
        except ValueError as error:
            raise ValueError(f"{path} is no history that can be reopened: {error}") from error
        if not model.is_known_as(about.get("weights")):
            warnings.warn(f"{path} was made with another model: what it paints anew may not fit the rest", stacklevel=2)
        session._history, session._draws = moments, draws
        return session

    def _watched(self, on_step: Callable[[Step, int], None] | None) -> Callable[[Step, int], None]:
        """`on_step`, unless the update is cancelled by then."""

        def watch(step: Step, steps: int) -> None:
            if self._cancelled.is_set():
                raise Cancelled
            if on_step is not None:
                on_step(step, steps)

        return watch

    @contextmanager
    def _as_updater(self) -> Iterator[None]:
        self._updater = threading.get_ident()
        try:
            yield
        finally:
            self._updater = None

    def _paint(self, mask: Tensor | np.ndarray, class_id: int) -> None:
        where = self._mask(mask)
        self._edit(lambda plan: plan._replace(ids=plan.ids.masked_fill(where, class_id)))

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

    def _mask(self, mask: Tensor | np.ndarray) -> Tensor:
        canvas = self._history.now.plan.ids.shape
        if not isinstance(mask, Tensor | np.ndarray):
            raise ValueError(f"the mask of an edit is a bool tensor or array, not {shown(mask)}")
        if str(mask.dtype) not in ("bool", "torch.bool"):
            raise ValueError(
                f"the mask of an edit is bool, true where something changes, not {mask.dtype}: for instance mask > 0.5"
            )
        if mask.shape != canvas:
            raise ValueError(
                f"the mask of an edit has the canvas's shape, (height, width) = {tuple(canvas)}, not {tuple(mask.shape)}"
            )
        return mask.cpu() if isinstance(mask, Tensor) else torch.from_numpy(np.array(mask))  # which copies any view

    def _region(self, moment: Moment) -> Tensor:
        if moment.made_for is None:
            return torch.ones_like(moment.plan.ids, dtype=torch.bool)
        return grown(moment.plan.differs(moment.made_for), self.margin)

    def _made(self, moment: Moment, region: Tensor, on_step: Callable[[Step, int], None] | None) -> Tensor:
        options, labels = self.options, _labels(moment.plan, self.model)
        draws = moment.plan.draws.masked_fill(~region, 0)  # what was asked for elsewhere is of no matter here
        if moment.image is None or region.all():
            return generate(self.model, labels, options, draws=draws, on_step=on_step)
        # A part that fades in over more than the margin would be faint where it was asked for.
        options = replace(options, feather=min(options.feather or self.margin, self.margin))
        # Some things are said of the whole prediction, and no window may decide them.
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


@contextmanager
def _stopping(network: nn.Module, cancelled: threading.Event) -> Iterator[None]:
    """Raises `Cancelled` at the next layer that this thread comes to, once the event is set. Not within a compiled network,
    whose graph this would break."""
    thread = threading.get_ident()  # others may use the network at the same time

    def check(*_: Any) -> None:
        if cancelled.is_set() and threading.get_ident() == thread:
            raise Cancelled

    layers = () if isinstance(network, Compiled) else network.modules()
    hooks = [layer.register_forward_pre_hook(check) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _blank(size: tuple[int, int], num_classes: int) -> LabelMap:
    height, width = map(_whole, size) if isinstance(size, tuple | list) and len(size) == 2 else (-1, -1)
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(
            f"a canvas has a height and a width in pixels, up to {MAX_PIXELS // 2**20} megapixels, not {shown(size)}"
        )
    return LabelMap(torch.full((1, height, width), num_classes), num_classes)


def _whole(value: Any) -> int:
    """An integer of whatever kind; -1 for what is none."""
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, Tensor | bool) else -1


def _ids(model: Model, labels: LabelMap) -> Tensor:
    """(H, W) of the one layout, which the model can read."""
    if labels.batch != 1:
        raise ValueError(f"one layout is edited at a time, not {labels.batch}: choose one")
    if labels.edges is not None and model.config.network.edges:
        raise ValueError(
            "borders of instances cannot be edited, only those between classes, which are found: leave the layout's own "
            "out, as in LabelMap(labels.ids, labels.num_classes)"
        )
    return model.prepared(labels).ids[0].to("cpu", torch.int32, copy=True)  # others may go on painting in theirs


def _labels(plan: Plan, model: Model) -> LabelMap:
    return LabelMap(plan.ids[None].long(), model.palette.num_classes)


def _levels(image: Tensor, size: torch.Size) -> np.ndarray:
    if image.shape != (1, 3, *size):
        raise ValueError(
            f"the image must be one of the canvas's size, of the shape {(1, 3, *size)}, not {tuple(image.shape)}"
        )
    if not (image.isfinite() & (image.abs() <= MOST_VALUE)).all():
        raise ValueError("the image holds values that are no numbers, or far from an image's -1 to 1: scale it")
    return to_levels(image)[0]


def _options(record: Any) -> GenerateOptions:
    if not isinstance(record, dict) or not isinstance(record.get("label_noise", ""), str):
        raise ValueError("its options are missing, or no options")
    if isinstance(scale := record.get("guidance"), int | float) and 0 <= scale < 1:
        record = {**record, "guidance": 1.0}  # which once could be said with less than 1, too
    options = configuration.from_dict(GenerateOptions, record, "options.")
    return replace(options, strength=1.0)  # which once was free, and did harm
