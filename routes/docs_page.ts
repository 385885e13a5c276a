/** The document as one page of plain HTML: no script, no font, nothing that would have to be fetched. */
import type { Media, OpenApi, Operation, Parameter } from "./document.ts";
import { exampleOf, type Schema, shapeIn, typeOf } from "./schema_words.ts";

export function docsPage({ info, paths, components, tags = [] }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation }))
  );
  const { schemas } = components;
  const title = `${info.title} ${info.version}`;
  const section = ({ name, description }: { readonly name: string; readonly description: string }) => {
    const own = operations.filter(({ operation }) => (operation.tags ?? [NO_SECTION.name]).includes(name));
    if (own.length === 0) return "";
    return `<h2 id="section-${text(name)}">${text(name)}</h2>
<p>${prose(description)}</p>
${own.map(({ path, method, operation }) => operationHtml(path, method, operation, schemas)).join("\n")}`;
  };
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${text(title)}</h1>
<p>${prose(info.description)} The same for machines: <a href="/openapi.json">/openapi.json</a></p>
${[...tags, NO_SECTION].map(section).join("\n")}
<h2 id="shapes">Shapes</h2>
${Object.entries(schemas).map(([name, schema]) => shapeHtml(name, schema)).join("\n")}
<h2 id="errors">Errors</h2>
${Object.entries(components["examples"] ?? {}).map(([code, example]) => errorHtml(code, example)).join("\n")}
</body>
</html>
`;
}

/** Operations that name none. */
const NO_SECTION = { name: "Others", description: "" };

const STYLE = `
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
code, pre, summary { font-family: ui-monospace, monospace; font-size: 14px }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: 4px }
details { border-bottom: 1px solid #8883; padding: .3rem 0 }
summary { cursor: pointer }
summary b { display: inline-block; min-width: 4.5rem }
summary span { font-family: system-ui, sans-serif; opacity: .75 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
`;

type Schemas = Readonly<Record<string, object>>;

function operationHtml(path: string, method: string, operation: Operation, schemas: Schemas): string {
  const { summary = "", parameters = [], requestBody, responses } = operation;
  const rows = parameters.map(parameterHtml).join("");
  return `<details>
<summary><b>${text(method)}</b> ${text(path)} <span>${prose(summary)}</span></summary>
<p>${text(needed(operation))}</p>
${rows === "" ? "" : `<table><tr><th>parameter</th><th>in</th><th>is</th><th></th></tr>${rows}</table>`}
${requestBody === undefined ? "" : `<h4>Body${requestBody.required ? "" : ", may be left out"}</h4>`}
${contentHtml(requestBody?.content, schemas)}
${
    Object.entries(responses).map(([status, response]) =>
      `<h4>${text(status)} ${text(response["x-codes"] === undefined ? response.description : "")}</h4>
${response["x-codes"] === undefined ? contentHtml(response.content, schemas) : codesHtml(response["x-codes"])}`
    ).join("\n")
  }
</details>`;
}

function needed(operation: Operation): string {
  const { security } = operation;
  if (security?.length === 0) return "Needs no credential.";
  const scopes = (security ?? []).flatMap(({ bearer = [] }) => bearer);
  if (scopes.length === 0) return "Needs any known token.";
  const how = operation["x-filtered-by-scope"] === true ? ", and shows only what it covers" : " for the name";
  return `Needs the scope ${scopes.join(", ")}${how}.`;
}

function parameterHtml({ name, in: place, required, description = "", schema }: Parameter): string {
  const type = typeHtml(description === "" ? schema : { ...schema, description });
  return `<tr><td><code>${text(name)}</code></td><td>${text(place)}</td><td>${
    required ? "" : "optional "
  }${type}</td><td>${text(description)}</td></tr>`;
}

function contentHtml(content: Readonly<Record<string, Media>> = {}, schemas: Schemas): string {
  return Object.entries(content).map(([type, { schema }]) => {
    const shape = shapeIn(schema);
    const example = shape === undefined ? undefined : exampleOf(schemas[shape]);
    return `<p><code>${text(type)}</code>: ${typeHtml(schema)}</p>${example === undefined ? "" : json(example)}`;
  }).join("");
}

/** In words, each shape that it names as a link to it. */
function typeHtml(schema: Schema): string {
  return text(typeOf(schema)).replaceAll(/#([A-Za-z]+)/g, (_, name) => `<a href="#shape-${name}">${name}</a>`);
}

function codesHtml(codes: readonly string[]): string {
  return `<p>${codes.map((code) => `<a href="#error-${text(code)}"><code>${text(code)}</code></a>`).join(", ")}</p>`;
}

function shapeHtml(name: string, schema: Schema): string {
  const example = exampleOf(schema);
  return `<details id="shape-${text(name)}"><summary>${text(name)}</summary>
${schema.properties === undefined ? `<p>${typeHtml(schema)}</p>` : fieldsHtml(schema)}
${example === undefined ? "" : json(example)}</details>`;
}

function fieldsHtml({ properties = {}, required = [] }: Schema): string {
  const rows = Object.entries(properties).map(([name, field]) =>
    `<tr><td><code>${text(name)}</code></td><td>${required.includes(name) ? "" : "optional "}${
      typeHtml(field)
    }</td><td>${text(field.description ?? "")}</td></tr>`
  );
  return `<table><tr><th>field</th><th>is</th><th></th></tr>${rows.join("")}</table>`;
}

function errorHtml(code: string, example: { readonly value?: { readonly title?: string; readonly status?: number } }) {
  const { title = "", status = "" } = example.value ?? {};
  return `<details id="error-${text(code)}"><summary><b>${status}</b> ${text(code)} <span>${
    text(title)
  }</span></summary>
${json(example.value ?? {})}</details>`;
}

function json(value: unknown): string {
  return `<pre>${text(JSON.stringify(value, null, 2))}</pre>`;
}

/** What stands between backticks is code. */
function prose(plain: string): string {
  return text(plain).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
}

function text(plain: string): string {
  return plain.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
