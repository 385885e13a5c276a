"""Holds a lock and says on each line it reads whether it still does: holder.py CLIENT_FOLDER URLS NAME TTL."""

import sys

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import quorate  # noqa: E402

lock = quorate.Client(sys.argv[2]).lock(sys.argv[3], ttl=float(sys.argv[4]))
lock.acquire()
print(lock.fence, flush=True)
for _ in sys.stdin:
    print(lock.owned(), lock.lost.wait(0.5), flush=True)
