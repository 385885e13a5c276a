/** The document as one page of plain HTML: no script, no font, nothing that would have to be fetched. */
import type { Media, OpenApi, Operation, Parameter } from "./document.ts";

export function docsPage({ info, paths, components }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation }))
  );
  const title = `${info.title} ${info.version}`;
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
<p>${text(info.description)} The same for machines: <a href="/openapi.json">/openapi.json</a></p>
<h2 id="requests">Requests</h2>
${operations.map(({ path, method, operation }) => operationHtml(path, method, operation)).join("\n")}
<h2 id="shapes">Shapes</h2>
${Object.entries(components.schemas).map(([name, schema]) => shapeHtml(name, schema)).join("\n")}
<h2 id="errors">Errors</h2>
${Object.entries(components["examples"] ?? {}).map(([code, example]) => errorHtml(code, example)).join("\n")}
</body>
</html>
`;
}

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

function operationHtml(path: string, method: string, operation: Operation): string {
  const { summary = "", parameters = [], requestBody, responses } = operation;
  const rows = parameters.map(parameterHtml).join("");
  return `<details>
<summary><b>${text(method)}</b> ${text(path)} <span>${text(summary)}</span></summary>
<p>${text(needed(operation))}</p>
${rows === "" ? "" : `<table><tr><th>parameter</th><th>in</th><th>is</th><th></th></tr>${rows}</table>`}
${requestBody === undefined ? "" : `<h4>Body${requestBody.required ? "" : ", may be left out"}</h4>`}
${contentHtml(requestBody?.content)}
${
    Object.entries(responses).map(([status, response]) =>
      `<h4>${text(status)} ${text(response["x-codes"] === undefined ? response.description : "")}</h4>
${response["x-codes"] === undefined ? contentHtml(response.content) : codesHtml(response["x-codes"])}`
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
  // Said once, beside it.
  const { description: _, ...rest } = schema;
  const is = `${required ? "" : "optional "}${JSON.stringify(rest)}`;
  return `<tr><td><code>${text(name)}</code></td><td>${text(place)}</td><td><code>${text(is)}</code></td><td>${
    text(description)
  }</td></tr>`;
}

function contentHtml(content: Readonly<Record<string, Media>> = {}): string {
  return Object.entries(content).map(([type, { schema }]) => `<p><code>${text(type)}</code></p>${json(schema)}`).join(
    "",
  );
}

function codesHtml(codes: readonly string[]): string {
  return `<p>${codes.map((code) => `<a href="#error-${text(code)}"><code>${text(code)}</code></a>`).join(", ")}</p>`;
}

function shapeHtml(name: string, schema: object): string {
  return `<details id="shape-${text(name)}"><summary>${text(name)}</summary>${json(schema)}</details>`;
}

function errorHtml(code: string, example: { readonly value?: { readonly title?: string; readonly status?: number } }) {
  const { title = "", status = "" } = example.value ?? {};
  return `<details id="error-${text(code)}"><summary><b>${status}</b> ${text(code)} <span>${
    text(title)
  }</span></summary>
${json(example.value ?? {})}</details>`;
}

/** With every reference to a shape as a link to it. */
function json(value: object): string {
  const linked = text(JSON.stringify(value, null, 2)).replaceAll(
    /#\/components\/schemas\/([A-Za-z]+)/g,
    (_, name) => `<a href="#shape-${name}">${name}</a>`,
  );
  return `<pre>${linked}</pre>`;
}

function text(plain: string): string {
  return plain.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
