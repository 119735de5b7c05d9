"""Boxes over boxes: a tree over the segments of many polylines, a few columns for each level.

Who comes down it keeps pairs of question and box, drops the pairs that miss, and puts the children of the others in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from geofence.datum import Degrees
from tracks.spans import Index, Mask
from tracks.track import expand

FAN: Final = 4
"""Boxes in a box, and segments in the smallest: a fix on a line of 500 tests about 17 boxes and 7 segments (with 8: 18 and 11)."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the tree: boxes, and the children of each in the level below; those of the lowest are segments."""

    box: NDArray[np.float64]
    """West, south, east, north, one row per box; wide enough for the width and the margin."""
    first: Index
    children: Index


def levels(lon: Sequence[Degrees], lat: Sequence[Degrees], reach: Sequence[tuple[float, float]]) -> list[Level]:
    """The levels over corridors of these vertices; `reach` is what to add to their boxes, in degrees east and north."""
    boxes, count = [], np.array([len(each) - 1 for each in lon], np.int64)
    for x, y, (wide, high) in zip(lon, lat, reach, strict=True):
        ends = np.stack((np.minimum(x[:-1], x[1:]), np.minimum(y[:-1], y[1:]), np.maximum(x[:-1], x[1:]), np.maximum(y[:-1], y[1:])))
        boxes.append(ends + np.array([[-wide], [-high], [wide], [high]]))
    box = np.concatenate([np.empty((4, 0)), *boxes], axis=1)
    starts = np.cumsum(count + 1) - (count + 1)
    made: list[Level] = []
    while not made or (count > 1).any():
        corridor, nth = expand(-(-count // FAN))
        first = (np.cumsum(count) - count)[corridor] + nth * FAN
        children = np.minimum(count[corridor] - nth * FAN, FAN)
        if len(first):
            box = np.concatenate((np.minimum.reduceat(box[:2], first, axis=1), np.maximum.reduceat(box[2:], first, axis=1)))
        made.insert(0, Level(box.T.copy(), first if made else starts[corridor] + nth * FAN, children))
        count = -(-count // FAN)
    return made


def descend(levels: Sequence[Level], row: Index, hits: Callable[[Index, NDArray[np.float64]], Mask]) -> tuple[Index, Index]:
    """Pairs of question and segment: `row` is the polyline each question is about, `hits` says of questions which boxes to look into."""
    pair, node = np.arange(len(row)), row
    for level in levels:
        if len(pair) == 0:
            break
        hit = hits(pair, level.box.take(node, axis=0).T)
        inside = node[hit]
        which, nth = expand(level.children[inside])
        pair, node = pair[hit][which], level.first[inside][which] + nth
    return pair, node
