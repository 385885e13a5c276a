/** Reads an op that anybody may have written: null, or one of the known shapes with its fields in a fixed order. */
import { isDecimal } from "./fence.ts";
import type {
  Acquire,
  Campaign,
  Conditions,
  Delete,
  EndSession,
  Leave,
  Op,
  Put,
  Release,
  Renew,
  Take,
  Unbind,
} from "./op.ts";

/**
 * Types only. Ranges are checked where requests come in and may change from release to release,
 * but a decided op must mean the same on every node.
 */
export function readOp(op: unknown): Op | null {
  if (!isObject(op)) return null;
  const { type, fence, ttlMs, value, atMs, reason, holder, key, ask } = op;
  switch (type) {
    case "acquire":
      return readAcquire(op);
    case "take":
      return readTake(op);
    case "campaign":
      return readCampaign(op);
    case "renew":
      return readRenew(op);
    case "proclaim":
      if (!isDecimal(fence) || !isOptional(ttlMs, isPositive) || !isOptional(value, isText)) return null;
      return { type, fence, ...(ttlMs === undefined ? {} : { ttlMs }), ...(value === undefined ? {} : { value }) };
    case "release":
      return readRelease(op);
    case "force":
      return isText(reason) && isCount(atMs) ? { type, reason, atMs } : null;
    case "keep-places":
      return readKeepPlaces(op);
    case "leave":
      return readLeave(op);
    case "put":
      return readPut(op);
    case "delete":
      return readDelete(op);
    case "open":
      if (!isText(holder) || !isPositive(ttlMs) || !isOptional(ask, isText)) return null;
      return { type, holder, ttlMs, ...(ask === undefined ? {} : { ask }) };
    case "keep":
    case "close":
      return { type };
    case "bind":
      return isText(key) ? { type, key } : null;
    case "unbind":
      return readUnbind(op);
    case "end-session":
      return readEndSession(op);
    default:
      return null;
  }
}

function readRenew({ fence, ttlMs, answers, keeps }: Fields): Renew | null {
  if (!isDecimal(fence) || !isOptional(ttlMs, isPositive)) return null;
  return {
    type: "renew",
    fence,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(answers === true ? { answers } : {}),
    ...(keeps === true ? { keeps } : {}),
  };
}

function readRelease({ fence, by, atMs }: Fields): Release | null {
  if (!isDecimal(fence) || !isOptional(by, isText) || !isCount(atMs)) return null;
  return { type: "release", fence, ...(by === undefined ? {} : { by }), atMs };
}

function readLeave({ place, by, atMs }: Fields): Leave | null {
  if (!isText(place) || !isOptional(by, isText) || !isCount(atMs)) return null;
  return { type: "leave", place, ...(by === undefined ? {} : { by }), atMs };
}

function readAcquire(op: Fields): Acquire | null {
  const { holder, mode, ttlMs, lockDelayMs, metadata, set, session, ask, atMs } = op;
  const wait = readWait(op);
  if (!isText(holder) || (mode !== "exclusive" && mode !== "shared") || wait === null) return null;
  if (!isPositive(ttlMs) || !isCount(lockDelayMs) || !isCount(atMs)) return null;
  if (!isOptional(metadata, isText) || !isOptional(set, isText) || !isOptional(session, isText)) return null;
  if (!isOptional(ask, isText)) return null;
  return {
    type: "acquire",
    holder,
    mode,
    ttlMs,
    ...wait,
    lockDelayMs,
    ...(metadata === undefined ? {} : { metadata }),
    ...(set === undefined ? {} : { set }),
    ...(session === undefined ? {} : { session }),
    ...(ask === undefined ? {} : { ask }),
    atMs,
  };
}

function readTake(op: Fields): Take | null {
  const { limit, permits, holder, ttlMs, lockDelayMs, metadata, session, ask, atMs } = op;
  const wait = readWait(op);
  // More than there are could never be granted, and would hold up the queue for ever.
  if (!isPositive(limit) || !isPositive(permits) || permits > limit) return null;
  if (!isText(holder) || !isPositive(ttlMs) || !isCount(lockDelayMs) || !isCount(atMs) || wait === null) return null;
  if (!isOptional(metadata, isText) || !isOptional(session, isText) || !isOptional(ask, isText)) return null;
  return {
    type: "take",
    limit,
    permits,
    holder,
    ttlMs,
    ...wait,
    lockDelayMs,
    ...(metadata === undefined ? {} : { metadata }),
    ...(session === undefined ? {} : { session }),
    ...(ask === undefined ? {} : { ask }),
    atMs,
  };
}

function readCampaign(op: Fields): Campaign | null {
  const { candidate, value, ttlMs, session, ask, atMs } = op;
  const wait = readWait(op);
  if (!isText(candidate) || !isOptional(value, isText) || wait === null) return null;
  if (!isPositive(ttlMs) || !isOptional(session, isText) || !isCount(atMs) || !isOptional(ask, isText)) return null;
  return {
    type: "campaign",
    candidate,
    ...(value === undefined ? {} : { value }),
    ttlMs,
    ...wait,
    ...(session === undefined ? {} : { session }),
    ...(ask === undefined ? {} : { ask }),
    atMs,
  };
}

function readWait({ wait }: Fields): { readonly wait?: { readonly node: string } } | null {
  if (wait === undefined) return {};
  return isObject(wait) && isText(wait.node) ? { wait: { node: wait.node } } : null;
}

function readKeepPlaces(op: Fields): Op | null {
  const { places, adopt, atMs, forget } = op;
  if (!isTexts(places) || !isOptional(atMs, isCount) || !isOptional(forget, isCount)) return null;
  return {
    type: "keep-places",
    places,
    ...(adopt === true ? { adopt } : {}),
    ...(atMs === undefined ? {} : { atMs }),
    ...(forget === undefined ? {} : { forget }),
  };
}

function readPut(op: Fields): Put | null {
  const { bytes, contentType, ttlMs, session } = op;
  const conditions = readConditions(op);
  if (!isText(bytes) || !isText(contentType) || !isOptional(ttlMs, isPositive) || conditions === null) return null;
  // It lives by one of them.
  if (!isOptional(session, isText) || (ttlMs !== undefined && session !== undefined)) return null;
  return {
    type: "put",
    bytes,
    contentType,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(session === undefined ? {} : { session }),
    ...conditions,
  };
}

function readDelete(op: Fields): Delete | null {
  const conditions = readConditions(op);
  return conditions === null ? null : { type: "delete", ...conditions };
}

function readConditions({ ifMatch, ifNoneMatch, fence }: Fields): Conditions | null {
  if (!isOptional(ifMatch, isTexts) || !isOptional(ifNoneMatch, isTexts) || !isOptional(fence, isDecimal)) return null;
  return {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
    ...(fence === undefined ? {} : { fence }),
  };
}

function readUnbind({ names }: Fields): Unbind | null {
  return Array.isArray(names) && names.every(isBinding) ? { type: "unbind", names } : null;
}

function isBinding(value: unknown): value is readonly [string, number] {
  return Array.isArray(value) && value.length === 2 && isText(value[0]) && isCount(value[1]);
}

function readEndSession({ session, instance, how, atMs }: Fields): EndSession | null {
  if (!isText(session) || !isPositive(instance) || (how !== "closed" && how !== "lapsed") || !isCount(atMs)) {
    return null;
  }
  return { type: "end-session", session, instance, how, atMs };
}

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

function isOptional<T>(value: unknown, is: (value: unknown) => value is T): value is T | undefined {
  return value === undefined || is(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isPositive(value: unknown): value is number {
  return isCount(value) && value > 0;
}
