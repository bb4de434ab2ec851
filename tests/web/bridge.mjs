// Runs in a browser what comes over standard input: a line is {"run": JavaScript,
// "args": …}, the function's body with `page`, `context`, `browser`, `lib` and `args`;
// the answer is {"value": …} or {"error": …}.
//
// usage: node bridge.mjs DIRECTORY-OF-NODE_MODULES CHROMIUM

import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {createInterface} from "node:readline";

const [, , modules, executablePath] = process.argv;
const require = createRequire(`${modules}/package.json`);
const {chromium} = require("playwright-core");
const browser = await chromium.launch({executablePath, args: ["--disable-dev-shm-usage",
  ...process.getuid() === 0 ? ["--no-sandbox"] : []]});

const lib = {
  axe: readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"),
  said: [], // what the pages' consoles got, and errors
  elsewhere: [], // requests to others than the service
  // A page of its own, which shares nothing with another one.
  async open({url, width = 1200, height = 900, scheme = "light"}) {
    const context = await browser.newContext({viewport: {width, height}, colorScheme: scheme,
      reducedMotion: "reduce"});
    context.setDefaultTimeout(60000);
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) {
        lib.said.push(`${message.text()} ${message.location().url}`);
      }
    });
    context.on("request", (request) => {
      const asked = new URL(request.url());
      if (asked.origin !== new URL(url).origin && asked.protocol !== "data:") {
        lib.elsewhere.push(request.url());
      }
    });
    page.on("pageerror", (error) => lib.said.push(`thrown: ${error.stack}`));
    await page.goto(url);
    this.session = await context.newCDPSession(page);
    return {context, page};
  },
  // Playwright's own evaluating of text uses eval(), which the page's policy forbids.
  async evaluate(expression) {
    const {result, exceptionDetails: wrong} = await this.session.send("Runtime.evaluate",
      {expression, returnByValue: true, awaitPromise: true});
    if (wrong) {
      throw new Error(wrong.exception?.description ?? wrong.text);
    }
    return result.value;
  },
  // Between two pages there is nothing to evaluate it in; that is no more than "not yet".
  async wait(expression, timeout) {
    const deadline = Date.now() + timeout;
    for (;;) {
      let value;
      try {
        value = await this.evaluate(expression);
      } catch (error) {
        value = false;
        this.why = error.message;
      }
      if (value) {
        return value;
      }
      if (Date.now() > deadline) {
        throw new Error(`not within ${timeout} ms: ${expression} ${this.why ?? ""}`);
      }
      await new Promise((done) => {
        setTimeout(done, 25);
      });
    }
  },
};
let open = {};

const AsyncFunction = (async () => {}).constructor;
for await (const line of createInterface({input: process.stdin})) {
  const {run, args} = JSON.parse(line);
  let answer;
  try {
    if (run === "open") {
      await open.context?.close();
      lib.said = [];
      lib.elsewhere = [];
      open = await lib.open(args);
      answer = {value: null};
    } else {
      const call = new AsyncFunction("page", "context", "browser", "lib", "args", run);
      answer = {value: await call(open.page, open.context, browser, lib, args) ?? null};
    }
  } catch (error) {
    answer = {error: String(error.stack ?? error)};
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
