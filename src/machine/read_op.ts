/** Reads an op that anybody may have written: null, or one of the known shapes with its fields in a fixed order. */
import { isDecimal } from "./fence.ts";
import type { Acquire, Op } from "./op.ts";

/**
 * Types only. Ranges are checked where requests come in and may change from release to release,
 * but a decided op must mean the same on every node.
 */
export function readOp(op: unknown): Op | null {
  if (!isObject(op)) return null;
  const { type, fence, ttlMs, atMs, reason, place } = op;
  switch (type) {
    case "acquire":
      return readAcquire(op);
    case "renew":
      if (!isDecimal(fence) || (ttlMs !== undefined && !isPositive(ttlMs))) return null;
      return ttlMs === undefined ? { type, fence } : { type, fence, ttlMs };
    case "release":
      return isDecimal(fence) && isCount(atMs) ? { type, fence, atMs } : null;
    case "force":
      return typeof reason === "string" && isCount(atMs) ? { type, reason, atMs } : null;
    case "keep-places":
      return readKeepPlaces(op);
    case "leave":
      return typeof place === "string" && isCount(atMs) ? { type, place, atMs } : null;
    default:
      return null;
  }
}

function readAcquire(op: Fields): Acquire | null {
  const { holder, mode, ttlMs, wait, lockDelayMs, metadata, atMs } = op;
  if (typeof holder !== "string" || (mode !== "exclusive" && mode !== "shared")) return null;
  if (!isPositive(ttlMs) || !isCount(lockDelayMs) || !isCount(atMs)) return null;
  if (metadata !== undefined && typeof metadata !== "string") return null;
  const node = isObject(wait) ? wait.node : undefined;
  if (wait !== undefined && typeof node !== "string") return null;
  return {
    type: "acquire",
    holder,
    mode,
    ttlMs,
    ...(typeof node === "string" ? { wait: { node } } : {}),
    lockDelayMs,
    ...(metadata === undefined ? {} : { metadata }),
    atMs,
  };
}

function readKeepPlaces(op: Fields): Op | null {
  const { places, adopt, atMs } = op;
  if (!Array.isArray(places) || !places.every((place) => typeof place === "string")) return null;
  if (atMs !== undefined && !isCount(atMs)) return null;
  return {
    type: "keep-places",
    places,
    ...(adopt === true ? { adopt } : {}),
    ...(atMs === undefined ? {} : { atMs }),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isPositive(value: unknown): value is number {
  return isCount(value) && value > 0;
}
