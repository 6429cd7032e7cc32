"""The slots of contexts, with runs and bit histories: docs/predictor.md, section 6."""

from __future__ import annotations

from types import SimpleNamespace

from .cells import COUNTS, adapt, fold, learn_node, stretch

Cells = tuple[list[int], list[int]]  # of bit histories and of runs, -1 for none


class Slots:
    """A table of slots of 16 cells, and what bit histories and runs of each context have come to mean."""

    def __init__(self, m: SimpleNamespace, count: int) -> None:
        self.m = m
        self.cells: dict[int, int] = {}  # those that are not 0, by 16 · slot + node
        fresh = [((2 * ones + 1) << 22) // (2 * (zeros + ones) + 2) << 10 for zeros, ones in COUNTS]
        self.histories = (fresh + [0] * (256 - len(fresh))) * count
        self.runs = [3 << 30] * (256 * count)

    def grow(self, position: int) -> None:
        """Double the table if the segment at `position` will fill it."""
        m = self.m
        while (slots := m.slot_mask + 1) < m.slots and slots < 128 * position:
            end = 16 * min(slots, m.slots - slots)
            self.cells.update({at + 16 * slots: v for at, v in self.cells.items() if at < end})
            m.slot_mask = 2 * slots - 1

    def find(self, h: int) -> int:
        """Place of the slot of a hash: one of three neighbours, the least used is taken over if need be."""
        cells, check, index = self.cells, h >> 48, h & self.m.slot_mask
        if index >= self.m.slots:
            index &= self.m.slot_mask >> 1
        least, best = 64, 0
        for way in range(3):
            a = (index ^ way) << 4
            if cells.get(a, 0) >> 16 == check:
                return a
            count = cells.get(a + 1, 0) >> 18 & 63
            if count < least:
                least, best = count, a
        cells[best] = check << 16
        for j in range(1, 16):
            cells.pop(best + j, None)
        return best

    def find_all(self, hashes: list[int], half: int, run_places: list[int]) -> tuple[list[int], int]:
        """The place of every context's slot for this half byte; how many of them have seen something."""
        cells, places = self.cells, []
        keys = [fold(h, half) for h in hashes]
        for k, key in enumerate(keys):
            if half == 0:
                a = self.find(key)
                run_places.append(a)
            elif (run := cells.get(run_places[k], 0)) & 255 == 0:
                a = (self.m.slots + k) << 4  # the context is new: nothing is remembered of this half
                for j in range(1, 16):
                    cells.pop(a + j, None)
            else:
                if cells.get(run_places[k] + 1, 0) >> 18 & 63 == 2:  # seen once: now build what was left out
                    b, at = self.find(fold(hashes[k], 16 + (run >> 12 & 15))), 1
                    for j in range(4):
                        bit = run >> (11 - j) & 1
                        cells[b + at] = learn_node(cells.get(b + at, 0), bit, 63)
                        at = 2 * at + bit
                a = self.find(key)
            places.append(a)
        return places, min(31, sum(cells.get(a + 1, 0) != 0 for a in places))

    def gather(self, places: list[int], run_places: list[int], node: int, c0: int, bit: int) -> tuple[list[int], Cells]:
        """Four inputs for each context, and the cells they came from."""
        x: list[int] = []
        histories, runs = [], []  # cells
        for k, (place, run_place) in enumerate(zip(places, run_places)):
            v = self.cells.get(place + node, 0)
            cell = k * 256 + (v >> 24) if v else -1
            if v:
                logit = stretch(self.histories[cell] >> 10)
                x += [logit, 0 if all(COUNTS[v >> 24]) else logit, stretch(((v & 0x3FFFF) ^ 0x20000) << 4)]
            else:
                x += [0, 0, 0]
            histories.append(cell)
            run = self.cells.get(run_place, 0)
            cell = -1
            x.append(0)
            if run & 255 and (run >> 8 & 255 | 256) >> (8 - bit) == c0:
                cell = k * 256 + min(run & 255, 31) * 8 + bit
                g = stretch(self.runs[cell] >> 10)
                x[-1] = g if run >> (15 - bit) & 1 else -g
            runs.append(cell)
        return x, (histories, runs)

    def learn_bit(self, places: list[int], run_places: list[int], cells: Cells, node: int, bit: int, y: int) -> None:
        """The bit that came, in every context; cells: as `gather` gave them."""
        histories, runs = cells
        for k, place in enumerate(places):
            self.cells[place + node] = learn_node(self.cells.get(place + node, 0), y, 30)
            if histories[k] >= 0:
                self.histories[histories[k]] = adapt(self.histories[histories[k]], y, 1000)
            if runs[k] >= 0:
                expected = self.cells.get(run_places[k], 0) >> (15 - bit) & 1
                self.runs[runs[k]] = adapt(self.runs[runs[k]], int(expected == y), 1000)

    def learn_byte(self, run_places: list[int], byte: int) -> None:
        """Runs go on, or begin anew."""
        for place in run_places:
            run = self.cells.get(place, 0)
            count = min((run & 255) + 1, 255) if run & 255 and run >> 8 & 255 == byte else 1
            self.cells[place] = run & 0xFFFF0000 | byte << 8 | count
