/**
 * Lasting connections between nodes: WebSockets at /paxos/line, beside the POSTs that do the same.
 *
 * A node dials a peer only to receive: what it sends to the peer, requests and answers alike, goes over the connection that
 * the peer dialled to it. The runtime's client waits some 40 ms before it sends a frame of 1 to 64 KB; its server does not.
 * So a request goes as a frame only while both connections with its peer stand. What ends one of them ends the requests under
 * way, none of which is sent again from here; the next go by POST, which also asks for what is missing. An answer that is late
 * ends none, as long as anything else comes: its peer is only slow.
 *
 * How they come about: a signed POST /paxos/line brings the acceptor the dialler's fresh number, and the dialler a ticket, the
 * acceptor's; a signed GET with the ticket becomes the WebSocket. Both numbers are in the key of the frames' MACs.
 */
import {
  LINE_DIAL_MS,
  LINE_REDIAL_MAX_MS,
  LINE_REDIAL_MIN_MS,
  LINE_WAITING_MAX_BYTES,
  PAXOS_BODY_MAX_BYTES,
} from "../limits.ts";
import { QuorateError } from "../errors.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { type Mailbox, PeerError } from "../ports.ts";
import { frameOf, frameText, HEAD_MAX_CHARS, type LineFrame } from "./line_frame.ts";
import { type Acquaintance, callPeer, type CallPorts, type Frames, type PeerAnswer } from "./peer_call.ts";
import { causeOfCode } from "./peer_cause.ts";
import { versionText } from "../version.ts";

export type LinesOptions = CallPorts & {
  /** Base url of each peer. */
  readonly urls: Readonly<Record<NodeId, string>>;
  /** Hex SHA-256 of this node's ClusterConfig. */
  readonly config: string;
  /** `new WebSocket(url, { headers })`. */
  readonly connect: (url: string, headers: Readonly<Record<string, string>>) => WebSocket;
  /** A fresh text that nobody can guess: 16 to 64 of `A-Z a-z 0-9 _ -`. */
  readonly newId: () => string;
  /** Incarnation and boot of this node, as one text: a connection is not for another life of it. */
  readonly life: () => string;
};

/** Answers a request of a peer: the body of the answer; rejects with QuorateError where it is refused. */
export type Serve = (from: NodeId, mailbox: Mailbox, body: string) => Promise<string>;

/** On a POST: its sender has no connection on which to send to the receiver. */
export const LINE_HEADER = "quorate-line";
export const LINE_PATH = "/paxos/line";
/** The fresh numbers that two nodes name a connection by. */
export const FRESH_TEXT = /^[A-Za-z0-9_-]{16,64}$/;

type Line = { readonly ticket: string; readonly socket: WebSocket; readonly frames: Frames; readonly sinceMs: number };
type Ticket = { readonly text: string; readonly frames: Frames; readonly untilMs: number };
type Asked = { readonly answer: (body: string) => void; readonly reject: (error: PeerError) => void };
/** A request under way. */
export type Asking = {
  readonly answer: Promise<PeerAnswer>;
  /** Its answer is late. Where nothing else has come meanwhile either, the next requests go by POST until something comes. */
  readonly doubt: () => void;
  /** Ends the wait for its answer, which rejects with the reason; timed out in silence it ends the connections. */
  readonly giveUp: (reason: PeerError) => void;
};
type Peer = Acquaintance & {
  /** The peer dialled it: what goes to the peer. */
  outbound: Line | null;
  /** This node dialled it: what comes from the peer. */
  inbound: Line | null;
  /** The newest one it was given and has not used. */
  invited: Ticket | null;
  dialling: AbortController | null;
  dialAtMs: number;
  redialMs: number;
  /** When a frame came last over a connection that this node dialled. */
  heardMs: number;
  /** Nothing came while an answer was due: it may be that nobody is there any more. */
  isSilent: boolean;
  readonly asked: Map<number, Asked>;
};

export class Lines {
  readonly #options: LinesOptions;
  readonly #peers: ReadonlyMap<NodeId, Peer>;
  #serve: Serve = () => Promise.reject(new QuorateError("not-ready", "this node is starting"));
  #asked = 0;
  #isClosed = false;

  constructor(options: LinesOptions) {
    this.#options = options;
    this.#peers = new Map(
      Object.entries(options.urls).map(([id, url]) => [id, {
        id,
        url: url.replace(/\/+$/, ""),
        to: null,
        count: 0,
        outbound: null,
        inbound: null,
        invited: null,
        dialling: null,
        dialAtMs: -Infinity,
        redialMs: LINE_REDIAL_MIN_MS,
        heardMs: -Infinity,
        isSilent: false,
        asked: new Map(),
      }]),
    );
  }

  /** From now on requests that come are answered so. */
  serve(serve: Serve): void {
    this.#serve = serve;
  }

  /** Whether both connections with this peer stand; requests go as frames then, as long as it is heard. */
  stands(to: NodeId): boolean {
    const { inbound, outbound } = this.#peers.get(to)!;
    return inbound !== null && outbound !== null;
  }

  /** Whether something has come from it since an answer was last late. */
  isHeard(to: NodeId): boolean {
    return !this.#peers.get(to)!.isSilent;
  }

  /**
   * Sends a request, whose answer rejects with PeerError, `unreachable` where a connection ended. Null: not sent, as no
   * connections stand, too much waits on one, or nothing comes over them.
   */
  ask(to: NodeId, mailbox: Mailbox, body: string): Asking | null {
    const peer = this.#peers.get(to)!;
    const { inbound, outbound } = peer;
    if (inbound === null || outbound === null || peer.isSilent || isFull(outbound)) return null;
    const { clock } = this.#options;
    const number = ++this.#asked;
    const startedAt = clock.now();
    const { promise: answer, resolve, reject } = Promise.withResolvers<PeerAnswer>();
    peer.asked.set(number, {
      answer: (text) => {
        peer.asked.delete(number);
        resolve({ text, rttMs: clock.now() - startedAt });
      },
      reject: (error) => {
        peer.asked.delete(number);
        reject(error);
      },
    });
    // No connection says by itself that nobody is there any more; by POST that comes out.
    const doubt = () => {
      if (peer.inbound === inbound && peer.heardMs < startedAt) peer.isSilent = true;
    };
    const giveUp = (reason: PeerError) => {
      const asked = peer.asked.get(number);
      if (asked === undefined) return;
      asked.reject(reason);
      if (reason.why === "timed-out" && peer.inbound === inbound && peer.heardMs < startedAt) this.#endBoth(peer);
    };
    send(outbound, { type: "ask", number, ticket: inbound.ticket, mailbox, body });
    return { answer, doubt, giveUp };
  }

  /** What a POST to the peer is to say of connections; where this node's own is missing, it is dialled. */
  wish(to: NodeId): Readonly<Record<string, string>> {
    const peer = this.#peers.get(to)!;
    if (peer.inbound === null) void this.#dial(peer);
    return peer.outbound === null ? { [LINE_HEADER]: "wanted" } : {};
  }

  /** A peer cannot send: the connection that this node takes for standing, if any, does not. */
  wanted(from: NodeId): void {
    const peer = this.#peers.get(from);
    if (peer === undefined) return;
    const { inbound } = peer;
    if (inbound !== null) {
      // The request may have left before this one stood.
      if (this.#options.clock.now() - inbound.sinceMs < LINE_DIAL_MS) return;
      this.#end(peer, inbound);
    }
    void this.#dial(peer);
  }

  /** The ticket for a peer that asks for a connection; an earlier one that it has not used is void. */
  invite(from: NodeId, framesOf: (ticket: string) => Frames): string {
    const text = this.#options.newId();
    const invited = { text, frames: framesOf(text), untilMs: this.#options.clock.now() + LINE_DIAL_MS };
    this.#peers.get(from)!.invited = invited;
    return text;
  }

  /** Whether `ticket` is good now; it is for nobody again. */
  redeem(from: NodeId, ticket: string | null): Ticket | null {
    const peer = this.#peers.get(from)!;
    const { invited } = peer;
    if (invited === null || invited.text !== ticket) return null;
    peer.invited = null;
    return invited.untilMs > this.#options.clock.now() ? invited : null;
  }

  /** The connection of who redeemed the ticket; the one before it ends. */
  accept(from: NodeId, { text, frames }: Ticket, socket: WebSocket): void {
    const peer = this.#peers.get(from)!;
    const line = { ticket: text, socket, frames, sinceMs: this.#options.clock.now() };
    socket.onopen = () => {
      if (this.#isClosed) return socket.close();
      if (peer.outbound !== null) this.#end(peer, peer.outbound);
      peer.outbound = line;
    };
    // Nothing comes on it: frames go one way.
    socket.onmessage = () => this.#end(peer, line);
    socket.onclose = socket.onerror = () => this.#end(peer, line);
  }

  /** Ends those that stand. New ones come about, where both nodes still know each other. */
  endAll(): void {
    for (const peer of this.#peers.values()) this.#endBoth(peer);
  }

  close(): void {
    this.#isClosed = true;
    for (const peer of this.#peers.values()) {
      peer.invited = null;
      peer.dialling?.abort();
      this.#endBoth(peer);
    }
  }

  async #dial(peer: Peer): Promise<void> {
    const { clock, newId, config, life, versions } = this.#options;
    if (this.#isClosed || peer.dialling !== null || clock.now() < peer.dialAtMs) return;
    const dialling = peer.dialling = new AbortController();
    const cancelDeadline = clock.after(LINE_DIAL_MS, () => dialling.abort());
    try {
      const nonce = newId();
      const lifeNow = life();
      // Frames have no heads: what the two say of themselves they say here, under the MAC of every wire.
      const body = JSON.stringify({ config, nonce, version: versionText(versions.own) });
      const { text } = await callPeer(this.#options, peer, LINE_PATH, body, dialling.signal);
      const { ticket, version } = JSON.parse(text) as { readonly ticket: string; readonly version?: unknown };
      if (!FRESH_TEXT.test(ticket)) return;
      versions.said(peer.id, version);
      const frames = this.#options.keys.frames({ acceptor: peer.id, nonce, ticket });
      await this.#connect(peer, ticket, frames, lifeNow, dialling.signal);
    } catch {
      // It goes without; why a peer is not there, the POSTs tell.
    } finally {
      cancelDeadline();
      peer.dialling = null;
      // One that ends at once is no better than one that never stood.
      peer.dialAtMs = clock.now() + peer.redialMs;
      peer.redialMs = Math.min(peer.redialMs * 2, LINE_REDIAL_MAX_MS);
    }
  }

  /** Resolves when it stands, or never will. */
  #connect(peer: Peer, ticket: string, frames: Frames, lifeThen: string, signal: AbortSignal): Promise<void> {
    const { clock, keys, connect, life, versions } = this.#options;
    const path = `${LINE_PATH}?ticket=${ticket}`;
    const wire = versions.wireTo(peer.id);
    const head = keys.sign({ peer: peer.id, to: peer.to, method: "GET", path, count: ++peer.count, body: "", wire });
    const socket = connect(peer.url.replace(/^http/, "ws") + path, head);
    const line = { ticket, socket, frames, sinceMs: clock.now() };
    return new Promise((resolve) => {
      signal.addEventListener("abort", () => socket.close());
      socket.onopen = () => {
        // Whoever closed meanwhile has closed this one too.
        if (!this.#isClosed) peer.inbound = line;
        resolve();
      };
      socket.onmessage = ({ data }) => {
        if (!(life() === lifeThen && this.#take(peer, line, data))) this.#end(peer, line);
      };
      socket.onclose = socket.onerror = () => {
        this.#end(peer, line);
        resolve();
      };
    });
  }

  /** False: it is not what the peer may have sent next, so nothing of this connection can be believed. */
  #take(peer: Peer, line: Line, data: unknown): boolean {
    if (peer.inbound !== line) return true;
    if (typeof data !== "string" || data.length > PAXOS_BODY_MAX_BYTES + 2 * HEAD_MAX_CHARS) return false;
    const text = line.frames.open(data);
    const frame = text === null ? null : frameOf(text);
    if (frame === null) return false;
    peer.heardMs = this.#options.clock.now();
    peer.isSilent = false;
    if (frame.type === "ask") void this.#answer(peer, frame);
    else {
      // It bears frames, so the next try after it need not wait.
      peer.redialMs = LINE_REDIAL_MIN_MS;
      // None: nobody waits for it any more.
      const asked = peer.asked.get(frame.number);
      if (frame.type === "answer") asked?.answer(frame.body);
      else asked?.reject(refused(peer.id, frame.code));
    }
    return true;
  }

  async #answer(peer: Peer, { number, ticket, mailbox, body }: LineFrame & { type: "ask" }): Promise<void> {
    const { outbound } = peer;
    // Numbers are those of one life of the peer: another one's request must not get this answer.
    if (outbound?.ticket !== ticket) return;
    let frame: LineFrame;
    try {
      frame = { type: "answer", number, body: await this.#serve(peer.id, mailbox, body) };
    } catch (error) {
      const code = error instanceof QuorateError ? error.code : "internal";
      frame = { type: "refusal", number, code, body: "" };
    }
    // The peer would wait for what is dropped. One that has ended meanwhile bears no answer, and neither does its successor.
    if (isFull(outbound)) this.#end(peer, outbound);
    else send(outbound, frame);
  }

  #endBoth(peer: Peer): void {
    for (const line of [peer.inbound, peer.outbound]) if (line !== null) this.#end(peer, line);
  }

  #end(peer: Peer, line: Line): void {
    line.socket.close();
    if (peer.inbound !== line && peer.outbound !== line) return;
    if (peer.inbound === line) peer.inbound = null;
    else peer.outbound = null;
    peer.isSilent = false;
    const ended = new PeerError(`the connection to ${peer.id} ended`, { why: "unreachable" });
    for (const { reject } of [...peer.asked.values()]) reject(ended);
  }
}

function refused(peer: NodeId, code: string): PeerError {
  return new PeerError(`${peer} answered ${code}`, { cause: { code }, why: causeOfCode(code) });
}

function isFull({ socket }: Line): boolean {
  return socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > LINE_WAITING_MAX_BYTES;
}

function send({ socket, frames }: Line, frame: LineFrame): void {
  socket.send(frames.seal(frameText(frame)));
}
