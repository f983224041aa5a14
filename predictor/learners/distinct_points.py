"""Points among which the nearest are looked for, each different one kept once.

Jobs that are submitted together look the same: of 6,000 remembered jobs of a real log fewer than 2,000 differ. What a
search costs is the memory that is read for it, so the distance to each different point is worked out once.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]


class DistinctPoints:
    """n points, oldest first.

    >>> known = DistinctPoints.of(np.array([[0, 0], [3, 4], [0, 0]], dtype=np.float32))
    >>> known.distances(np.array([[0, 0], [3, 4]], dtype=np.float32)).tolist()
    [[0.0, 25.0, 0.0], [0.0, -25.0, 0.0]]
    >>> known.with_newer(np.array([[1, 0]], dtype=np.float32), newest=2).points.tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, product: Points, which: NDArray[np.intp]) -> None:
        """product: `_product` of the different points; which: (n,) the place of each point among them."""
        self._product, self._which = product, which

    @classmethod
    def of(cls, points: Points) -> Self:
        """points: (n, columns)"""
        if not points.shape[1]:
            # Nothing that varies: all are one.
            return cls(_product(points[:1]), np.zeros(len(points), dtype=np.intp))
        row = np.dtype((np.void, points.shape[1] * points.itemsize))
        as_bytes = np.ascontiguousarray(points).view(row).ravel()
        _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
        return cls(_product(points[first]), which)

    def with_newer(self, points: Points, newest: int) -> "DistinctPoints":
        """With more points behind; only so many, the newest, are kept."""
        known = self._product.shape[1]
        which = np.concatenate([self._which, known + np.arange(len(points))])[-newest:]
        together = DistinctPoints(np.hstack([self._product, _product(points)]), which)
        # New points are not compared with the known ones, and forgotten ones stay until they are too many.
        return together if known + len(points) <= newest else DistinctPoints.of(together.points)

    @property
    def points(self) -> Points:
        """(n, columns)"""
        result: Points = self._product[:-1].T[self._which] / np.float32(-2)
        return result

    def distances(self, asked: Points) -> Points:
        """(m, n) the squared distance of each of m points (m, columns) from all, but for its own square."""
        asked = np.concatenate([asked, np.ones((len(asked), 1), dtype=np.float32)], axis=1)
        result: Points = (asked @ self._product).take(self._which, axis=1)
        return result


def _product(points: Points) -> Points:
    """(columns + 1, n) a column a point: what another point, a 1 behind it, is multiplied with for their distance."""
    return np.vstack([-2 * points.T, (points**2).sum(axis=1)])
