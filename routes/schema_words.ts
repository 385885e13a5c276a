/** A JSON schema in the words of people who write a request by hand. */

export type Schema = {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly additionalProperties?: boolean | Schema;
  readonly description?: string;
  readonly examples?: readonly unknown[];
};

const SHAPES = "#/components/schemas/";

/** The name of the shape that a schema stands for; undefined: it says itself what it is. */
export function shapeIn({ $ref }: Schema): string | undefined {
  return $ref?.startsWith(SHAPES) ? $ref.slice(SHAPES.length) : undefined;
}

/** Undefined if it has none. */
export function exampleOf(schema: Schema | undefined): unknown {
  return schema?.examples?.[0];
}

/** A shape that it names is written `#Name`. */
export function typeOf(schema: Schema): string {
  const shape = shapeIn(schema);
  if (shape !== undefined) return `#${shape}`;
  const { anyOf, enum: values, type, default: assumed } = schema;
  const otherwise = assumed === undefined ? "" : `, else ${JSON.stringify(assumed)}`;
  if (anyOf !== undefined) return anyOf.map(typeOf).join(" or ") + otherwise;
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(" or ") + otherwise;
  const types = type === undefined ? [] : Array.isArray(type) ? type as readonly string[] : [type as string];
  if (types.length === 0) return "anything";
  return types.map((one) => oneType(one, schema)).join(" or ") + otherwise;
}

function oneType(type: string, schema: Schema): string {
  const { items, additionalProperties, properties, minimum, maximum } = schema;
  // A description says it better.
  const pattern = schema.description === undefined ? schema.pattern : undefined;
  switch (type) {
    case "integer":
      return `a whole number${between(minimum, maximum, "")}`;
    case "number":
      return `a number${between(minimum, maximum, "")}`;
    case "string":
      return `a text${between(schema.minLength || undefined, schema.maxLength, " bytes")}${
        pattern === undefined ? "" : ` that matches ${pattern}`
      }`;
    case "array":
      return `a list${between(schema.minItems || undefined, schema.maxItems, " items")} of ${typeOf(items ?? {})}`;
    case "object":
      if (properties !== undefined) return `{ ${Object.entries(properties).map(field).join(", ")} }`;
      return typeof additionalProperties === "object" ? `by name, ${typeOf(additionalProperties)}` : "an object";
    case "null":
      return "null";
    default:
      return type;
  }

  function field([name, one]: [string, Schema]): string {
    return `${name}${schema.required?.includes(name) ? "" : "?"}: ${typeOf(one)}`;
  }
}

function between(least: number | undefined, most: number | undefined, unit: string): string {
  if (least === undefined && most === undefined) return "";
  if (least === undefined) return ` of up to ${grouped(most!)}${unit}`;
  return most === undefined
    ? ` of at least ${grouped(least)}${unit}`
    : ` of ${grouped(least)} to ${grouped(most)}${unit}`;
}

function grouped(number: number): string {
  return Math.abs(number) > Number.MAX_SAFE_INTEGER / 2 ? `${number}` : number.toLocaleString("en-US");
}
