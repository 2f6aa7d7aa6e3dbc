# SPDX-License-Identifier: BSD-2-Clause
"""A headless Chromium to look at a page with: the DevTools protocol over two pipes.

    with Browser() as browser:
        page = browser.open("file:///tmp/report.html")
        page.run("document.title")
        page.click("#filter"); page.type("int3"); page.key("Escape")

What the page says on its console, what it asks the network for and what goes wrong in it are kept
in page.console, page.requests and page.errors.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
               None)
_KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
         "ArrowDown": 40, "Tab": 9}


class Browser:
    """One process, with a profile of its own that goes when it goes."""

    def __init__(self, width=1500, height=950):
        self._profile = tempfile.TemporaryDirectory(prefix="trapline-browser-",
                                                    ignore_cleanup_errors=True)
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()

        def descriptors():
            # As the protocol has it: 3 to read from, 4 to write to. Through numbers that cannot
            # be in each other's way.
            high_read, high_write = os.dup(to_read), os.dup(to_write)
            os.dup2(high_read, 3)
            os.dup2(high_write, 4)

        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--remote-debugging-pipe", *sandbox, "--disable-gpu",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--no-default-browser-check", "--hide-scrollbars",
             f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=descriptors, start_new_session=True)
        os.close(to_read)
        os.close(to_write)
        self._buffer = b""
        self._number = 0
        self.handlers = {}
        self.size = width, height

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._to)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._from)
        self._profile.cleanup()

    def open(self, url):
        """A Page that has loaded `url`."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(self, session["sessionId"])
        page.goto(url)
        return page

    def send(self, method, params=None, session=None, timeout=30):
        """The result of a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self.wait(lambda m: m.get("id") == message["id"], method, timeout)

    def wait(self, wanted, what, timeout=30):
        """Read until wanted(message); its result or parameters."""
        end = time.monotonic() + timeout
        while True:
            for message in self._messages(end, what):
                handler = self.handlers.get(message.get("sessionId"))
                if handler and "method" in message:
                    handler(message["method"], message["params"])
                if wanted(message):
                    if "error" in message:
                        raise RuntimeError(f"{what}: {message['error']['message']}")
                    return message.get("result", message.get("params"))

    def _messages(self, end, what):
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser does not answer: {what}")
            data = os.read(self._from, 1 << 20)
            if not data:
                raise RuntimeError(f"the browser has gone: {what}")
            self._buffer += data
        one, _, self._buffer = self._buffer.partition(b"\0")
        yield json.loads(one)


class Page:
    """One tab."""

    def __init__(self, browser, session):
        self._browser, self._session = browser, session
        self.console, self.requests, self.errors = [], [], []
        browser.handlers[session] = self._event
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.size(*browser.size)

    def send(self, method, **params):
        return self._browser.send(method, params, self._session)

    def _event(self, method, params):
        if method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(a.get("value", a.get("description")))
                                         for a in params["args"]))
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def goto(self, url):
        """Load `url`; seconds until its load event was over."""
        start = time.monotonic()
        self.send("Page.navigate", url=url)
        self._browser.wait(lambda m: m.get("method") == "Page.loadEventFired"
                           and m.get("sessionId") == self._session, f"loading {url}", 60)
        return time.monotonic() - start

    def run(self, expression):
        """The value of a JavaScript expression; a promise is waited for."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def settle(self):
        """Until two frames have been drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def click(self, selector):
        """A real click in the middle of the first element that fits."""
        x, y = self.run(f"""(() => {{
            const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: "center", inline: "center"}});
            const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def type(self, text):
        self.send("Input.insertText", text=text)
        self.settle()

    def key(self, name):
        """One key, by its name or character."""
        params = {"key": name, "windowsVirtualKeyCode": _KEYS.get(name, ord(name[0].upper()))}
        if name not in _KEYS:
            params["text"] = name
        elif name == "Enter":
            params["text"] = "\r"
        self.send("Input.dispatchKeyEvent", type="keyDown", **params)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=name)
        self.settle()

    def size(self, width, height):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def dark(self, on):
        self.send("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])
