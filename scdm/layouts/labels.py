"""Layouts as integer class maps, with MASK as one more id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

VOTES = 2**22  # counted at once when a layout shrinks


@dataclass(frozen=True)
class LabelMap:
    """A batch of layouts: one class id per pixel, or MASK where nothing is known.

    MASK (the id ``num_classes``) is the absorbing state of label diffusion, the null condition of guidance
    (`blank`), an unpainted or transparent pixel, and a colour that no class has. It is one idea, hence one id.

    ids: (B, H, W) int64 in [0, num_classes].
    edges: (B, 1, H, W) bool instance borders for the models that read them, or None. Never diffused.
    roughness: (B,) float32 in [0, 1], how far outlines may be off (`roughening`), or nan where that is unknown, for the
        models that read it; None if it is unknown of all.
    """

    ids: Tensor
    num_classes: int
    edges: Tensor | None = None
    roughness: Tensor | None = None

    def __post_init__(self) -> None:
        if self.ids.ndim != 3 or self.ids.dtype != torch.int64 or not self.ids.numel():
            raise ValueError(f"layout ids must be int64 (B, H, W) and not empty, not {_words(*_form(self.ids))}")
        if self.num_classes < 1:
            raise ValueError(f"a layout needs at least one class, not {self.num_classes}")
        wanted = torch.bool, (self.batch, 1, self.height, self.width), self.ids.device
        found = wanted if self.edges is None else _form(self.edges)
        if found != wanted:
            raise ValueError(f"instance borders must be {_words(*wanted)} like the layout, not {_words(*found)}")
        measure = torch.float32, (self.batch,), self.ids.device
        found = measure if self.roughness is None else _form(self.roughness)
        if found != measure:
            raise ValueError(f"roughness must be {_words(*measure)} like the layout, not {_words(*found)}")

    @classmethod
    def checked(cls, ids: Tensor, num_classes: int, edges: Tensor | None = None) -> LabelMap:
        """An untrusted layout: `ids` (H, W) or (B, H, W) of any integer type; ValueError names ids out of range."""
        if ids.is_floating_point():
            raise ValueError(f"layout ids are integers, not {ids.dtype}")
        ids = ids.to(torch.int64)
        wrong = ids[(ids < 0) | (ids > num_classes)]
        if wrong.numel():
            known = f"{num_classes} classes (0..{num_classes - 1}, and {num_classes} for unpainted)"
            raise ValueError(f"the layout holds id {wrong[0]}, but there are {known}: choose the palette that made it")
        return cls(ids[None] if ids.ndim == 2 else ids, num_classes, edges)

    @property
    def mask_id(self) -> int:
        return self.num_classes

    @property
    def batch(self) -> int:
        return self.ids.shape[0]

    @property
    def height(self) -> int:
        return self.ids.shape[1]

    @property
    def width(self) -> int:
        return self.ids.shape[2]

    @property
    def unpainted(self) -> Tensor:
        """(B, H, W) bool: where nothing is known."""
        return self.ids == self.mask_id

    def shares(self) -> list[tuple[int, float]]:
        """(id, share of all pixels) of each id that occurs, MASK among them: the largest first, of equals the lowest id."""
        counts = enumerate(self.ids.flatten().bincount().tolist())
        return sorted(((i, count / self.ids.numel()) for i, count in counts if count), key=lambda found: -found[1])

    def __getitem__(self, samples: slice) -> LabelMap:
        edges = None if self.edges is None else self.edges[samples]
        roughness = None if self.roughness is None else self.roughness[samples]
        return replace(self, ids=self.ids[samples], edges=edges, roughness=roughness)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> LabelMap:
        """On another device; `non_blocking` as for tensors."""
        ids, edges, roughness = (
            part if part is None else part.to(device, non_blocking=non_blocking)
            for part in (self.ids, self.edges, self.roughness)
        )
        assert ids is not None
        return replace(self, ids=ids, edges=edges, roughness=roughness)

    def expanded(self, batch: int) -> LabelMap:
        """The one layout of this batch, `batch` times."""
        if self.batch == batch:
            return self
        if self.batch != 1:
            raise ValueError(f"{self.batch} layouts cannot serve {batch} images: give one, or as many")
        edges = None if self.edges is None else self.edges.expand(batch, -1, -1, -1)
        roughness = None if self.roughness is None else self.roughness.expand(batch)
        return replace(self, ids=self.ids.expand(batch, -1, -1), edges=edges, roughness=roughness)

    def masked(self, where: Tensor) -> LabelMap:
        """MASK where the bool tensor `where` (broadcastable to (B, H, W)) is true; borders stay."""
        return replace(self, ids=self.ids.masked_fill(where, self.mask_id))

    def blank(self, samples: Tensor | None = None) -> LabelMap:
        """The null condition: all MASK, without borders or a roughness, for every sample or for those chosen by a (B,) bool
        tensor."""
        if samples is None:
            samples = torch.ones(self.batch, dtype=torch.bool, device=self.ids.device)
        roughness = None if self.roughness is None else self.roughness.masked_fill(samples, torch.nan)
        samples = samples[:, None, None]
        edges = None if self.edges is None else self.edges & ~samples[:, None]
        return replace(self.masked(samples), edges=edges, roughness=roughness)

    def resized(self, height: int, width: int) -> LabelMap:
        """Nearest neighbour: target row i reads source row floor(i * H / height), likewise for columns."""
        if (height, width) == (self.height, self.width):
            return self
        rows = torch.arange(height, device=self.ids.device) * self.height // height
        columns = torch.arange(width, device=self.ids.device) * self.width // width
        return self.picked(rows, columns)

    def reduced(self, height: int, width: int) -> LabelMap:
        """For people's layouts: each target pixel has the class that covers most of the part of the source that it shows.

        MASK only wins with more than half: what is left open along the soft edge of a stroke does not make holes in it. Ties
        go to the class that `resized` would take, else to the lowest id. A border is where any of the part has one. A side
        that does not shrink is resized. Networks and data sets see layouts by `resized`, as published.
        """
        if height >= self.height and width >= self.width:
            return self.resized(height, width)
        if height > self.height or width > self.width:  # the side that shrinks first
            small = self.reduced(min(height, self.height), min(width, self.width))
            return small.resized(height, width)
        rows, columns = _Cells(self.height, height), _Cells(self.width, width)
        ids = torch.stack([_most_of(own, self.num_classes, rows, columns) for own in self.ids.cpu()])
        edges = None
        if self.edges is not None:
            edges = F.adaptive_max_pool2d(self.edges.float(), (height, width)) > 0
        return replace(self, ids=ids.to(self.ids.device), edges=edges)

    def picked(self, rows: Tensor, columns: Tensor) -> LabelMap:
        """The layout made of these rows and columns (int64 indices) of this one."""
        edges = None if self.edges is None else self.edges[..., rows, :][..., columns]
        return replace(self, ids=self.ids[:, rows][..., columns], edges=edges)

    def one_hot(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, num_classes [+ 1 border channel], H, W); a MASK pixel has zeros in every class channel."""
        classes = torch.arange(self.num_classes, device=self.ids.device)[:, None, None]
        y = (self.ids[:, None] == classes).to(dtype)
        return y if self.edges is None else torch.cat([y, self.edges.to(dtype)], dim=1)


def common_batch(**counts: int) -> int:
    """How many images so many of each kind (layouts=2, masks=1) make, of which one serves all. ValueError otherwise."""
    most = max(counts.values())
    if any(count not in (1, most) for count in counts.values()):
        given = " and ".join(f"{count} {kind}" for kind, count in counts.items())
        raise ValueError(f"{given} do not go together: give one, or as many of each")
    return most


class _Cells:
    """`count` equal parts of a line of `length` >= `count` pixels: each pixel lies in one of them, or in two.

    first, second: (length,) the parts of each pixel; weights: how much of it lies in either, in units of 1 / count.
    nearest: (count,) the pixel that `LabelMap.resized` takes.
    """

    def __init__(self, length: int, count: int):
        left = torch.arange(length) * count  # of each pixel, where a part is `length` units long
        right = left + count
        self.count = count
        self.first, self.second = left // length, (right - 1) // length
        inside = torch.minimum(right, (self.first + 1) * length) - left
        self.weights = inside, count - inside
        self.nearest = torch.arange(count) * length // count


def _most_of(ids: Tensor, mask_id: int, rows: _Cells, columns: _Cells) -> Tensor:
    """(H, W) ids -> (rows.count, columns.count), see `LabelMap.reduced`."""
    present = torch.nonzero(ids.flatten().bincount(minlength=mask_id + 1))[:, 0]
    places = torch.zeros(mask_id + 1, dtype=torch.int64).scatter_(0, present, torch.arange(len(present)))[ids]
    made = torch.empty(rows.count, columns.count, dtype=torch.int64)
    step = max(1, VOTES // (columns.count * len(present)))  # rows of the result at once
    for top in range(0, rows.count, step):
        count = min(step, rows.count - top)
        votes = torch.zeros(count * columns.count * len(present), dtype=torch.int64)
        for row_cells, row_weights in zip((rows.first, rows.second), rows.weights, strict=True):
            at = torch.nonzero((row_cells >= top) & (row_cells < top + count) & (row_weights > 0))[:, 0]
            own = places[at]
            for cells, weights in zip((columns.first, columns.second), columns.weights, strict=True):
                if not weights.any():  # no column lies in two parts
                    continue
                where = ((row_cells[at, None] - top) * columns.count + cells) * len(present) + own
                votes.scatter_add_(0, where.flatten(), (row_weights[at, None] * weights).expand(own.shape).flatten())
        votes = votes.view(count, columns.count, len(present))
        if int(present[-1]) == mask_id:
            painted = votes[..., :-1].sum(dim=-1)
            votes[..., -1] *= votes[..., -1] > painted
        nearest = places[rows.nearest[top : top + count]][:, columns.nearest]
        votes = 2 * votes
        kept = votes.gather(-1, nearest[..., None]) > 0  # MASK without a majority has lost
        votes.scatter_add_(-1, nearest[..., None], kept.to(votes.dtype))
        made[top : top + count] = present[votes.argmax(dim=-1)]
    return made


def require_same_classes(
    holder: str, found: int | Sequence[str], reader: str, wanted: int | Sequence[str], advice: str = ""
) -> None:
    """ValueError unless holder and reader have the same classes: as many, or of the same names where both give names."""
    numbers = [classes if isinstance(classes, int) else len(classes) for classes in (found, wanted)]
    if numbers[0] == numbers[1] and (isinstance(found, int) or isinstance(wanted, int) or [*found] == [*wanted]):
        return
    others = f"{numbers[1]}" if numbers[0] != numbers[1] else "others of the same number"
    advice = advice or "choose the palette that belongs to the model"
    raise ValueError(f"{holder} has {numbers[0]} classes, {reader} expects {others}: {advice}")


def instance_borders(instances: Tensor) -> Tensor:
    """(B, H, W) instance ids -> (B, 1, H, W) bool, true where a 4-neighbour differs (both sides of a border)."""
    borders = torch.zeros_like(instances, dtype=torch.bool)
    across = instances[:, :, 1:] != instances[:, :, :-1]
    down = instances[:, 1:] != instances[:, :-1]
    borders[:, :, 1:] |= across
    borders[:, :, :-1] |= across
    borders[:, 1:] |= down
    borders[:, :-1] |= down
    return borders[:, None]


def _form(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...], torch.device]:
    return tensor.dtype, tuple(tensor.shape), tensor.device


def _words(dtype: torch.dtype, shape: tuple[int, ...], device: torch.device) -> str:
    return f"{dtype} {shape} on {device}".removeprefix("torch.")
