"""One cell of the numeric matrix for priors: make one, code with it, rebuild it, decode; print digests.

python prior_cell.py THREADS FLUSH FOLDER: the folder holds a prior and an archive that another cell made, or nothing:
then this cell leaves its own there. FLUSH as of cell.py.
"""

import hashlib
import io
import json
import sys
from pathlib import Path

from cell import HEADERS, SAMPLE, begin

from lmzip.limits import Limits
from lmzip.prior import store
from lmzip.prior.train import Fingerprinted, build, train
from lmzip.progress import Watch
from lmzip.receiver import Receiver
from lmzip.sender import Sender
from lmzip.session import Session

CORPUS, DATA = SAMPLE, SAMPLE[::-1] + SAMPLE[:700]


def main() -> None:
    threads, mode, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    session = Session(threads)
    begin(threads, mode)
    sink, archive, back = io.BytesIO(), io.BytesIO(), io.BytesIO()
    sender = Sender(sink, store.settings(HEADERS["mixed"]), b"", Watch(), session=session)
    _, (manifest, packed, known) = train(sender, io.BytesIO(CORPUS), False, "", "")
    _, (rebuilt, _, _) = build(
        Receiver(io.BytesIO(sink.getvalue()), Fingerprinted(), Limits(), Watch(), session=session), "", ""
    )
    if not (folder / "x.prior").exists():
        store.write(folder / "x.prior", manifest, packed, known)
    prior = store.read(folder / "x.prior")
    session.remember(prior)
    Sender(archive, prior.archive_header(8192), b"", Watch(), session=session).run(io.BytesIO(DATA))
    if not (folder / "x.lmz").exists():
        (folder / "x.lmz").write_bytes(archive.getvalue())
    with open(folder / "x.lmz", "rb") as source:
        Receiver(source, back, Limits(), Watch(), session=session).run()
    assert back.getvalue() == DATA
    digests = {name: hashlib.sha256(io_.getvalue()).hexdigest() for name, io_ in (("corpus", sink), ("file", archive))}
    print(json.dumps(digests | {"prior": manifest.state, "rebuilt": rebuilt.state, "stored": prior.manifest.state}))


if __name__ == "__main__":
    main()
