"""One cell of the numeric matrix for pretrained models: code with each, decode what another cell coded; digests.

python pretrained_cell.py THREADS FLUSH FOLDER: the folder holds models, and archives that another cell made, or none:
then this cell leaves its own there. FLUSH as of cell.py.
"""

import hashlib
import io
import json
import sys
from pathlib import Path

from cell import SAMPLE, SMALL, begin

from lmzip.limits import Limits
from lmzip.pretrained import model
from lmzip.progress import Watch
from lmzip.receiver import Receiver
from lmzip.sender import Sender
from lmzip.session import Session

DATA = SAMPLE[:500] + "Съешь ещё этих мягких булок".encode() + SAMPLE[-200:]
SETTINGS = ((8, "none", None, 1), (16, "head", SMALL, 1), (12, "none", SMALL, 3))  # bits, adapt, experts, streams
WINDOW = 256  # positions, of which the GGUF file's model was made for more: it slides, then begins anew


def main() -> None:
    threads, mode, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    session = Session(threads, prior_path=str(folder))
    begin(threads, mode)
    digests = {}
    for path in sorted(folder.iterdir()):
        if not (path.is_dir() or path.suffix == ".gguf"):
            continue
        data = DATA * 4 if path.suffix == ".gguf" else DATA
        for bits, adapt, experts, streams in SETTINGS:
            pretrained, sink, back = model.open_model(path, bits, adapt, WINDOW), io.BytesIO(), io.BytesIO()
            header = pretrained.archive_header(experts, 1024, streams=streams)
            Sender(sink, header, b"", Watch(), session=session).run(io.BytesIO(data))
            archive = path.with_name(f"{path.name}-{bits}.lmz")
            if not archive.exists():
                archive.write_bytes(sink.getvalue())
            with open(archive, "rb") as source:
                Receiver(source, back, Limits(), Watch(), session=session).run()
            assert back.getvalue() == data
            digests[f"{path.name} {bits}"] = hashlib.sha256(sink.getvalue()).hexdigest()
    print(json.dumps(digests))


if __name__ == "__main__":
    main()
