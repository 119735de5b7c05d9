"""Where on the map anything lies at all: a raster that tells most positions, in a hundredth of a microsecond, that no tree need be asked.

It counts taken cells from the south-west corner on, so that four look-ups say how many are taken in any rectangle of cells.
What it answers is only ever too careful: a cell is taken where a box touches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from geofence.datum import Degrees
from tracks.spans import Index, Mask

SIDE_MAX: Final = 1024
SIDE_PER_ROOT: Final = 16
"""Cells on each side, whatever the boxes span: 16 times the root of their number, at most 1024 (4 MB, 20 ms to make)."""


@dataclass(frozen=True, slots=True)
class Raster:
    """Cells that boxes touch."""

    corner: NDArray[np.float64]
    """West and south end."""
    scale: NDArray[np.float64]
    """Cells in a degree, east and north."""
    side: int
    """Cells on each side."""
    taken: NDArray[np.int32]
    """Taken cells south and west of each corner of a cell, flat; a free rim around the boxes stands for the rest of the world."""

    @classmethod
    def of(cls, boxes: NDArray[np.float64]) -> Self:
        """The raster of boxes: west, south, east, north, one row for each."""
        side = int(min(SIDE_PER_ROOT * np.ceil(np.sqrt(len(boxes) + 1)), SIDE_MAX))
        if len(boxes) == 0:
            return cls(np.zeros(2), np.ones(2), side, np.zeros((side + 1) ** 2, np.int32))
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        scale = (side - 3) / np.maximum((high - low) * 1.001, 1e-6)
        corner = low - 1.5 / scale
        made = cls(corner, scale, side, np.empty(0, np.int32))
        west, south, east, north = (made._cell(boxes[:, end], end % 2) for end in range(4))
        edges = np.zeros((side + 1, side + 1), np.int32)
        for x, y, change in ((west, south, 1), (east + 1, south, -1), (west, north + 1, -1), (east + 1, north + 1, 1)):
            np.add.at(edges, (y, x), change)
        taken = np.zeros((side + 1, side + 1), np.int32)
        taken[1:, 1:] = (edges.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0).cumsum(axis=0).cumsum(axis=1)
        return cls(corner, scale, side, taken.ravel())

    def touched(self, west: Degrees, south: Degrees, east: Degrees, north: Degrees) -> Mask:
        """Which rectangles may touch a box."""
        row = self.side + 1
        left, right = self._cell(west, 0), self._cell(east, 0) + 1
        below, above = self._cell(south, 1) * row, (self._cell(north, 1) + 1) * row
        taken = self.taken
        found: Mask = taken[above + right] - taken[above + left] != taken[below + right] - taken[below + left]
        return found

    def _cell(self, degrees: Degrees, axis: int) -> Index:
        cell = (degrees - self.corner[axis]) * self.scale[axis]
        within: Index = np.fmin(np.fmax(cell, 0), self.side - 1).astype(np.int64)  # what is no number lies in the rim
        return within
