"""KnownLayouts: which shapes do not fit to what was seen of their tables, without asking about each every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django_electric.shapes.layouts import TableLayout, outdated
from django_electric.shapes.routed import RoutedShape


class KnownLayouts:
    """The layouts that were seen last. What comes between two looks is found by the next one."""

    def __init__(self) -> None:
        self._seen: dict[int, TableLayout] = {}
        self._unchecked: set[str] = set()
        """Shapes that became complete after the last look."""

    def filled(self, handle: str) -> None:
        """A shape has its first rows."""
        self._unchecked.add(handle)

    def forget_table(self, oid: int) -> None:
        """No shape is on it any more."""
        self._seen.pop(oid, None)

    def see(
        self, layouts: Iterable[TableLayout], shapes_of: Callable[[int], Iterable[RoutedShape]]
    ) -> Iterator[tuple[str, str]]:
        """A look into the catalogue: handles of the shapes that cannot go on, and why.

        *shapes_of*: the complete shapes on a table.
        """
        unchecked, self._unchecked = self._unchecked, set()
        for layout in layouts:
            is_new = self._seen.get(layout.oid) != layout
            if not is_new and not unchecked:
                continue
            self._seen[layout.oid] = layout
            shapes = [s for s in shapes_of(layout.oid) if is_new or s.log_handle in unchecked]
            yield from ((shape.log_handle, reason) for shape, reason in outdated(shapes, layout))
