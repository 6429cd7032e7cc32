"""python docs/reference_decoder FILE.lmz > OUT"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # for Python put this folder there, not the one around it

from reference_decoder import decode  # noqa: E402

sys.stdout.buffer.write(decode(Path(sys.argv[1]).read_bytes()))
