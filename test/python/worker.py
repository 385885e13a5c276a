"""Works under one lock until it is told to stop, and says each time what it did: worker.py CLIENT_FOLDER URLS NAME FILE TTL."""

import sys
import threading

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import quorate  # noqa: E402

_, _, urls, name, path, ttl = sys.argv
client = quorate.Client(urls, timeout=10)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
while not stop.is_set():
    try:
        with client.lock(name, ttl=float(ttl), blocking_timeout=20) as lock:
            # Not atomic: two at a time would lose a count.
            with open(path) as file:
                count = int(file.read())
            stop.wait(0.01)
            if not lock.owned():
                continue
            with open(path, "w") as file:
                file.write(str(count + 1))
            print(f"done {lock.fence}", flush=True)
    except quorate.QuorateError as error:
        print(f"failed {error.code}", flush=True)
