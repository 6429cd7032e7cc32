"""A toy predictor with the interface of `codec.lockstep`: pure Python, no compiler, for tests of all around it.

An adaptive order-1 bit model with the range coder of LZMA; state and transcript are as bit-exact as the real ones.
"""

from __future__ import annotations

import numpy as np

from lmzip.codec.message import Header, digest

SCALE = 12


class ToyLockstep:
    """The predictor: 65,536 probabilities of the next bit, by the byte before and the bits so far."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.odds = np.full(1 << 16, 1 << SCALE - 1, np.uint16)
        self._position = np.zeros(1, np.int64)
        self._last = np.zeros(1, np.int64)

    @property
    def position(self) -> int:
        return int(self._position[0])

    def encode(self, data: np.ndarray) -> ToyEncoding:
        return ToyEncoding(self, data)

    def decode(self, transcript: np.ndarray, length: int) -> ToyDecoding:
        return ToyDecoding(self, transcript, length)

    def skip(self, data: np.ndarray) -> None:
        self._position[0] += len(data)
        self._last[0] = data[-1]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"odds": self.odds, "position": self._position, "last": self._last}

    def digest(self) -> bytes:
        return digest(self.odds.astype("<u2").tobytes(), 8)


class _ToyFrame:
    def __init__(self, lockstep: ToyLockstep, length: int) -> None:
        self.lockstep, self.length, self.position, self.cost = lockstep, length, 0, 0.0

    @property
    def nll(self) -> int:
        return round(self.cost * (1 << 20))

    @property
    def done(self) -> bool:
        return self.position == self.length

    def advance(self, segments: int = 1) -> None:
        here = self.lockstep
        odds, context = here.odds, int(here._last[0]) << 8
        end = min(self.length, self.position + segments * here.header.streams * here.header.segment)
        while self.position < end:
            node = 1
            for i in range(7, -1, -1):
                one = int(odds[context + node])
                bit = self.code(one, i)
                self.cost -= np.log2((one if bit else (1 << SCALE) - one) / (1 << SCALE))
                odds[context + node] = one + ((4095 - one) >> 4) if bit else one - (one >> 4) + (one < 16)
                node = node * 2 + bit
            context = (node & 255) << 8
            self.put(node & 255)
            self.position += 1
        here._last[0] = context >> 8
        if self.done:
            here._position[0] += self.length

    def code(self, one: int, i: int) -> int:
        raise NotImplementedError

    def put(self, byte: int) -> None:
        pass


class ToyEncoding(_ToyFrame):
    def __init__(self, lockstep: ToyLockstep, data: np.ndarray) -> None:
        super().__init__(lockstep, len(data))
        self._data = bytes(data)
        self.low, self.width, self.out = 0, (1 << 32) - 1, bytearray()

    def code(self, one: int, i: int) -> int:
        bit = self._data[self.position] >> i & 1
        bound = (self.width >> SCALE) * one
        if bit:
            self.width = bound
        else:
            self.low += bound
            self.width -= bound
        while self.width < 1 << 24:
            self.shift()
        return bit

    def shift(self) -> None:
        if self.low >> 32:  # carry
            i = len(self.out) - 1
            while self.out[i] == 255:
                self.out[i] = 0
                i -= 1
            self.out[i] += 1
        self.out.append(self.low >> 24 & 255)
        self.low = self.low << 8 & 0xFFFFFFFF
        self.width <<= 8

    def finish(self) -> bytes:
        for _ in range(4):
            self.shift()
        return bytes(self.out)

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "numbers": np.array([self.low, self.width, self.position], np.uint64),
            "cost": np.array([self.cost]),
            "out": np.frombuffer(bytes(self.out), np.uint8),
        }

    def load(self, saved: dict[str, np.ndarray]) -> None:
        self.low, self.width, self.position = (int(n) for n in saved["numbers"])
        self.cost, self.out = float(saved["cost"][0]), bytearray(saved["out"].tobytes())


class ToyDecoding(_ToyFrame):
    def __init__(self, lockstep: ToyLockstep, transcript: np.ndarray, length: int) -> None:
        super().__init__(lockstep, length)
        self.transcript, self.at = bytes(transcript), 4
        self.value, self.width = int.from_bytes(self.transcript[:4].ljust(4, b"\0"), "big"), (1 << 32) - 1
        self.data = np.zeros(length, np.uint8)

    def code(self, one: int, i: int) -> int:
        bound = (self.width >> SCALE) * one
        bit = int(self.value < bound)
        if bit:
            self.width = bound
        else:
            self.value -= bound
            self.width -= bound
        while self.width < 1 << 24:
            byte = self.transcript[self.at] if self.at < len(self.transcript) else 0
            self.value, self.width, self.at = (self.value << 8 | byte) & 0xFFFFFFFF, self.width << 8, self.at + 1
        return bit

    def put(self, byte: int) -> None:
        self.data[self.position] = byte

    def finish(self) -> None:
        pass

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "numbers": np.array([self.value, self.width, self.at, self.position], np.uint64),
            "cost": np.array([self.cost]),
            "data": self.data[: self.position],
        }

    def load(self, saved: dict[str, np.ndarray]) -> None:
        self.value, self.width, self.at, self.position = (int(n) for n in saved["numbers"])
        self.cost = float(saved["cost"][0])
        self.data[: self.position] = saved["data"]


def install() -> None:
    """Let everything in this process use the toy."""
    from lmzip import pool, receiver, sender, session

    session.lockstep_class = lambda *_: ToyLockstep
    session.Session.load_torch = lambda *_: None
    for module in (sender, receiver, pool):
        module.source_digest = lambda: "toy"  # checkpoints outlive a change of the codec


if __name__ == "__mp_main__":  # a worker of that command line
    install()

if __name__ == "__main__":  # the command line with the toy inside
    import sys

    from lmzip.cli import main

    install()
    sys.exit(main())
