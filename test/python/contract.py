"""What the Python client promises, line by line, over nodes that somebody else started: contract.py CLIENT_FOLDER URLS ABSENT."""

import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import quorate  # noqa: E402

URLS, ABSENT = sys.argv[2], sys.argv[3]
CASES = []


def case(run):
    CASES.append(run)
    return run


def client(urls=URLS, **options):
    return quorate.Client(urls, **options)


def until(what, is_true):
    for _ in range(500):
        if is_true():
            return
        time.sleep(0.01)
    raise AssertionError(f"did not come true: {what}")


def raised(kind, run):
    try:
        run()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def apart(run):
    """Runs it in a thread. The returned function waits for its end, and returns or raises what it did."""
    end = {}

    def caught():
        try:
            end["result"] = run()
        except BaseException as error:
            end["error"] = error

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()

    def joined():
        thread.join(20)
        if "error" in end:
            raise end["error"]
        return end["result"]

    return joined


def waiters(name):
    return client().request("GET", f"/v1/locks/{name}")["waiterCount"]


@case
def a_with_block_holds_the_lock_and_gives_it_back():
    with client().lock("with", ttl=30) as lock:
        first = lock.fence
        assert isinstance(first, int) and lock.owned() and lock.locked() and not lock.lost.is_set()
        assert 20 < lock.remaining() < 30
    assert not lock.owned() and not lock.locked() and not lock.lost.is_set()
    with lock:
        assert lock.fence > first


@case
def what_the_block_raises_comes_out_and_the_lock_is_given_back():
    lock = client().lock("raises")

    def fails():
        with lock:
            raise KeyError("mine")

    raised(KeyError, fails)
    assert not lock.locked()


@case
def acquire_says_whether_it_is_held():
    one, other = client().lock("held"), client().lock("held", blocking=False)
    assert one.acquire() is True
    assert other.acquire() is False and not other.owned()
    assert other.acquire(blocking=True, blocking_timeout=0.2) is False
    assert waiters("held") == 0
    assert raised(quorate.LockError, other.__enter__).code == "held"
    assert raised(quorate.LockError, one.acquire).code == "held"
    one.release()
    assert other.acquire() is True
    other.release()


@case
def it_waits_in_the_order_of_the_requests():
    lock, order = client().lock("order"), []
    lock.acquire()

    def wait(i):
        with client().lock("order") as mine:
            order.append((i, mine.fence > lock_fence))

    lock_fence, waiting = lock.fence, []
    for i in range(3):
        waiting.append(apart(lambda i=i: wait(i)))
        until("it waits", lambda: waiters("order") == i + 1)
    lock.release()
    for joined in waiting:
        joined()
    assert order == [(0, True), (1, True), (2, True)], order


@case
def it_renews_itself_for_longer_than_its_ttl():
    with client().lock("renewed", ttl=1) as lock:
        time.sleep(2.5)
        assert lock.owned() and lock.locked()


@case
def what_is_forced_is_lost():
    lock = client().lock("forced", ttl=1.5)
    lock.acquire()
    client().request("DELETE", "/v1/locks/forced", {"reason": "test"})
    assert lock.lost.wait(5)
    assert not lock.owned() and lock.remaining() == 0.0
    assert raised(quorate.LockNotOwnedError, lock.extend).code == "lock-lost"
    assert raised(quorate.LockNotOwnedError, lock.release).code == "lock-lost"
    again = raised(quorate.LockNotOwnedError, lock.release)
    assert isinstance(again, quorate.LockError) and isinstance(again, quorate.QuorateError)

    def block():
        with client().lock("forced", ttl=30):
            client().request("DELETE", "/v1/locks/forced", {"reason": "test"})

    raised(quorate.LockNotOwnedError, block)


@case
def extend_changes_the_ttl():
    with client().lock("extend", ttl=2) as lock:
        assert lock.extend(60) is True
        assert lock.remaining() > 50


@case
def a_shorter_ttl_ends_sooner():
    lock = client().lock("shorter", ttl=30)
    lock.acquire()
    lock.extend(1)
    assert lock.remaining() <= 1.0
    time.sleep(1.5)
    assert lock.owned(), "it renews itself by the ttl that it has"
    lock.release()
    assert not lock.lost.is_set()


@case
def a_node_that_says_nothing_does_not_keep_one_from_the_others():
    silent = socket.create_server(("127.0.0.1", 0))
    urls = [f"http://127.0.0.1:{silent.getsockname()[1]}", *URLS.split(",")]
    for blocking in (False, True):
        one = client(urls, timeout=2)
        one._instances["/v1/locks/silent"] = 0
        lock = one.lock("silent", blocking=blocking, blocking_timeout=20 if blocking else None)
        assert lock.acquire() is True
        lock.release()
    silent.close()


@case
def an_answer_that_is_none_ends_no_renewal():
    with client().lock("proxy", ttl=1.5) as lock:
        asked = quorate._Node.ask
        quorate._Node.ask = lambda *rest, **more: quorate._Answer(200, {}, None, (0.0, 0.0))
        time.sleep(0.7)
        quorate._Node.ask = asked
        time.sleep(1.5)
        assert lock.owned() and not lock.lost.is_set()


@case
def shared_holders_hold_together():
    with client().lock("shared", shared=True), client().lock("shared", shared=True, holder="me", metadata="about"):
        holders = client().request("GET", "/v1/locks/shared")["holders"]
        assert len(holders) == 2 and "me" in [each["holder"] for each in holders]
        assert client().lock("shared").acquire(blocking=False) is False


@case
def whoever_is_interrupted_while_it_waits_leaves_the_queue():
    with client().lock("interrupted"):
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        raised(KeyboardInterrupt, client().lock("interrupted").acquire)
        assert waiters("interrupted") == 0


@case
def a_child_process_holds_nothing_of_its_parent():
    with client().lock("forked") as lock:
        child = os.fork()
        if child == 0:
            refused = raised(quorate.LockNotOwnedError, lock.release)
            os._exit(0 if refused.code == "lock-lost" and not lock.owned() else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert lock.owned() and lock.locked()


@case
def names_may_be_anything_but_dots():
    for name in ("a/b", "ü %2F?#", "..."):
        with client().lock(name) as lock:
            assert lock.locked()
    for name in ("", ".", ".."):
        raised(ValueError, lambda name=name: client().lock(name))


@case
def nodes_that_are_not_there_are_left_out():
    with client([*ABSENT.split(","), *URLS.split(",")]).lock("absent") as lock:
        assert lock.owned()
    error = raised(quorate.QuorateError, client(ABSENT, timeout=0.3).lock("absent").acquire)
    assert (error.code, error.outcome) == ("not-ready", "unknown"), error
    for urls in ("", "ftp://a", "nonsense", []):
        raised(ValueError, lambda urls=urls: client(urls))


@case
def what_a_node_refuses_for_good_is_raised_at_once():
    error = raised(quorate.QuorateError, client().lock("refused", ttl=0.001).acquire)
    assert (error.code, error.status) == ("invalid-request", 400), error
    assert not isinstance(error, quorate.LockError)


class Served:
    """A node that a test stands in for, for as long as the block runs; ``answer`` sends what it has to say."""

    def __init__(self):
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_one(self):
                status, body, headers = served.answer(self)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = handle_one

            def log_message(self, *rest):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request):
        """Status, body and headers."""
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self._server.shutdown()
        self._server.server_close()


class Dribbling(Served):
    """Grants for two seconds, and says of a renewal a byte now and then: no socket takes that for silence."""

    def __init__(self):
        self.renewed, self.is_over = threading.Event(), threading.Event()
        super().__init__()

    def answer(self, request):
        if request.command == "PUT":
            self.renewed.set()
            while not self.is_over.wait(0.1):
                request.wfile.write(b"H")
                request.wfile.flush()
        return 200, json.dumps({"fence": "7", "waitedMs": 0, "guaranteedForMs": 2000}).encode(), {}


@case
def a_renewal_that_hangs_does_not_keep_it_from_saying_that_it_is_lost():
    with Dribbling() as node:
        lock = client(node.url, timeout=20).lock("dribbled", ttl=2)
        lock.acquire()
        assert node.renewed.wait(10)
        renewing = apart(lambda: raised(quorate.LockNotOwnedError, lock.extend))
        assert lock.lost.wait(10), "it is over, and nobody says so"
        assert not lock.owned() and renewing().code == "lock-lost"
        node.is_over.set()


class Stranger(Served):
    """No node: it says this, whatever it is asked."""

    def __init__(self, said):
        self._said = said
        super().__init__()

    def answer(self, request):
        return 200, self._said, {}


@case
def what_is_no_node_grants_nothing():
    grant = b'{"fence": "7", "waitedMs": 0, "guaranteedForMs": %s}'
    for said in [b"<html>log in</html>", b"", b"{}", *(grant % time for time in (b"NaN", b"Infinity", b"-1", b'"9000"', b"null", b"true"))]:
        with Stranger(said) as stranger:
            lock = client(stranger.url, timeout=0.5).lock("stranger")
            assert raised(quorate.QuorateError, lock.acquire).code == "internal", said
            assert not lock.owned() and lock.fence is None


class Busy(Served):
    """Answers 503 with this until ``seconds`` have gone by since it was first asked."""

    def __init__(self, said, header, seconds):
        self.asked, self._since, self._said, self._header, self._seconds = 0, None, said, header, seconds
        super().__init__()

    def answer(self, request):
        self.asked += 1
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since >= self._seconds:
            return 200, json.dumps({"ready": True}).encode(), {}
        body = json.dumps({"code": "not-ready", "detail": "busy", **self._said}).encode()
        return 503, body, {} if self._header is None else {"Retry-After": self._header}


@case
def a_node_is_not_asked_again_before_it_said():
    for said, header in (({"retryAfterMs": 600}, None), ({"retryAfterMs": 600}, "60"), ({}, "1")):
        with Busy(said, header, 0.6) as node:
            assert client(node.url, timeout=10).request("GET", "/v1/status") == {"ready": True}
            assert node.asked == 2, (said, header, node.asked)


@case
def nobody_waits_for_a_node_beyond_the_time_there_is_and_others_are_asked_at_once():
    for said, header in (({"retryAfterMs": 60_000}, None), ({}, "60")):
        with Busy(said, header, 60) as node:
            error = raised(quorate.QuorateError, lambda: client(node.url, timeout=2).request("GET", "/v1/status"))
            assert (error.code, error.detail, node.asked) == ("not-ready", "busy", 1), (error, node.asked)
            both = client(f"{node.url},{URLS}", timeout=10)
            for _ in range(3):
                assert both.request("GET", "/v1/status")["cluster"]
            assert node.asked == 2


@case
def what_is_no_time_is_as_if_nothing_was_said():
    huge = [float("inf"), float("nan"), 10**30, -1, True, "600", None, [600]]
    for said, header in [({"retryAfterMs": each}, None) for each in huge] + [({}, each) for each in ("soon", "-60", "1e9", "", "9" * 40)]:
        with Busy(said, header, 0.2) as node:
            assert client(node.url, timeout=10).request("GET", "/v1/status") == {"ready": True}, (said, header)
            assert node.asked > 1, (said, header)


class Older(Served):
    """A node of 0.2.0, which does not know ``renews``, behind which a newer one was asked before it."""

    def __init__(self, url):
        self.keys, self._url = [], url
        super().__init__()

    def answer(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        kept = ("Content-Type", "Idempotency-Key", "Quorate-Born")
        headers = {name: request.headers[name] for name in kept if request.headers[name]}
        onward = urllib.request.Request(self._url + request.path, body or None, headers, method=request.command)
        try:
            with urllib.request.urlopen(onward) as response:
                status, said = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read()
        if request.command == "POST":
            self.keys.append(request.headers["Idempotency-Key"])
            if "renews" in json.loads(body):
                status, said = 400, json.dumps({"code": "invalid-request", "field": "renews"}).encode()
        return status, said, {}


@case
def a_node_of_before_is_asked_without_what_it_does_not_know_and_a_grant_of_another_is_not_left_behind():
    with Older(URLS.split(",")[0]) as node:
        lock = client(node.url, learn_members=False).lock("mixed", ttl=30)
        assert lock.acquire(blocking=False) is True
        assert len(node.keys) == 2 and len(set(node.keys)) == 1, node.keys
        lock.release()


@case
def an_election_calls_back_while_it_leads():
    election = quorate.Election(client(), "main", "host-1", value="http://host-1")
    seen = []

    def work(number, more=0):
        seen.append((election.leader(), election.term))
        election.proclaim("http://host-2")
        seen.append(election.leader()["value"])
        return number + more

    assert election.run(work, 1, more=2) == 3
    (leader, term), value = seen
    assert leader == {"candidate": "host-1", "term": term, "value": "http://host-1"} and value == "http://host-2"
    assert election.leader() is None
    raised(quorate.LockNotOwnedError, lambda: election.proclaim("x"))
    raised(ValueError, lambda: election.run(None))


@case
def what_a_leader_raises_comes_out_and_it_resigns():
    election = client().election("fails")

    def work():
        raise KeyError("mine")

    raised(KeyError, lambda: election.run(work))
    assert election.leader() is None


@case
def a_candidate_that_is_cancelled_as_it_is_granted_does_not_lead():
    election = client().election("granted")
    ask = election._client._ask

    def cancelling(command, *rest):
        answer = ask(command, *rest)
        # Its answer is there, and the candidate does not know it yet.
        election._cancelled.set()
        return answer

    election._client._ask = cancelling
    assert election.run(lambda: "led") is None
    election._client._ask = ask
    assert election.leader() is None and not election.lost.is_set()


@case
def a_cancelled_candidate_leaves_the_queue():
    leader, candidate = client().election("cancel"), client().election("cancel")
    led, end = threading.Event(), threading.Event()
    leading = apart(lambda: leader.run(lambda: (led.set(), end.wait(20))))
    assert led.wait(10)
    running = apart(lambda: candidate.run(lambda: "led"))
    queue = lambda: client().request("GET", "/v1/elections/cancel")["waiterCount"]  # noqa: E731
    until("it waits", lambda: queue() == 1)
    candidate.cancel()
    assert running() is None
    until("it has left", lambda: queue() == 0)
    end.set()
    leading()


class Stub:
    """A node that says what the test has it say."""

    def __init__(self, url, said, status=200):
        self.url, self.said, self.status, self.asked = url, said, status, 0

    def get(self, path, token, within, most):
        self.asked += 1
        return self.status, json.dumps(self.said).encode()


def told(said, url="https://a.example", status=200, epoch=1):
    """The URLs of a client of that one node, after it has answered with this."""
    members = quorate._Members([Stub(url, said, status)], "mine", None)
    members.note(members.nodes[0], epoch)
    until("it has asked", lambda: not members._asking.locked())
    return [node.url for node in members.nodes], members


def listed(urls, epoch=1, cluster="q-0123456789ab"):
    return {"cluster": cluster, "epoch": epoch, "members": [{"id": f"n{i}", "url": url} for i, url in enumerate(urls)]}


@case
def new_members_are_learned_of_a_member_and_the_given_stay():
    a, d = "https://a.example", "https://d.example:8701"
    assert told(listed([a, d]))[0] == [a, d]
    urls, members = told(listed([a, d]), epoch=None)
    assert urls == [a] and members.nodes[0].asked == 0
    assert told(listed([a, d]), url="https://gateway.example")[0] == ["https://gateway.example"]
    urls, members = told(listed([a, d], epoch=3))
    for said in (listed([a], epoch=2), listed([a], epoch=3), listed([a], epoch=4, cluster="q-ffffffffffff")):
        members._not_before.clear()
        members.nodes[0].said = said
        members.note(members.nodes[0], 4)
        until("it has asked", lambda: not members._asking.locked())
        assert [node.url for node in members.nodes] == [a, d]
    asked = members.nodes[0].asked
    members.note(members.nodes[0], 4)
    assert members.nodes[0].asked == asked == 4


@case
def what_is_wrong_in_a_list_of_members_is_not_believed():
    a = "https://a.example"
    bad = ["https://me:x@b.example", "https://b.example/", "https://b.example/x", "ftp://b.example", "https://b.example:0"]
    bad += ["https://b.example:99999", "https://b\\c", "https://b.example#", "https://B.example", "https://2130706433", "https://127.1"]
    bad += [7, None, "", a, "https://" + "b." * 300 + "example", "https://[::zz]", "https://b.example\n"]
    for url in bad:
        assert told(listed([a, url]))[0] == [a], url
    for said in ([], None, {}, listed([]), listed([a] + [f"https://m{i}.example" for i in range(9)]), listed([a, "https://d"], epoch="1")):
        assert told(said)[0] == [a], said
    for said in (listed([a, "https://d"], epoch=10**7), listed([a, "https://d"], epoch=True), {**listed([a]), "members": [7]}):
        assert told(said)[0] == [a], said
    assert told(listed([a, "https://d"]), status=302)[0] == [a]


@case
def nothing_worse_protected_than_the_node_that_names_it_is_learned():
    a = "https://a.example"
    own = ["127.0.0.1:8701", "127.8.8.8", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "localhost", "x.localhost"]
    assert told(listed([a, "http://d.example", "https://e.example"] + [f"https://{host}" for host in own[:6]]))[0] == [a, "https://e.example"]
    for host in own:
        assert told(listed(["http://a", f"http://{host}", "https://d"]), url="http://a")[0] == ["http://a", "https://d"], host
    assert told(listed(["http://127.0.0.1:1", "http://localhost:2", "http://b"]), url="http://127.0.0.1:1")[0] == ["http://127.0.0.1:1", "http://localhost:2"]


failures = 0
for run in CASES:
    try:
        run()
    except BaseException as error:
        failures += 1
        print(f"{run.__name__}: {type(error).__name__}: {error} (line {error.__traceback__.tb_next.tb_lineno})")
print(f"{len(CASES) - failures} of {len(CASES)}")
