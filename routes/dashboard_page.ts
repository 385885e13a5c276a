/** The dashboard's one page: what is there before its module has asked anything, the same for everybody. */
import { html, raw } from "hono/html";

/** What of the node the page has to know before it asks: what it is refused is a line in its console. */
export type DashboardFacts = {
  /** Tokens are configured. */
  readonly tokens: boolean;
  /** There is a /v1/trace. */
  readonly trace: boolean;
  /** There is a /metrics. */
  readonly metrics: boolean;
};

const PAGES: readonly (readonly [place: string, title: string])[] = [
  ["", "Overview"],
  ["locks", "Locks"],
  ["elections", "Elections"],
  ["semaphores", "Semaphores"],
  ["kv", "Registers"],
  ["sessions", "Sessions"],
];

/** @param style in the page itself, so that the first answer can be painted; the policy names it by its digest */
export function dashboardPage(facts: DashboardFacts, style: string, modules: readonly string[]): string {
  const told = Object.entries(facts).flatMap(([fact, isSo]) => isSo ? [`data-${fact}`] : []).join(" ");
  const links = PAGES.map(([place, title]) => html`<a href="#/${place}">${title}</a>`);
  const preloads = modules.map((module) => html`<link rel="modulepreload" href="${module}">`);
  const page = html`
    <!DOCTYPE html>
    <html lang="en" ${told}>
      <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <meta name="referrer" content="no-referrer">
    <title>Quorate</title>
    <link rel="icon" type="image/svg+xml" href="/dashboard/icon.svg">
    ${preloads}
    <style>${raw(style)}</style>
    <script type="module" src="/dashboard/start.js"></script>
      </head>
      <body>
        <a id="skip" href="#page">Skip to the page</a>
        <header>
          <b>Quorate</b>
          <nav aria-label="Pages">${links}</nav>
          <a class="docs" href="/docs">API</a>
          <button id="forget" type="button" hidden>Forget the token</button>
        </header>
        <form id="token" hidden>
          <p id="token-why"></p>
          <label for="token-text">Token</label>
          <input id="token-text" type="password" autocomplete="off" spellcheck="false" required>
          <button type="submit">Use it in this tab</button>
          <p class="note">It is kept until this tab is closed, and sent to this node alone.</p>
        </form>
        <main id="page" tabindex="-1">
          <p>Loading…</p>
        </main>
        <div id="announced" role="status"></div>
        <noscript><p>This page needs JavaScript. What it shows is under <a href="/docs">/v1</a>, for curl too.</p></noscript>
      </body>
    </html>
  `;
  return `${page}`;
}

/** What a browser is told of any other path. */
export const NO_PAGE = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>No such page · Quorate</title>
</head>
<body>
<h1>No such page</h1>
<p>There is <a href="/">the dashboard</a> and <a href="/docs">the API</a>.</p>
</body>
</html>
`;
