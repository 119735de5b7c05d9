"""Boxes by where on the map they lie: which of a hundred thousand meet a place or a way is found in a tenth of a microsecond.

The map is cut into cells, coarser ones for larger boxes, and each box is listed in the cells that it touches. The map is folded: cells
that lie `side` apart share a list, so that the lists are one array without ends, however far the boxes lie apart.
Who asks reads the lists of the cells that he touches himself, and compares boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.datum import Degrees
from tracks.spans import Index
from tracks.track import distinct, expand

CELL_DEG: Final = 0.005
"""The finest cells, 500 m: the way between two fixes touches one or two of them."""
COARSER: Final = 8
"""So many times as wide are the cells of the next grid; and of its own grid a box touches no more than nine by nine."""
SIDE_MIN: Final = 256

Boxes = NDArray[np.float64]
"""West, south, east, north, one row for each."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of one size, and the boxes in them."""

    cell_deg: float
    side: int
    """Cells on each side of the folded map: a power of two, and no fewer cells than entries."""
    first: NDArray[np.int32]
    """Where the list of each cell begins, and one more."""
    row: NDArray[np.int32]
    """The lists, end to end."""

    @classmethod
    def of(cls, cell_deg: float, box: Boxes, row: Index) -> Self:
        """The grid of the boxes at `row`."""
        which, x, y = _touched(box[row], cell_deg)
        side = max(SIDE_MIN, 1 << (len(which).bit_length() + 1) // 2)
        cell = _folded(x, y, side)
        first = np.append(0, np.cumsum(np.bincount(cell, minlength=side * side)))
        return cls(cell_deg, side, first.astype(np.int32), row[which[np.argsort(cell, kind="stable")]].astype(np.int32))

    def listed(self, box: Boxes) -> tuple[Index, Index]:
        """Pairs of box asked about and box (row) that share a list, some of them several times."""
        asked, x, y = _touched(box, self.cell_deg)
        cell = _folded(x, y, self.side)
        first = self.first[cell]
        which, nth = expand(self.first[cell + 1] - first)
        return asked[which], self.row[first[which] + nth]


def _touched(box: Boxes, cell_deg: float) -> tuple[Index, Index, Index]:
    """Every cell that a box touches: the place of the box, and how many cells it lies east and north of where degrees are counted from."""
    west, south, east, north = np.floor(box * (1 / cell_deg)).astype(np.int64).T
    wide = east - west + 1
    which, nth = expand(wide * (north - south + 1))
    up, along = np.divmod(nth, wide[which])
    return which, west[which] + along, south[which] + up


def _folded(x: Index, y: Index, side: int) -> Index:
    return (y & (side - 1)) * side + (x & (side - 1))


@dataclass(frozen=True, slots=True)
class Cells:
    """Boxes, each in the grid of its size."""

    box: Boxes
    grids: Sequence[Grid]

    @classmethod
    def of(cls, box: Boxes) -> Self:
        """The cells of boxes."""
        wide = np.max(box[:, 2:] - box[:, :2], axis=1, initial=CELL_DEG * COARSER)
        size = np.ceil(np.log(wide / CELL_DEG) / np.log(COARSER) - 1e-9)
        return cls(box, [Grid.of(CELL_DEG * COARSER ** (each - 1), box, np.flatnonzero(size == each)) for each in np.unique(size)])

    def meeting(self, west: Degrees, south: Degrees, east: Degrees, north: Degrees) -> tuple[Index, Index]:
        """Pairs of box asked about, ascending, and box (row) that it meets, ascending, each once; an edge is part of a box.

        What is asked about is to be finite, and no wider than a vehicle drives between two fixes.
        """
        asked, several = np.stack((west, south, east, north), axis=1), max(len(self.box), 1)
        found = [np.empty(0, np.int64)]
        for grid in self.grids:
            place, row = grid.listed(asked)
            one, other = asked.take(place, axis=0), self.box.take(row, axis=0)
            meet = (one[:, 0] <= other[:, 2]) & (one[:, 1] <= other[:, 3]) & (one[:, 2] >= other[:, 0]) & (one[:, 3] >= other[:, 1])
            found.append(place[meet] * several + row[meet])
        pairs = distinct(np.concatenate(found))
        return pairs // several, pairs % several
