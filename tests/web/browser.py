"""A real browser, driven from here through bridge.mjs."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Browser:
    def __init__(self, modules, chromium):
        self.process = subprocess.Popen(
            ["node", HERE / "bridge.mjs", modules, chromium], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)

    def run(self, script, **args):
        """Runs JavaScript in bridge.mjs, beside the browser."""
        self.process.stdin.write(json.dumps({"run": script, "args": args}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the browser is gone: {self.process.poll()}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    # ---- on the page ------------------------------------------------------------

    def open(self, url, **arguments):
        """A fresh page that shares nothing with the last one; `width`, `height`, `scheme`."""
        self.expected = []
        self.run("open", url=url, **arguments)

    def log_in(self, service, path="", **arguments):
        self.open(f"{service.base_url}/{path}", **arguments)
        self.fill("#token", service.token)
        self.press("Enter")
        self.wait_live()

    def wait_live(self):
        self.wait("document.getElementById('connection').dataset.state === 'live'")

    def go(self, part):
        self.evaluate(f"location.hash = {json.dumps(part)}")

    def evaluate(self, expression):
        return self.run("return lib.evaluate(args.what)", what=expression)

    def wait(self, expression, timeout=60):
        """Until the expression, in the page, is true; returns what it is."""
        return self.run("return lib.wait(args.what, args.timeout * 1000)", what=expression,
                        timeout=timeout)

    def click(self, selector):
        self.run("await page.click(args.at)", at=selector)

    def fill(self, selector, text):
        self.run("await page.fill(args.at, args.text)", at=selector, text=text)

    def choose(self, selector, value):
        self.run("await page.selectOption(args.at, args.value)", at=selector, value=value)

    def press(self, *keys):
        self.run("for (const key of args.keys) { await page.keyboard.press(key); }",
                 keys=list(keys))

    def type(self, text):
        self.run("await page.keyboard.type(args.text)", text=text)

    def text(self, selector):
        return self.run("return page.innerText(args.at)", at=selector)

    def has_text(self, selector, text, timeout=60):
        """Waits for an element that can be seen and has this text in it."""
        self.run("""await page.locator(args.at).filter({hasText: args.text, visible: true})
                        .first().waitFor({timeout: args.timeout * 1000})""",
                 at=selector, text=text, timeout=timeout)

    def count(self, selector):
        return self.run("return page.locator(args.at).count()", at=selector)

    def focused(self):
        """The id, or else the name, of what has the focus."""
        return self.evaluate("""(() => { const at = document.activeElement;
            return at.id || at.getAttribute("aria-label") || at.textContent.trim(); })()""")

    def said(self):
        """What the console got that it should not, and errors of scripts."""
        return self.run("return lib.said")

    def violations(self):
        """What axe-core finds wrong on the page, by WCAG 2 A and AA."""
        return self.run("""
            await lib.evaluate(`${lib.axe}; null`);
            const found = await lib.evaluate(`axe.run(document,
                {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})`);
            return found.violations.flatMap((rule) => rule.nodes.map((node) =>
                `${rule.id}: ${node.target} ${node.failureSummary}`));""")
