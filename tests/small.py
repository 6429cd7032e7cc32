"""Small settings of every kind of predictor, for tests that need the real codec but no good one."""

from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings

MODEL = ModelSettings(layers=2, width=32, heads=1, hidden=32, window=16, table_bits=10)
EXPERTS = ExpertSettings(slots=64, contexts=0b10111111)
HEADERS = {
    "model": Header(segment=16, frame_size=4096, replay=1, model=MODEL),
    "experts": Header(segment=64, frame_size=4096, experts=EXPERTS),
    "both": Header(segment=16, frame_size=4096, model=MODEL, experts=EXPERTS),
}
