"""Writes a register for each line it reads, and says what became of it: learner.py CLIENT_FOLDER URLS LEARNS."""

import sys

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import quorate  # noqa: E402

client = quorate.Client(sys.argv[2], timeout=2.0, learn_members=sys.argv[3] == "1")
print("ready", flush=True)
for line in sys.stdin:
    try:
        client.request("PUT", "/v1/kv/from-python", {"line": line.strip()})
        print("done", flush=True)
    except quorate.QuorateError as error:
        print(error.code, flush=True)
