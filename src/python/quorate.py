"""Locks and elections of a Quorate cluster, for Python 3.9 and later. One file, the standard library only: copy it.

    client = quorate.Client("http://127.0.0.1:8701,http://127.0.0.1:8702")
    with client.lock("deploy", ttl=30) as lock:
        storage.put("release", data, fence=lock.fence)

A lock renews itself in a thread until it is released. It is over, by this process's own clocks, before anybody else can
have it: then ``lock.lost`` is set, ``lock.owned()`` is False, and leaving the ``with`` block raises ``LockNotOwnedError``.
No client can know that before each write: send ``lock.fence`` along, and let the resource refuse a lower one than it has seen.
Times are seconds, as floats.
"""

import http.client
import ipaddress
import json
import os
import re
import secrets
import socket
import ssl
import threading
import time
import urllib.parse

__all__ = ["Client", "Election", "Lock", "LockError", "LockNotOwnedError", "QuorateError"]

_TTL = 30.0
_TIMEOUT = 5.0
# The longest wait that a node takes at a time.
_WAIT_MAX = 300.0
# A node that says nothing for so long may be gone. The wait goes on in its place through another: places last ten seconds.
_SILENCE = 8.0
_RETRY_MIN, _RETRY_MAX = 0.05, 1.0
# What a node that was not asked yet has at least.
_LAST_TRY = 1.0
# A hold ends so long before its guarantee, for what its holder still does: this share of it, and no more than the most.
_MARGIN_SHARE, _MARGIN_MAX = 0.05, 0.25
# So often a hold looks at the wall's clock too.
_LOOK_EVERY = 1.0
# Seconds from which on what is said of the time to ask again is not believed.
_AGAIN_MOST = 100_000
# Another node, or another time, may answer these.
_PASSING = frozenset((429, 502, 503, 504))
# What a set of nodes is asked about a name before it is first taken.
_INSTANCE_WITHIN = 0.5
_INSTANCES_MAX = 10_000
_EXPIRED_MAX = 3
# What is believed of a list of members, and when a node is asked again that told nothing new.
_MEMBERS_MAX, _URL_MAX, _STATUS_MAX, _EPOCH_MAX = 9, 512, 256 * 1024, 1_000_000
_MEMBERS_WITHIN = 2.0
_MEMBERS_AGAIN = 30.0


class QuorateError(Exception):
    """What failed. ``code`` is stable, as in the node's problem document; the text is for people.

    ``outcome`` is ``"none"`` where nothing was done and ``"unknown"`` where nobody can tell; else None.
    """

    def __init__(self, code, detail, status=None, outcome=None):
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.outcome = outcome


class LockError(QuorateError):
    """A lock was not to be had in time, or is used as it cannot be."""


class LockNotOwnedError(LockError):
    """It is not held any more: it was lost, or never there."""


class Client:
    """A cluster, by the URLs of its nodes or of gateways: nearest first, as a list or with commas between them.

    ``token`` is sent as a Bearer token. ``cafile`` is the CA of the nodes' certificates, where that is a private one.
    ``timeout``: a request that no node has answered by then raises ``QuorateError``. Safe to be used by many threads.
    Nodes that become members of the cluster are asked too, and sent the token, once a member behind these URLs has told of
    them; not with ``learn_members=False``.
    """

    def __init__(self, urls, token=None, timeout=_TIMEOUT, cafile=None, learn_members=True):
        parts = urls.split(",") if isinstance(urls, str) else list(urls)
        self._nodes = [_Node(url.strip(), cafile) for url in parts if url.strip()]
        if not self._nodes:
            raise ValueError("a client needs the URL of a node")
        self._members = _Members(self._nodes, token, cafile) if learn_members else None
        self._token = token
        self.timeout = timeout
        self._first = 0
        self._instances = {}
        self._noting = threading.Lock()

    def lock(self, name, ttl=_TTL, blocking=True, blocking_timeout=None, holder=None, shared=False, metadata=None):
        """A lock that is not taken yet: see ``Lock``."""
        return Lock(self, name, ttl, blocking, blocking_timeout, holder, shared, metadata)

    def election(self, name, candidate=None, value=None, ttl=_TTL):
        """An election to run in: see ``Election``."""
        return Election(self, name, candidate, value, ttl)

    def request(self, method, path, body=None, key=None, until=None):
        """One request, as JSON, repeated at node after node until one says what becomes of it.

        Returns the answer's body. A write is one write, however often it is sent: it bears ``key``, or one made here. Raises
        ``QuorateError``: with what a
        node refuses it for, or once ``until`` (of ``time.monotonic()``; default: the client's timeout) is over.
        """
        if method not in ("GET", "HEAD"):
            key = key or _key()
        answer = self._ask(_Command(method, path, body, key), until or time.monotonic() + self.timeout)
        if answer.status != 200:
            raise answer.error()
        return answer.body

    def _ask(self, command, until, wait_until=None, stop=None):
        """The first answer that is for good. With ``wait_until`` a node may keep the request waiting until then.

        ``until`` counts anew as long as a node that is there keeps it waiting. None: ``stop`` was set.
        """
        patience = until - time.monotonic()
        pause, last, failures, not_before = _RETRY_MIN, None, 0, {}
        while True:
            if stop is not None and stop.is_set():
                return None
            nodes = self._here()
            asked = time.monotonic()
            # Whoever said when it can be asked again is not asked before; of the others the next in turn is.
            turns = range(self._first, self._first + len(nodes))
            self._first = min(turns, key=lambda turn: max(asked, not_before.get(nodes[turn % len(nodes)].url, 0.0)))
            node = nodes[self._first % len(nodes)]
            # Half of what is left: a node that swallows requests must leave time for another.
            silence = max(0.05, min(self.timeout, (until - asked) / 2))
            if wait_until is not None and wait_until > asked:
                silence = _SILENCE
            try:
                answer = node.ask(command, self._token, silence, wait_until)
                self._note(command.path, answer.instance)
                if self._members is not None:
                    self._members.note(node, answer.epoch)
                if answer.status not in _PASSING:
                    return answer
                last = answer.error()
                not_before[node.url] = time.monotonic() + answer.again
            except (OSError, http.client.HTTPException) as error:
                now = time.monotonic()
                if wait_until is not None and asked + _SILENCE <= now < wait_until and node.is_alive():
                    # It was kept waiting without a word: that is what was asked for.
                    until, failures = now + patience, 0
                    continue
                last = QuorateError("not-ready", f"{node.origin}: {error}", outcome="unknown" if command.key else None)
            self._first += 1
            failures += 1
            now = time.monotonic()
            left = until - now
            rest = min(not_before.get(node.url, 0.0) for node in nodes) - now
            # However long one was silent, each of the others is asked once; but what renews has no time beyond its own.
            if left <= max(pause, rest) and (wait_until is None or failures >= len(nodes)):
                raise last
            pause = min(pause * 2, _RETRY_MAX, max(left, _RETRY_MIN))
            if wait_until is not None and failures < len(nodes):
                until = max(until, time.monotonic() + _LAST_TRY)
            if stop is None:
                time.sleep(max(pause * (0.5 + secrets.randbelow(1000) / 2000), rest))
            else:
                stop.wait(max(pause, rest))

    def _here(self):
        return self._nodes if self._members is None else self._members.nodes

    def _note(self, path, instance):
        if instance is None:
            return
        name = _name_in(path)
        with self._noting:
            if len(self._instances) >= _INSTANCES_MAX:
                self._instances.pop(next(iter(self._instances)), None)
            self._instances[name] = max(instance, self._instances.get(name, 0))

    def _born(self, path):
        """The instance last seen of a name: a write that says it is applied at most once, however late it is repeated."""
        known = self._instances.get(path)
        nodes = self._here()
        for _ in nodes if known is None else ():
            node = nodes[self._first % len(nodes)]
            try:
                answer = node.ask(_Command("GET", path + "?consistency=stale", None, None), self._token, _INSTANCE_WITHIN)
                if answer.instance is not None:
                    self._note(path, answer.instance)
                    return answer.instance
            except (OSError, http.client.HTTPException):
                self._first += 1
        return known


class _Members:
    """Which nodes there are: those that were given, and those that a member tells of.

    A node that is learned is sent the token. So one is believed only if its own URL is a member's, and it names nothing that is
    worse protected than itself. In the first epoch the members are who they were when the URLs were given.
    """

    def __init__(self, seeds, token, cafile):
        self.nodes = self._seeds = seeds
        self._token = token
        self._cafile = cafile
        self._epoch, self._cluster, self._urls = 0, None, frozenset()
        self._not_before = {}
        self._asking = threading.Lock()

    def note(self, node, epoch):
        """What a node's answer said. Where that is a newer epoch it is asked for its members, in a thread."""
        if epoch is None or epoch <= self._epoch or time.monotonic() < self._not_before.get(node.url, 0.0):
            return
        if self._asking.acquire(blocking=False):
            threading.Thread(target=self._ask, args=(node,), name="quorate members", daemon=True).start()

    def _ask(self, node):
        try:
            status, said = node.get("/v1/status", self._token, _MEMBERS_WITHIN, _STATUS_MAX)
            if status == 200 and self._learn(node, _json(said)):
                return
            self._not_before[node.url] = time.monotonic() + _MEMBERS_AGAIN * (1 + secrets.randbelow(500) / 1000)
        except (OSError, http.client.HTTPException):
            self._not_before[node.url] = time.monotonic() + _MEMBERS_AGAIN
        finally:
            self._asking.release()

    def _learn(self, node, said):
        cluster, epoch, members = said.get("cluster"), said.get("epoch"), said.get("members")
        if not isinstance(cluster, str) or self._cluster not in (None, cluster):
            return False
        if type(epoch) is not int or not self._epoch < epoch <= _EPOCH_MAX:
            return False
        if not isinstance(members, list) or not 0 < len(members) <= _MEMBERS_MAX:
            return False
        urls = [member.get("url") if isinstance(member, dict) else None for member in members]
        if not all(_is_origin(url) for url in urls) or len(set(urls)) < len(urls):
            return False
        if node.url not in urls and node.url not in self._urls:
            return False
        named = [url for url in urls if _may_name(node.url, url)]
        known = {one.url: one for one in self.nodes}
        added = [known.get(url) or _Node(url, self._cafile) for url in named]
        self.nodes = self._seeds + [one for one in added if one not in self._seeds]
        self._epoch, self._cluster, self._urls = epoch, cluster, frozenset(named)
        return True


class _Command:
    """One request, the same bytes each time it is sent."""

    def __init__(self, method, path, body, key, born=None):
        self.method = method
        self.path = path
        self.body = body
        self.key = key
        self.born = born


class _Answer:
    def __init__(self, status, body, headers, sent):
        self.status = status
        self.body = body
        self.instance = _number(headers, "Consensus-Instance")
        self.epoch = _number(headers, "Quorate-Epoch")
        self.again = _again(body, headers)
        self.sent = sent

    @property
    def code(self):
        return self.body.get("code")

    def error(self, kind=QuorateError):
        detail = self.body.get("detail") or f"answered with status {self.status}"
        return kind(self.code or "internal", detail, self.status, self.body.get("outcome"))


class _Node:
    def __init__(self, url, cafile):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the URL of a node: {url!r}")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname
        self._port = parts.port
        self._base = parts.path.rstrip("/")
        self.url = self.origin + self._base
        self._tls = ssl.create_default_context(cafile=cafile) if parts.scheme == "https" else None

    def ask(self, command, token, silence, wait_until=None):
        """One try. Raises OSError or HTTPException where the node does not answer within ``silence`` seconds."""
        headers = {"Accept": "application/json", "Connection": "close"}
        body = command.body
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if command.key is not None:
            headers["Idempotency-Key"] = command.key
        if command.born is not None:
            headers["Quorate-Born"] = str(command.born)
        if wait_until is not None:
            left = max(0.0, wait_until - time.monotonic())
            body = {**body, "waitMs": int(min(left, _WAIT_MAX) * 1000)}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connect(silence)
        try:
            sent = _moment()
            connection.request(command.method, self._base + command.path, data, headers)
            response = connection.getresponse()
            return _Answer(response.status, _json(response.read()), response.headers, sent)
        finally:
            connection.close()

    def get(self, path, token, within, most):
        """The status and the body of a GET; an empty body where it is longer than ``most`` bytes. Raises as ``ask`` does."""
        headers = {"Connection": "close"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = self._connect(within)
        try:
            connection.request("GET", self._base + path, headers=headers)
            response = connection.getresponse()
            body = response.read(most + 1)
            return response.status, body if len(body) <= most else b""
        finally:
            connection.close()

    def is_alive(self):
        connection = self._connect(1.0)
        try:
            connection.request("GET", self._base + "/healthz", headers={"Connection": "close"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _connect(self, timeout):
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)


class _Bound:
    """How long something is surely held, from when its request was sent, on whichever clock says that more has gone by."""

    def __init__(self, answer):
        times = (answer.body.get("waitedMs"), answer.body.get("guaranteedForMs"))
        # What is compared with a time that is none is never over.
        if not all(type(ms) in (int, float) and 0 <= ms < float("inf") for ms in times):
            raise QuorateError("internal", "a grant without its times was answered, as by no node", answer.status)
        guaranteed = answer.body["guaranteedForMs"] / 1000
        margin = min(_MARGIN_MAX, guaranteed * _MARGIN_SHARE)
        self._since = answer.sent
        self._length = answer.body["waitedMs"] / 1000 + guaranteed - margin

    def left(self):
        """Seconds; 0 or less: it is over. A suspended machine's monotonic clock may stand still, so the wall's counts too."""
        now = _moment()
        return self._length - max(now[0] - self._since[0], now[1] - self._since[1])


class _Hold:
    """A grant that renews itself in a thread, until it is given back or lost."""

    def __init__(self, client, path, number, answer, lost):
        self._client = client
        self._path = f"{path}/{number}"
        self._lost = lost
        self._bound = _Bound(answer)
        self._is_over = threading.Event()
        # Set where a thread has to look again: it is over, or lasts less long than it did. One for each of them.
        self._changed, self._ended_sooner = threading.Event(), threading.Event()
        self._renewing, self._bounding = threading.Lock(), threading.Lock()
        self._is_known_lost = False
        # A child process does not hold what its parent does.
        self._pid = os.getpid()
        # Apart: a renewal may hang for longer than the hold lasts, where the system looks for a host or a node sends byte by byte.
        for run in (self._keep, self._watch):
            threading.Thread(target=run, name=f"quorate {path}", daemon=True).start()

    def left(self):
        if self._is_over.is_set() or self._is_known_lost or self._pid != os.getpid():
            return 0.0
        return max(0.0, self._bound.left())

    def renew(self, body):
        """Renews now. Raises ``LockNotOwnedError`` if it is lost, and ``QuorateError`` where no node answers in time."""
        # One at a time: an older answer must not undo what a newer one says.
        if not self._renewing.acquire(timeout=self.left()):
            raise LockNotOwnedError("lock-lost", "it is not held any more")
        try:
            if self.left() <= 0:
                raise LockNotOwnedError("lock-lost", "it is not held any more")
            until = time.monotonic() + min(self._client.timeout, self._bound.left())
            answer = self._client._ask(_Command("PUT", self._path, body, _key()), until)
            if answer.status in (404, 410):
                self._is_known_lost = True
                self._tell_lost()
                raise answer.error(LockNotOwnedError)
            if answer.status != 200:
                raise answer.error()
            bound = _Bound(answer)
            with self._bounding:
                # What was said to be lost stays so, though a node answers after all.
                if self.left() <= 0:
                    raise LockNotOwnedError("lock-lost", "it is not held any more")
                # With another ttl it may be over sooner than it was.
                if "ttlMs" in body or bound.left() > self._bound.left():
                    self._bound = bound
            self._wake()
        finally:
            self._renewing.release()

    def release(self):
        """Ends it here, then tells the nodes. Returns whether it was held until then; raises where no node answers."""
        if self._pid != os.getpid():
            return False
        was_held = self.left() > 0
        self.end()
        answer = self._client._ask(_Command("DELETE", self._path, None, _key()), time.monotonic() + self._client.timeout)
        if answer.status in (404, 410):
            return False
        if answer.status != 200:
            raise answer.error()
        return was_held and answer.body.get("outcome") == "released"

    def end(self):
        self._is_over.set()
        self._wake()

    def _wake(self):
        self._changed.set()
        self._ended_sooner.set()

    def _tell_lost(self):
        # What was given back is not lost, and the object may hold something else by now.
        if not self._is_over.is_set():
            self._lost.set()

    def _keep(self):
        """One failed renewal ends nothing: it is tried again for as long as the hold lasts."""
        wait = self._bound.left() / 3
        while not self._is_over.is_set():
            if self._changed.wait(max(0.0, min(wait, self._bound.left()))):
                self._changed.clear()
                wait = self._bound.left() / 3
                continue
            if self.left() <= 0:
                return self._tell_lost()
            try:
                self.renew({})
            except LockNotOwnedError:
                return self._tell_lost()
            except Exception:  # Whatever it is, as of a proxy that answers: the hold's time goes on.
                wait = min(1.0, max(0.02, self._bound.left() / 8))

    def _watch(self):
        """Says that it is lost as soon as its time is over, whatever becomes of the renewal."""
        while not self._is_over.is_set():
            with self._bounding:
                left = self.left()
                if left <= 0:
                    self._is_known_lost = True
                    return self._tell_lost()
            # Not for longer: a suspended machine's monotonic clock may have stood still meanwhile.
            self._ended_sooner.wait(min(left, _LOOK_EVERY))
            self._ended_sooner.clear()


class _Taker:
    """What locks and terms have alike: asked for, waited for in a fair queue, held, given back."""

    def __init__(self, client, path, number):
        self._client = client
        self._path = path
        # The field of an answer that has the fence.
        self._number = number
        self._hold = None
        self._asked = None
        self._cancelled = threading.Event()
        self.fence = None
        #: Set once it is lost: its time was over before it could be renewed, or a node said so.
        self.lost = threading.Event()

    def remaining(self):
        """Seconds for which it is surely held; 0.0 if it is not."""
        return 0.0 if self._hold is None else self._hold.left()

    def _take(self, body, wait):
        """Whether it was granted. ``wait``: seconds, or None for ever."""
        client, expired = self._client, 0
        # It is renewed while it is held, so nodes may tell of it before that is confirmed; those of 0.2.0 do not know the field.
        body = {**body, "renews": True}
        if self.remaining() > 0:
            raise LockError("held", "this object holds it already: make one for each hold")
        if self._hold is not None:
            self._hold.end()
        self._hold = self.fence = None
        self.lost.clear()
        wait_until = time.monotonic() + (float("inf") if wait is None else max(0.0, wait))
        while True:
            # On a name so hot that each instance told is too old when it is sent, the last try says none.
            born = client._born(self._path) if expired < _EXPIRED_MAX else None
            command = self._asked = _Command("POST", self._path, body, _key(), born)
            try:
                answer = self._ask(command, wait_until)
                if answer is not None and answer.code == "invalid-request" and answer.body.get("field") == "renews":
                    # The same request without it: a try of it at a newer node may wait, or be granted.
                    del body["renews"]
                    answer = self._ask(command, wait_until)
                code = None if answer is None else answer.code
                if answer is not None and answer.status == 200:
                    if _Bound(answer).left() > 0:
                        self.fence = int(answer.body[self._number])
                        self._hold = _Hold(client, self._path, answer.body[self._number], answer, self.lost)
                        if not self._cancelled.is_set():
                            return True
                        # Whoever cancelled may have ended it already.
                        return self._given_up()
                    self._leave(command)
                elif answer is not None and code not in ("held", "led", "cooling", "lost", "expired-command"):
                    raise answer.error()
            except BaseException:
                # It may wait, or be granted, and nobody would hear of it.
                self._leave(command)
                raise
            if answer is None:
                self._leave(command)
                return False
            expired += code == "expired-command"
            if code in ("held", "led", "cooling") and time.monotonic() >= wait_until:
                return False
            if self._cancelled.wait(0.0 if code in ("lost", "expired-command") else 0.1):
                return False

    def _ask(self, command, wait_until):
        until = time.monotonic() + self._client.timeout
        return self._client._ask(command, until, wait_until, self._cancelled)

    def _leave(self, command):
        """Out of the queue at once; what was granted all the same is given back. What cannot be told lapses by itself."""
        client, until = self._client, time.monotonic() + self._client.timeout
        try:
            place = _Command("DELETE", f"{self._path}/queue/{command.key}", None, _key())
            answer = client._ask(place, until)
            if answer.body.get("outcome") == "granted":
                client._ask(_Command("DELETE", f"{self._path}/{answer.body['fence']}", None, _key()), until)
        except QuorateError:
            pass

    def _given_up(self):
        try:
            self._give_back()
        except QuorateError:
            pass
        self.lost.clear()
        return False

    def _give_back(self, quietly=False):
        """Raises ``LockNotOwnedError`` if it was lost before. ``quietly``: not where no node answers; then it lapses by itself."""
        hold, self._hold = self._hold, None
        if hold is None:
            raise LockNotOwnedError("lock-lost", "it is not held")
        was_held = hold.left() > 0
        try:
            was_held = hold.release()
        except QuorateError:
            if not quietly or not was_held:
                raise
        if not was_held:
            self.lost.set()
            raise LockNotOwnedError("lock-lost", "it was lost before it was released")


class Lock(_Taker):
    """A lock in redis-py's manner. It renews itself until it is released, lost, or its process ends.

    ``fence`` is an int while it is held: send it with each write to what the lock guards. ``lost`` is an event. ``ttl`` is how
    long it outlives its last renewal. ``shared``: with other shared holders, but with no exclusive one. One object is one hold:
    give each thread its own.
    """

    def __init__(self, client, name, ttl, blocking, blocking_timeout, holder, shared, metadata):
        super().__init__(client, f"/v1/locks/{_quoted(name)}", "fence")
        self.name = name
        self._blocking = blocking
        self._blocking_timeout = blocking_timeout
        self._body = {"holder": holder or _label(), "ttlMs": int(ttl * 1000), "mode": "shared" if shared else "exclusive"}
        if metadata is not None:
            self._body["metadata"] = metadata

    def acquire(self, blocking=None, blocking_timeout=None):
        """True once it is held; False if others hold it (``blocking=False``) or do so for ``blocking_timeout`` seconds.

        Waits in a fair queue. Raises ``QuorateError`` where the cluster cannot tell, after the client's timeout.
        """
        blocking = self._blocking if blocking is None else blocking
        timeout = self._blocking_timeout if blocking_timeout is None else blocking_timeout
        return self._take(self._body, timeout if blocking else 0.0)

    def release(self):
        """Gives it back. Raises ``LockNotOwnedError`` if it was lost before: what was done under it may have met others."""
        self._give_back()

    def extend(self, ttl=None):
        """Renews it now, for ``ttl`` seconds where that is said. True; raises ``LockNotOwnedError`` if it is lost."""
        if self._hold is None:
            raise LockNotOwnedError("lock-lost", "it is not held")
        self._hold.renew({} if ttl is None else {"ttlMs": int(ttl * 1000)})
        return True

    def owned(self):
        """Whether this object surely holds it now, by this process's own clocks: nobody is asked."""
        return self.remaining() > 0

    def locked(self):
        """Whether anybody holds it. Asks the cluster."""
        return self._client.request("GET", self._path)["state"] == "held"

    def __enter__(self):
        if not self.acquire():
            raise LockError("held", f"{self.name} was not to be had in time")
        return self

    def __exit__(self, kind, error, trace):
        try:
            self._give_back(quietly=True)
        except QuorateError:
            # What the block raised says more.
            if kind is None:
                raise


class Election(_Taker):
    """An election in kazoo's manner: ``Election(client, "main", "host-1").run(work)`` calls ``work`` once it leads.

    While it leads ``term`` is an int that grows with each leader of this name: the fence of what leaders write. ``lost`` is
    an event: ``work`` ends when it is set. ``value``: what the leader says of itself, for all to read.
    """

    def __init__(self, client, name, candidate=None, value=None, ttl=_TTL):
        super().__init__(client, f"/v1/elections/{_quoted(name)}", "term")
        self.name = name
        self._body = {"candidate": candidate or _label(), "ttlMs": int(ttl * 1000)}
        if value is not None:
            self._body["value"] = value

    @property
    def term(self):
        return self.fence

    def run(self, func, *args, **kwargs):
        """Waits until it leads, calls ``func``, resigns, and returns what ``func`` returned; None if cancelled before.

        Raises what ``func`` raises, and ``LockNotOwnedError`` if the term was lost before ``func`` had ended.
        """
        if not callable(func):
            raise ValueError("the function to call as a leader is not callable")
        self._cancelled.clear()
        if not self._take(self._body, None):
            return None
        try:
            result = func(*args, **kwargs)
        except BaseException:
            try:
                self._give_back()
            except QuorateError:
                pass
            raise
        self._give_back(quietly=True)
        return result

    def cancel(self):
        """Ends the wait of a ``run`` in another thread, which then returns None. A term that is held goes on."""
        self._cancelled.set()
        # The node that keeps it waiting answers then.
        if self._hold is None and self._asked is not None:
            self._leave(self._asked)

    def proclaim(self, value):
        """Says something else of itself. Raises ``LockNotOwnedError`` where it does not lead any more."""
        if self._hold is None:
            raise LockNotOwnedError("lock-lost", "it does not lead")
        self._hold.renew({"value": value})

    def leader(self):
        """Who leads, as ``{"candidate", "term", "value"}``; None if nobody does. Asks the cluster."""
        leader = self._client.request("GET", self._path)["leader"]
        if leader is None:
            return None
        return {"candidate": leader["candidate"], "term": int(leader["term"]), "value": leader.get("value")}


def _moment():
    return time.monotonic(), time.time()


def _key():
    return secrets.token_hex(16)


def _label():
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def _quoted(name):
    # A path with such a segment is another path for whatever is in between.
    if name in ("", ".", ".."):
        raise ValueError("a name is neither empty nor . nor ..")
    return urllib.parse.quote(name, safe="")


def _name_in(path):
    return "/".join(path.split("?")[0].split("/")[:4])


def _json(data):
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}


def _is_origin(url):
    """Whether it is a host of http or https and no more: no credentials, no path."""
    if not isinstance(url, str) or len(url) > _URL_MAX:
        return False
    if not re.fullmatch(r"https?://([a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", url):
        return False
    try:
        host = urllib.parse.urlsplit(url).hostname
        # Port is looked at as it is read. What looks like a number is resolved like one: it has to be a whole address.
        return urllib.parse.urlsplit(url).port != 0 and (not re.search(r"(^|\.)[0-9][^.]*$", host) or bool(_address(host)))
    except ValueError:
        return False


def _address(host):
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _may_name(node, url):
    """Not in the clear where the node is not, nor beyond this machine; this machine's own ports only from this machine."""
    is_clear = node.startswith("http:")
    if _is_this_machine(url):
        return _is_this_machine(node) and (is_clear or url.startswith("https:"))
    return url.startswith("https:") or (is_clear and not _is_this_machine(node))


def _is_this_machine(url):
    host = urllib.parse.urlsplit(url).hostname
    address = _address(host)
    if address is None:
        return host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _number(headers, name):
    text = headers.get(name) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _again(body, headers):
    """Seconds until whoever answered may be asked again: a node says milliseconds, a proxy before it whole seconds; else 0.0."""
    said = body.get("retryAfterMs")
    if type(said) in (int, float) and 0 <= said < _AGAIN_MOST * 1000:
        return said / 1000
    seconds = _number(headers, "Retry-After")
    return 0.0 if seconds is None or seconds >= _AGAIN_MOST else float(seconds)
