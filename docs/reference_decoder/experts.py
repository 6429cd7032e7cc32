"""The experts: docs/predictor.md, section 6. What contexts say of the next bit is mixed, coded and learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

from .cells import adapt, bit_cost, clamp, codable, fold, squash, stretch
from .coder import RangeDecoder, log2
from .contexts import Contexts, memory
from .floats import DIGESTED, layout
from .mixer import Finals, Refinement, mix, train
from .samples import Samples
from .slots import Slots

CONTEXTS = 31  # that there are


class Experts:
    """Contexts, their slots, matches and mixer."""

    def __init__(self, settings: SimpleNamespace, modelled: bool) -> None:
        self.modelled = modelled
        active = [k for k in range(CONTEXTS) if settings.contexts >> k & 1]
        count = len(active)
        self.inputs = (4 * count + 4 + 2 + 31) // 32 * 32  # the last two are the language model's
        self.m = memory(settings.slots)
        self.contexts, self.slots = Contexts(self.m, active), Slots(self.m, count)
        self.ledger = [0] * 6
        self.byte_map, self.match_map = [1 << 31] * 256, [3 << 30] * 64
        row = [3000, 0, 3000, 3000] * count + [3000] * 3
        row += [0] * (self.inputs - 2 - len(row)) + [6500 * modelled] * 2
        self.weights = [list(row) for _ in range(2048)]
        self.finals = Finals(7 + modelled)
        self.refinement, self.of_model = Refinement(), Refinement()  # of the mix, of the language model
        self.samples = Samples(modelled)

    def forget(self) -> None:
        """End the match."""
        self.m.matched = 0

    def begin(self, history: bytearray, position: int) -> None:
        """Before the segment at `position`: tables grow, samples are looked for."""
        self.slots.grow(position)
        self.contexts.grow(position)
        self.samples.watch(history, position)

    def charge(self, row: int, cost: int) -> None:
        """Add a code length in 2^-32 bit."""
        cost += self.ledger[row + 3]
        self.ledger[row] += cost >> 12
        self.ledger[row + 3] = cost & 0xFFF

    def code_byte(self, history: bytearray, i: int, f: Sequence[int] | None, coder: RangeDecoder) -> None:
        """Predict, decode and learn byte i; f: the language model's frequencies."""
        m, samples, slots = self.m, self.samples, self.slots
        c1, c2, classes = m.recent & 255, m.recent >> 8 & 255, m.classes & 255
        word_length, rate = min(m.word_length, 15), max(14, 32 >> min(i >> 17, 20))
        sampled = i >= samples.first and len(self.contexts.active) >= 8
        near, weights, width, own, own_hits = c1, self.weights, self.inputs, 0, 256
        if sampled:
            hashes = [fold(64 + k, h) for k, h in enumerate(samples.contexts(history, i))]
            near, weights, width, own, own_hits = samples.expected, samples.weights, 64, 512, 1024
        else:
            hashes = self.contexts.hashes(history, i)
        run_places: list[int] = []
        experts = width - 2
        expected = self.contexts.expected(history)
        tree = [0] * 256 + list(f or ())
        if f:
            for j in range(255, 0, -1):
                tree[j] = tree[2 * j] + tree[2 * j + 1]
        c0, node, cost, cost_alone = 1, 1, 0, 0
        for bit in range(8):
            if bit & 3 == 0:
                places, hits = slots.find_all(hashes, c0 if bit else 0, run_places)
                node = 1
            x, cells = slots.gather(places, run_places, node, c0, bit)
            x.append(stretch(self.byte_map[c0] >> 10))
            length = 0
            if m.matched and expected >> (8 - bit) == c0:
                length = m.matched if m.matched < 16 else 16 + min((m.matched - 16) >> 2, 15)
                sign = 1 if expected >> (7 - bit) & 1 else -1
                x += [sign * stretch(self.match_map[length] >> 10), sign * min(m.matched, 32) * 16]
            else:
                x += [0, 0]
            x.append(256)
            if sampled:
                x += samples.inputs(c0, bit, c1)
            x += [0] * (width - len(x))
            rows = [
                c0, 256 + length * 8 + bit, 512 + c1, 768 + hits * 8 + bit, 1024 + classes, 1280 + (m.bracket or c2),
                1536 + (word_length << 4 | classes >> 4),
            ]  # fmt: skip
            if f:
                model = (log2(tree[2 * c0 + 1]) - log2(tree[2 * c0]) >> 12) * 11357 >> 26
                model = clamp(model)
                x[experts] = model
                x[experts + 1] = stretch(self.of_model.probability(c0, model))
                rows.append(1792 + min(abs(model) >> 7, 15) * 8 + bit)
            if sampled:
                rows[:7] = samples.rows(c0, bit, rows[1], rows[3])
                rows[7:] = [row + 2816 for row in rows[7:]]
            outputs = mix(x, weights, rows)
            if f:
                without = mix(x[:experts], weights, rows)
                alone = self.finals.mix(without, 768 + c0)
            by_bits, by_hits = own + c0, own_hits + hits * 8 + bit
            a, b = self.finals.mix(outputs, by_bits), self.finals.mix(outputs, by_hits)
            mixed = (a + b) >> 1
            maps = [
                near << 8 | c0,
                65536 + (fold(m.recent & 0xFFFF, c0) & 0xFFFF),
                131072 + ((expected & 255) << 8 | c0) if length else c0,
            ]
            p, q, r = (self.refinement.probability(row, mixed) for row in maps)
            p1 = codable(2 * squash(mixed) + p + 2 * q + 3 * r >> 3)
            y = coder.bit(p1, 22)
            cost += bit_cost(p1, y)
            train(x, weights, rows, outputs, y, rate)
            self.finals.learn(outputs, by_bits, a, y)
            self.finals.learn(outputs, by_hits, b, y)
            for row in maps:
                self.refinement.learn(row, mixed, y)
            if f:
                self.of_model.learn(c0, model, y)
                cost_alone += bit_cost(codable(squash(alone)), y)
                self.finals.learn(without, 768 + c0, alone, y)
            slots.learn_bit(places, run_places, cells, node, bit, y)
            self.byte_map[c0] = adapt(self.byte_map[c0], y, 255)
            if length:
                hit = int((expected >> (7 - bit) & 1) == y)
                self.match_map[length] = adapt(self.match_map[length], hit, 1000)
            c0, node = 2 * c0 + y, 2 * node + y
        byte = history[i] = c0 & 255
        self.charge(0, cost)
        self.charge(1, cost_alone if f else cost)
        if f:
            self.charge(2, (24 << 32) - log2(tree[c0]))
        slots.learn_byte(run_places, byte)
        self.contexts.learn(history, i, byte, expected)
        if sampled:
            samples.learn(history, i)

    def decode(self, history: bytearray, start: int, stop: int, coder: RangeDecoder) -> None:
        """Bytes start … stop - 1, without a language model."""
        m, i = self.m, start
        while i < stop:
            if i & 31 == 0 and i + 32 <= stop and m.matched >= 400:
                p1 = codable(self.match_map[0] >> 10)
                leap = coder.bit(p1, 22)
                self.charge(0, bit_cost(p1, leap))
                self.charge(1, bit_cost(p1, leap))
                self.match_map[0] = adapt(self.match_map[0], leap, 255)
                if leap:
                    for j in range(i, i + 32):
                        history[j] = history[m.pointer]
                        self.contexts.learn(history, j, history[j], history[j])
                    i += 32
                    continue
            if i & 8191 == 0:
                m.raw, m.spent = 0, self.ledger[0]
            elif i & 8191 == 1024:
                m.raw = int(self.ledger[0] - m.spent >= 8 << 30)
            elif m.matched >= 32:
                m.raw = 0
            if m.raw:
                expected = self.contexts.expected(history)
                history[i] = coder.target(8)
                coder.take(history[i], 1, 8)
                self.ledger[0] += 8 << 20
                self.ledger[1] += 8 << 20
                self.contexts.learn(history, i, history[i], expected)
            else:
                self.code_byte(history, i, None, coder)
            i += 1

    def arrays(self) -> Iterator[tuple[str, bytes]]:
        """Its part of the digest, by name."""

        def sparse(kind: str, cells: dict[int, int], count: int) -> bytes:
            return layout(kind, count).pack(*(cells.get(at, 0) for at in range(count)))

        def dense(kind: str, cells: Sequence[int]) -> bytes:
            return layout(kind, len(cells)).pack(*cells)

        yield "experts.memory", dense("Q", list(vars(self.m).values()))
        yield "experts.ledger", dense("q", self.ledger)
        if (slots := 16 * (self.m.slot_mask + 1)) * 4 <= DIGESTED:
            yield "experts.slots", sparse("I", self.slots.cells, slots)
        yield "experts.histories", dense("I", self.slots.histories)
        yield "experts.runs", dense("I", self.slots.runs)
        yield "experts.byte_map", dense("I", self.byte_map)
        yield "experts.match_map", dense("I", self.match_map)
        if (matches := self.m.match_mask + 1) * 4 <= DIGESTED:
            yield "experts.matches", sparse("I", self.contexts.matches, matches)
        yield "experts.indirect", sparse("Q", self.contexts.indirect, 2 * 65536 + 256)
        yield "experts.targets", sparse("I", self.contexts.targets, 4 * 65536)
        yield "experts.weights", b"".join(dense("i", row) for row in self.weights)
        yield "experts.finals", b"".join(dense("i", row) for row in self.finals.weights)
        yield "experts.model_apm", dense("I", [self.of_model.cell(at) for at in range(33 * 256 * self.modelled)])
        samples = self.samples
        yield "experts.sampled", dense("q", samples.numbers())
        yield "experts.errors", dense("q", samples.errors + samples.means[0] + samples.means[1])
        rows = (row for system in samples.systems for channel in system for row in channel)
        yield "experts.systems", b"".join(dense("d", row) for row in rows)
        yield "experts.sample_weights", b"".join(dense("i", row) for row in samples.weights)
