/**
 * The part of @std/assert that this project uses, over node:assert, so that tests run where JSR is out of reach.
 * Deleting the `links` line of deno.json gives the real package; the names and arguments are the same.
 */
import nodeAssert from "node:assert";

type ErrorClass<E> = new (...args: never[]) => E;

export const AssertionError = nodeAssert.AssertionError;

export function assert(value: unknown, message?: string): asserts value {
  nodeAssert.ok(value, message);
}

export function assertFalse(value: unknown, message?: string): void {
  nodeAssert.ok(!value, message);
}

export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.deepStrictEqual(actual, expected, message);
}

export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  nodeAssert.notDeepStrictEqual(actual, expected, message);
}

export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T {
  nodeAssert.strictEqual(actual, expected, message);
}

export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T> {
  nodeAssert.ok(actual !== undefined && actual !== null, message);
}

export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  nodeAssert.match(actual, expected, message);
}

export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  nodeAssert.ok(actual.includes(expected), message ?? `${JSON.stringify(actual)} does not include ${expected}`);
}

export function assertGreater<T>(actual: T, low: T, message?: string): void {
  nodeAssert.ok(actual > low, message ?? `${actual} is not greater than ${low}`);
}

export function assertGreaterOrEqual<T>(actual: T, low: T, message?: string): void {
  nodeAssert.ok(actual >= low, message ?? `${actual} is less than ${low}`);
}

export function assertLessOrEqual<T>(actual: T, high: T, message?: string): void {
  nodeAssert.ok(actual <= high, message ?? `${actual} is greater than ${high}`);
}

export function assertThrows<E extends Error = Error>(
  run: () => unknown,
  kind?: ErrorClass<E>,
  includes?: string,
  message?: string,
): E {
  try {
    run();
  } catch (error) {
    return checked(error, kind, includes, message);
  }
  throw new AssertionError({ message: message ?? "expected a throw" });
}

export async function assertRejects<E extends Error = Error>(
  run: () => PromiseLike<unknown>,
  kind?: ErrorClass<E>,
  includes?: string,
  message?: string,
): Promise<E> {
  try {
    await run();
  } catch (error) {
    return checked(error, kind, includes, message);
  }
  throw new AssertionError({ message: message ?? "expected a rejection" });
}

export function fail(message?: string): never {
  nodeAssert.fail(message);
}

function checked<E extends Error>(error: unknown, kind?: ErrorClass<E>, includes?: string, message?: string): E {
  nodeAssert.ok(error instanceof (kind ?? Error), message ?? `threw ${error}, not ${kind?.name ?? "Error"}`);
  if (includes !== undefined) assertStringIncludes((error as Error).message, includes, message);
  return error as E;
}
