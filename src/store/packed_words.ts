/**
 * What records say again and again: words, and the fields of objects. Where each stands is what a row says, so of one format of
 * rows nothing here may be moved or taken out, and nothing put in.
 */
import type { Ballot } from "../paxos/ballot.ts";

/** At most 64. */
export const WORDS: readonly string[] = [
  "",
  "local",
  "fast",
  "classic",
  "uncoordinated",
  "coordinated",
  "prepare",
  "open",
  "inclusive",
  "unused",
  "lock",
  "election",
  "semaphore",
  "register",
  "session",
  "released",
  "lapsed",
  "forced",
  "closed",
  "exclusive",
  "shared",
  "acquire",
  "take",
  "campaign",
  "proclaim",
  "renew",
  "release",
  "force",
  "leave",
  "keep-places",
  "put",
  "delete",
  "keep",
  "close",
  "bind",
  "unbind",
  "end-session",
  "text/plain",
  "text/plain;charset=UTF-8",
  "application/json",
  "application/octet-stream",
];

type Plain = string | number | boolean | null;
export type Field = {
  readonly name: string;
  /** What it is where nothing is said of it, undefined: it is not there; null: it is always there, and always said. */
  readonly rest: { readonly value: Plain | readonly Plain[] | undefined } | null;
};

const STANDING = [0, "", 0] satisfies Ballot;

const said = (name: string): Field => ({ name, rest: null });
const mostly = (name: string, value: Plain | readonly Plain[]): Field => ({ name, rest: { value } });
const maybe = (name: string): Field => ({ name, rest: { value: undefined } });

/** Fields of objects in the order in which they are written: a state is hashed as text. At most 32. */
export const SHAPES: readonly (readonly Field[])[] = [
  // Ballot part.
  [
    said("instance"),
    mostly("promised", STANDING),
    maybe("any"),
    mostly("vote", null),
    maybe("stopped"),
    maybe("live"),
    maybe("at"),
    maybe("writeId"),
  ],
  // State part.
  [mostly("epoch", 0), said("state"), maybe("stateHash"), mostly("decidedBy", null)],
  // Certificate.
  [said("instance"), mostly("ballot", STANDING), said("kind"), said("valueId"), said("acceptors")],
  // Vote.
  [mostly("ballot", STANDING), said("kind"), said("value")],
  // Value.
  [said("id"), said("proposer"), said("commands"), maybe("claims"), maybe("nextMode"), maybe("machine")],
  // Command.
  [said("subject"), said("id"), said("born"), said("op")],
  // Modes.
  [mostly("kind", "fast"), mostly("recovery", "coordinated"), said("coordinator")],
  [mostly("kind", "classic"), said("coordinator")],
  // State.
  [
    said("mode"),
    mostly("version", 3),
    said("kind"),
    said("revision"),
    mostly("lastFence", "0"),
    mostly("holders", []),
    mostly("queue", []),
    mostly("cooling", null),
    mostly("history", []),
    said("window"),
    mostly("evicted", -1),
    maybe("floors"),
    maybe("limit"),
    maybe("register"),
    maybe("session"),
    maybe("endedSessions"),
    maybe("chain"),
  ],
  // Item of the history.
  [
    said("fence"),
    said("holder"),
    said("subject"),
    said("fromMs"),
    said("toMs"),
    mostly("end", "released"),
    maybe("reason"),
    maybe("lastFence"),
  ],
  // Register and its value.
  [mostly("value", null), mostly("fence", "0")],
  [said("bytes"), said("contentType"), maybe("lease"), maybe("session")],
  // Session and its end.
  [
    said("subject"),
    said("holder"),
    said("ttlMs"),
    said("command"),
    maybe("ask"),
    said("by"),
    mostly("names", []),
    mostly("ended", null),
  ],
  [said("how"), said("instance")],
  // Hold.
  [
    said("fence"),
    said("command"),
    said("holder"),
    said("subject"),
    mostly("mode", "exclusive"),
    maybe("permits"),
    said("ttlMs"),
    mostly("lockDelayMs", 0),
    maybe("metadata"),
    maybe("session"),
    maybe("ask"),
    said("by"),
    mostly("unconfirmed", false),
    said("fromMs"),
  ],
];
