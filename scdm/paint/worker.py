"""The thread that paints: it owns the editing session, and of all that the page asks for it makes what still counts."""

from __future__ import annotations

import io
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..diffusion.samplers import Step
from ..editing import history
from ..editing.session import Cancelled, EditSession
from ..files.images import encoded, from_levels, to_levels
from ..files.untrusted import brief, is_out_of_memory, sentence
from ..layouts import paintings
from ..layouts.labels import LabelMap
from ..models.model import Model
from ..pipeline import GenerateOptions
from .messages import Area, Asked, Message, Settings
from .models import Models
from .options import MOST_SIDE

PREVIEW_SIDE = 512  # pixels
PREVIEW_EVERY = 0.05  # seconds
# Share of the steps from which on an update that is out of date is finished all the same. The last image of fast strokes is
# there as soon whatever becomes of those before; where all were stopped, it would be the only one (benchmarks/paint.py).
NEARLY_DONE = 0.5

Send = Callable[[Message], None]


@dataclass(frozen=True)
class _Draws:
    """Moves among the draws of the same layout, each back (-1) or forth (1)."""

    number: int  # of the last that asked
    moves: list[int]


@dataclass
class _Running:
    """The update that is being made."""

    number: int
    start: float = field(default_factory=time.perf_counter)
    share: float = 0.0  # of the steps
    stopped: bool = False
    abandoned: bool = False  # by the user
    previewed: float = 0.0


class Worker:
    """Makes images on a thread of its own: requests that wait are joined to the newest, which asks for all that they did.

    A newer request stops an older one that runs, unless that is half done, or the one before it was stopped already: so
    the image follows however fast the strokes are. What was stopped is not lost, as the next update paints all that has
    changed since the last image.

    send: is given what the page is told, on any thread.
    """

    def __init__(self, models: Models, send: Send):
        self.models, self._send = models, send
        self._options = models.options  # what the page does not set; an opened session brings its own
        self._session: EditSession | None = None
        self._made_with: tuple[str, GenerateOptions] | None = None
        self._waiting: list[Callable[[], None] | Asked | _Draws] = []
        self._running: _Running | None = None
        self._stopped_one, self._closed = False, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="scdm paint", daemon=True)
        self._thread.start()

    # What is asked of it, on any thread

    def update(self, asked: Asked) -> None:
        """Has the image follow the document."""
        with self._changed:
            asked = self._joined(asked)
            self._waiting = [job for job in self._waiting if not (isinstance(job, Asked) and asked.replaces(job))]
            self._waiting.append(asked)
            running = self._running
            if running and running.share < NEARLY_DONE and not self._stopped_one and not asked.update.known:
                self._stop(running)
            self._changed.notify()

    def _joined(self, asked: Asked) -> Asked:
        """With what the last ones that wait ask for; they wait no longer."""
        while self._waiting and isinstance(last := self._waiting[-1], Asked) and (both := asked.joined(last)):
            asked = both
            self._waiting.pop()
        return asked

    def cancel(self) -> None:
        """Stops the update that runs, and forgets those that wait."""
        with self._changed:
            dropped = [job for job in self._waiting if isinstance(job, Asked)]
            self._waiting = [job for job in self._waiting if not isinstance(job, Asked)]
            if self._running:
                self._running.abandoned = True
                self._stop(self._running)
        for job in dropped:
            self._send(Message({"kind": "cancelled", "number": job.update.number}))

    def other_draw(self, number: int, by: int) -> None:
        """Back (-1) or forth (1) among the draws of the same layout. Moves that wait are made as one."""
        with self._changed:
            moves: list[int] = []
            if self._waiting and isinstance(last := self._waiting[-1], _Draws):
                moves = last.moves
                self._waiting.pop()
            moves.append(by)
            self._waiting.append(_Draws(number, moves))
            self._changed.notify()

    def describe(self) -> None:
        """Tells a page that has kept nothing what is being painted, if anything is."""
        self._put(lambda: self._send(self._described([])) if self._session else None)

    def save(self, path: Path) -> None:
        """Writes the session. ValueError if there is none yet."""
        if self._session is None:
            raise ValueError("there is no session to save yet: paint first")
        self._session.save(path)

    def open(self, path: Path, preferred: str) -> Future[Message]:
        """The session in a file takes the place of this one: with what the page is to show of it."""
        opened: Future[Message] = Future()

        def job() -> None:
            if not opened.set_running_or_notify_cancel():
                return
            try:
                opened.set_result(self._opened(path, preferred))
            except Exception as error:
                opened.set_exception(error)

        self.cancel()  # what would be forgotten at once
        self._put(job)
        return opened

    def close(self) -> None:
        self.cancel()
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=5)

    def _put(self, job: Callable[[], None]) -> None:
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def _stop(self, running: _Running) -> None:
        running.stopped = self._stopped_one = True
        if self._session is not None:
            self._session.cancel()

    # The thread

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.pop(0)
                self._running = _Running(job.update.number) if isinstance(job, Asked) else None
            if isinstance(job, Asked):
                self._reported(job.update.number, partial(self._update, job))
            elif isinstance(job, _Draws):
                self._reported(job.number, partial(self._other_draw, job))
            else:
                self._reported(0, job)
            with self._changed:
                self._running = None

    def _reported(self, number: int, work: Callable[[], None]) -> None:
        """What ends in an error is said, and the thread goes on."""
        try:
            work()
        except Cancelled:
            self._send(Message({"kind": "cancelled", "number": number}))
        except Exception as error:
            self._send(Message({"kind": "error", "number": number, "words": words_of(error)}))

    def _update(self, asked: Asked) -> None:
        """What the user cancels leaves the session that there was, with its image."""
        before = self._session, self._made_with
        try:
            self._make(asked)
        except Cancelled:
            if self._running and self._running.abandoned and before[0] is not None:
                self._session, self._made_with = before
            raise

    def _make(self, asked: Asked) -> None:
        update, name = asked.update, self.models.known(asked.update.settings.model)
        if not self.models.is_loaded(name):
            self._send(Message({"kind": "loading", "number": update.number, "model": name}))
        model = self.models.called(name)
        labels, remarks = _layout(asked.document, model)
        options = update.settings.applied(self._options, model.config.distilled_steps is not None)
        session = self._session if self._made_with == (name, options) else None
        if session is not None and _size(session.labels) != _size(labels):
            session = None
        if update.known and not (session and session.return_to(labels) and not session.region.any()):
            self._send(Message({"kind": "unknown", "number": update.number}))
            return
        if session is None or update.whole:
            session = _begun(model, labels, options, asked)
        self._session, self._made_with = session, (name, options)
        if not session.return_to(labels):
            session.change(labels)
        noise = _mask(asked.areas, labels)
        if update.again and not noise.any():
            raise ValueError("the selection lies outside of the canvas: select a part of it")
        if noise.any():
            session.again(noise)
        self._stopped_before_the_start()
        remarks.append(model.config.taught.remark(_size(labels)))
        self._follow(update.number, [words for words in remarks if words])

    def _stopped_before_the_start(self) -> None:
        if self._running and self._running.stopped:
            raise Cancelled

    def _follow(self, number: int, remarks: list[str]) -> None:
        """Updates the session and sends its image."""
        assert self._session is not None
        session = self._session
        made = session.update(self._step)
        with self._changed:
            self._stopped_one = False
        levels = to_levels(made.image)[0]
        share = made.region.float().mean().item()
        head = {"kind": "image", "number": number, "seconds": made.seconds, "share": share, "remarks": remarks}
        self._send(Message(head, (encoded(levels, "PNG", compress_level=1),)))

    def _step(self, step: Step, steps: int) -> None:
        running = self._running
        if running is None:
            return
        self._stopped_before_the_start()  # `cancel` came between two updates, and was not noticed
        running.share, now = step.done / steps, time.perf_counter()
        if now - running.previewed < PREVIEW_EVERY and step.done > 1:
            return
        running.previewed = now
        head = {
            "kind": "preview",
            "number": running.number,
            "step": step.done,
            "steps": steps,
            "seconds": now - running.start,
        }
        self._send(Message(head, (_preview(step.x0),)))

    def _other_draw(self, draws: _Draws) -> None:
        session = self._session
        if session is None:
            raise ValueError("there is no image yet: paint first")
        if not sum(_moved(session, by) for by in draws.moves):
            raise ValueError(f"there is no {'earlier' if draws.moves[-1] < 0 else 'later'} draw of this layout")
        self._follow(draws.number, [])

    def _opened(self, path: Path, preferred: str) -> Message:
        saved = history.read(path, MOST_SIDE)
        name = self.models.of_classes(saved.classes, self.models.known(preferred))
        model = self.models.called(name)
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            session = EditSession.open(path, model)
        self._session, self._options, self._made_with = session, session.options, (name, session.options)
        return self._described([sentence(str(each.message).replace(str(path), "the session")) for each in remarks])

    def _described(self, remarks: list[str]) -> Message:
        """The session as a page begins with it: its settings and its document."""
        assert self._session is not None and self._made_with is not None
        head = {"kind": "session", "settings": asdict(Settings.of(*self._made_with)), "remarks": remarks}
        document = io.BytesIO()
        paintings.write(document, self._session.model.palette, self._session.labels.ids[0].numpy())
        return Message(head, (document.getvalue(),))


def words_of(error: Exception) -> str:
    """What the page says of an error: a sentence, and for one that nobody foresaw its kind too."""
    if isinstance(error, ValueError):
        return sentence(str(error))
    if is_out_of_memory(error):
        return "there is not enough memory for this: paint on a smaller canvas, or choose a smaller model"
    logging.getLogger(__name__).error("an update failed", exc_info=error)
    return f"this failed unexpectedly ({type(error).__name__}: {brief(str(error))}); the painting is kept"


def _size(labels: LabelMap) -> tuple[int, int]:
    return labels.height, labels.width


def _layout(document: bytes, model: Model) -> tuple[LabelMap, list[str]]:
    return paintings.onto(paintings.read(document, MOST_SIDE), model.palette)


def _begun(model: Model, labels: LabelMap, options: GenerateOptions, asked: Asked) -> EditSession:
    """A new session. What the page has of an earlier server's goes on, if it fits."""
    if asked.image and not asked.update.whole:
        painted, _ = _layout(asked.painted, model)
        image = _levels(asked.image)
        if _size(painted) == _size(labels) == image.shape[:2]:
            return EditSession(model, painted, options, image=from_levels(image[None]))
    return EditSession(model, labels, options)


def _levels(content: bytes) -> np.ndarray:
    """uint8 (H, W, 3) of an image that the page has kept."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if max(picture.size) <= MOST_SIDE:
                return np.array(picture.convert("RGB"))
    except Exception as error:  # damaged files make decoders raise almost anything
        raise ValueError("the image that the page has kept is damaged: reload the page") from error
    raise ValueError(f"the image that the page has kept has more than {MOST_SIDE} pixels a side")


def _moved(session: EditSession, by: int) -> bool:
    """Back or forth to another draw of the same layout, if there is one."""
    move, back = (session.undo, session.redo) if by < 0 else (session.redo, session.undo)
    before, moved = session.labels, move()
    if moved and not torch.equal(session.labels.ids, before.ids):
        back()
        return False
    return moved


def _mask(areas: Iterable[Area | None], labels: LabelMap) -> Tensor:
    """(H, W) bool: what they cover of the canvas."""
    mask = torch.zeros(_size(labels), dtype=torch.bool)
    for x, y, width, height in (area or (0, 0, labels.width, labels.height) for area in areas):
        mask[y : y + height, x : x + width] = True
    return mask


def _preview(x0: Tensor) -> bytes:
    picture = Image.fromarray(to_levels(x0)[0])
    picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.BILINEAR)
    return encoded(np.asarray(picture), "JPEG", quality=80)
