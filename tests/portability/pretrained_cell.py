"""One cell of the numeric matrix for models of transformers: code with each, decode what another cell coded; digests.

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


def main() -> None:
    threads, mode, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    session = Session(threads, prior_path=str(folder))
    begin(threads, mode)
    digests = {}
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            continue
        for bits, adapt, experts in ((8, "none", None), (16, "head", SMALL)):
            pretrained, sink, back = model.open_model(path, bits, adapt), io.BytesIO(), io.BytesIO()
            Sender(sink, pretrained.archive_header(experts, 512), b"", Watch(), session=session).run(io.BytesIO(DATA))
            archive = path.with_name(f"{path.name}-{bits}.lmz")
            if not archive.exists():
                archive.write_bytes(sink.getvalue())
            with open(archive, "rb") as source:
                Receiver(source, back, Limits(), Watch(), session=session).run()
            assert back.getvalue() == DATA
            digests[f"{path.name} {bits}"] = hashlib.sha256(sink.getvalue()).hexdigest()
    print(json.dumps(digests))


if __name__ == "__main__":
    main()
