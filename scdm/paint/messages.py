"""What page and server say to each other over their connection.

A message is blocks, each after its length (32 bits, the highest byte first): a head in JSON, then the pictures that it
speaks of.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple

from ..files import config as configuration
from ..files.options import Option, check_fields
from ..files.parsing import parsed
from ..files.untrusted import shown
from ..pipeline import GenerateOptions
from .options import MOST_SIDE

LENGTH = struct.Struct(">I")
MOST_BYTES = 2**27  # of a message: a document, and an image with its document
MOST_HEAD = 2**16
MOST_BLOCKS = 4
MOST_NUMBER = 2**53  # the page counts in doubles

Area = tuple[int, int, int, int]


class Message(NamedTuple):
    """A head, and pictures as files hold them."""

    head: dict[str, Any]
    pictures: tuple[bytes, ...] = ()


def packed(message: Message) -> bytes:
    blocks = (json.dumps(message.head, ensure_ascii=False).encode("utf-8", "replace"), *message.pictures)
    return b"".join(part for block in blocks for part in (LENGTH.pack(len(block)), block))


def unpacked(content: bytes) -> Message:
    """ValueError for what is no message."""
    blocks: list[bytes] = []
    rest = memoryview(content)
    while rest and len(blocks) < MOST_BLOCKS and len(rest) >= LENGTH.size:
        (length,) = LENGTH.unpack(rest[: LENGTH.size])
        if length > len(rest) - LENGTH.size:
            break
        blocks.append(bytes(rest[LENGTH.size : LENGTH.size + length]))
        rest = rest[LENGTH.size + length :]
    if rest or not blocks or len(blocks[0]) > MOST_HEAD:
        raise ValueError("a message of the page cannot be read: reload the page")
    head = parsed(blocks[0], "JSON")
    if not isinstance(head, dict):
        raise ValueError(f"a message of the page begins with {shown(head)}: reload the page")
    return Message(head, tuple(blocks[1:]))


@dataclass(frozen=True)
class Settings:
    """How the page asks for images. The seed is a text: the page's numbers are doubles."""

    model: Annotated[str, Option("by its name in the list")]
    seed: Annotated[str, Option("of the noise", form="7")] = "0"
    guidance: float | None = None
    roughness: float | Literal["auto", "unknown"] = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        if not (self.seed.isascii() and self.seed.isdigit() and len(self.seed) <= 20):
            raise ValueError(f"a seed is a whole number from 0 to 2^64 - 1, not {shown(self.seed)}")

    def applied(self, options: GenerateOptions, distilled: bool = False) -> GenerateOptions:
        """The options with what the page sets. ValueError for what they may not be.

        distilled: whether the model has its steps built in; those that were asked for are for the others then.
        """
        steps = None if distilled else options.steps
        return replace(options, seed=int(self.seed), guidance=self.guidance, roughness=self.roughness, steps=steps)

    @classmethod
    def of(cls, model: str, options: GenerateOptions) -> Settings:
        return cls(model, str(options.seed), options.guidance, options.roughness)


@dataclass(frozen=True)
class Update:
    """The layout as it is painted now, whose image is wanted.

    number: grows from one to the next; what the server answers has it, too.
    again: with new noise in the area (x, y, width, height), or everywhere.
    whole: all of the image, and not only what has changed.
    known: only if the image is there already, as after an undo.
    """

    number: Annotated[int, Option("of the update", ge=0, le=MOST_NUMBER)]
    settings: Settings
    again: bool = False
    area: Annotated[Area | None, Option("x, y, width and height", ge=0, le=MOST_SIDE)] = None
    whole: bool = False
    known: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Asked:
    """An update with its pictures, as files hold them.

    painted, image: what the page has of before: a document, and the image that was made for it.
    also: areas for new noise that earlier updates asked for, which this one has taken in.
    """

    update: Update
    document: bytes
    painted: bytes = b""
    image: bytes = b""
    also: tuple[Area | None, ...] = field(default=(), kw_only=True)

    @property
    def areas(self) -> tuple[Area | None, ...]:
        """Where new noise is wanted, None being everywhere."""
        own = (self.update.area,) if self.update.again else ()
        return tuple(dict.fromkeys((*self.also, *own)))

    def joined(self, earlier: Asked) -> Asked | None:
        """What both ask for as one; None where only the earlier one asks for work. Settings and a whole image begin anew, so
        that new noise from before would be gone with them."""
        new, old = self.update, earlier.update
        if new.known and not old.known:
            return None
        same = new.settings == old.settings
        update = replace(new, whole=new.whole or (old.whole and same))
        also = earlier.areas if same and not new.whole else ()
        kept = self if self.image else earlier
        return Asked(update, self.document, kept.painted, kept.image, also=also)

    def replaces(self, earlier: Asked) -> bool:
        """Whether it holds all that an earlier one asks for: new noise is asked for once, and work not for what is known."""
        if earlier.update.again or earlier.update.whole:
            return False
        return earlier.update.known or not self.update.known


def asked(message: Message) -> Asked:
    """ValueError for what is no update."""
    head = {name: value for name, value in message.head.items() if name != "kind"}
    if len(message.pictures) not in (1, 3):
        raise ValueError("an update comes with its document, or with those of before too: reload the page")
    return Asked(configuration.from_dict(Update, head), *message.pictures)
