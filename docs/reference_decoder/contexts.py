"""What contexts are made of, their hashes, addresses of x86 code, matches: docs/predictor.md, section 6."""

from __future__ import annotations

from types import SimpleNamespace

from .cells import fold
from .coder import MASK64

NAMES = (  # in the order of the digest
    *("seen", "slots", "slot_mask", "match_mask", "recent", "classes", "word", "word1", "word2", "word_length"),
    *("before_word", "line", "line_above", "first", "bracket", "pointer", "matched", "raw", "spent", "letters"),
    *("operand", "opcode", "target"),
)
LETTERS = {*range(ord("a"), ord("z") + 1), *range(128, 256)}


def memory(slots: int) -> SimpleNamespace:
    """What contexts are made of, before the first byte; `slots`: of the header."""
    m = SimpleNamespace(**dict.fromkeys(NAMES, 0))
    m.slots, m.match_mask = slots << 10, (1 << 16) - 1
    m.slot_mask = (1 << min(18, (m.slots - 1).bit_length())) - 1
    return m


def byte_class(byte: int) -> int:
    c = chr(byte)
    if "a" <= c <= "z":
        return 1
    if "A" <= c <= "Z":
        return 2
    if "0" <= c <= "9":
        return 3
    if byte >= 128:
        return 6
    return {" ": 4, "\n": 5, ".": 7, ",": 7}.get(c, 8 + (byte & 7))


class Contexts:
    """What was seen before a byte, and the hash of every context in use."""

    def __init__(self, m: SimpleNamespace, active: list[int]) -> None:
        self.m, self.active = m, active
        self.indirect: dict[int, int] = {}  # cells that are not 0, as in the next two
        self.targets: dict[int, int] = {}
        self.matches: dict[int, int] = {}

    def grow(self, position: int) -> None:
        """Double the table of matches if the segment at `position` will fill it."""
        m = self.m
        while (matches := m.match_mask + 1) < 1 << 22 and matches < 8 * position:
            self.matches.update({at + matches: v for at, v in self.matches.items()})
            m.match_mask = 2 * matches - 1

    def expected(self, history: bytearray) -> int:
        """The byte that the match says comes next, + 256; 0 without one."""
        return history[self.m.pointer] | 256 if self.m.matched else 0

    def hashes(self, history: bytearray, i: int) -> list[int]:
        """The hash of every context in use for byte i."""
        m, indirect = self.m, self.indirect
        recent, word, word1, word2, classes = m.recent, m.word, m.word1, m.word2, m.classes
        if m.word_length >= 32:
            word, word1, word2 = m.letters & 0xFFFFFF, m.letters & 0xFFFFFFFF, m.letters & (1 << 40) - 1
        c1, c2, c3 = recent & 255, recent >> 8 & 255, recent >> 16 & 255
        c12, c123, last4 = recent & 0xFFFF, recent & 0xFFFFFF, recent & 0xFFFFFFFF
        column, height = min(i - m.line, 255), m.line - m.line_above
        above = history[i - height] if column < height <= i and 4 * height <= 3 << 24 else 0
        expected = self.expected(history)
        after = indirect.get
        h = [  # a line for every bit of `contexts`
            c1,
            c12,
            c123,
            last4,
            recent & (1 << 40) - 1,
            word,
            fold(word1, word2),
            fold(word, word1),
            recent,
            fold(word, c1 | word2 << 8 & MASK64),
            c2 | c3 << 8,
            c1 | c3 << 8,
            after(c1, 0) & 0xFFFF | c1 << 16,
            (after(c12 + 256, 0) & 0xFFFF) << 8 | c1,
            (classes & 0xFFFFFFFF) << 8 | c1,
            above | column << 8 | c1 << 16,
            fold(word, m.first | c1 << 8),
            fold(word, fold(word1, word2)),
            recent >> 16 & 0xFFFFFF,
            fold(word1, c12),
            fold(word, m.before_word),
            fold(expected, c12),
            recent & 0xF0F0F0FFFF,
            fold(word, m.bracket),
            last4 | m.bracket << 48,
            classes,
            c12 | min(m.word_length, 3) << 16 | min(column, 3) << 24 | m.bracket << 48,
            fold(m.operand, c1) if m.operand else fold(word, after(65792 + (m.word1 & 0xFFFF), 0)),
            fold(m.operand, m.opcode) if m.operand else fold(word, column),
            fold(above, c12),
            expected | c1 << 16 | min(m.matched, 32) >> 3 << 48,
        ]
        return [fold(k, h[context]) for k, context in enumerate(self.active)]

    def learn(self, history: bytearray, i: int, new: int, expected: int) -> None:
        """Words, lines, what follows what, and the match."""
        m, indirect, recent = self.m, self.indirect, self.m.recent
        c1 = recent & 255
        for at in (c1, 256 + (recent & 0xFFFF)):
            indirect[at] = indirect.get(at, 0) << 8 & MASK64 | new
        lower = new + 32 if 65 <= new <= 90 else new
        if lower in LETTERS:
            if not m.word:
                m.before_word = c1
            m.word, m.word_length = fold(m.word, lower), m.word_length + 1
        elif m.word:
            indirect[65792 + (m.word1 & 0xFFFF)] = m.word
            m.word2, m.word1, m.word, m.word_length = m.word1, m.word, 0, 0
        if chr(new) in "[{<(=|\"&'":
            m.bracket = new
        elif chr(new) in "]}>)\n;":
            m.bracket = 0
        m.classes = m.classes << 4 & MASK64 | byte_class(new)
        if new == 10:
            m.line_above, m.line, m.first = m.line, i + 1, 0
        elif i == m.line:
            m.first = new
        m.letters = m.letters << 2 & MASK64 | new >> 1 & 3
        m.recent, m.seen = recent << 8 & MASK64 | new, i + 1
        self.learn_address(i + 1)
        self.learn_match(history, i + 1, new, expected)

    def target_cell(self, count: int) -> int:
        """Where the address meant is kept, by its `count` lowest bytes or by what came before it."""
        m = self.m
        return count << 16 | (fold(m.target & (1 << 8 * count) - 1, 0) & 0xFFFF if count else m.opcode)

    def learn_address(self, i: int) -> None:
        """What the next byte of an address in x86 code may be; i is the position now reached."""
        m = self.m
        c1, c2, c3 = m.recent & 255, m.recent >> 8 & 255, m.recent >> 16 & 255
        count = m.operand >> 8
        if count:
            m.target, count = m.target + (c1 << 8 * (count - 1)), count + 1
            if count == 5:
                for k in range(4):
                    self.targets[self.target_cell(k)] = m.target & 0xFFFFFFFF
                count = 0
        elif (
            c1 & 0xFE == 0xE8
            or (c2 == 0x0F and c1 & 0xF0 == 0x80)
            or (c1 & 0xC7 == 5 and (c2 & 0xF0 == 0x80 or c3 == 0x0F))
        ):
            count, m.target, m.opcode = 1, i + 4, m.recent & 0xFFFF
        m.operand = 0
        if count:
            shift, target = 8 * (count - 1), self.targets.get(self.target_cell(count - 1), 0)
            m.operand = count << 8 | ((target >> shift) - (m.target >> shift)) & 255

    def learn_match(self, history: bytearray, i: int, new: int, expected: int) -> None:
        """Go on with the match, or look the last six bytes up; i is the position now reached."""
        m, reach = self.m, 3 << 22
        length, pointer = m.matched, m.pointer + 1
        if length:
            length = min(length + 1, 65535) if expected & 255 == new else int(length >= 16)
        if length and i - pointer > reach:
            length = 0
        at = fold(m.recent & (1 << 48) - 1, 0) & m.match_mask
        if length < 6 and i >= 6:
            distance = i - self.matches.get(at, 0) & 0xFFFFFFFF
            if 0 < distance <= min(i, reach):
                place, alike = i - distance, 0
                most = min(400, place, reach - distance)
                while alike < most and history[place - 1 - alike] == history[i - 1 - alike]:
                    alike += 1
                if alike >= 6:
                    length, pointer = alike, place
        self.matches[at] = i
        m.matched, m.pointer = length, pointer
