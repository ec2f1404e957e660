"""A headless Chromium, spoken to by its debugging protocol: what a person sees of a page, without scripts.

Debian's chromium-headless-shell or chromium; where there is neither, Browser.missing() says so. Ended by its pid.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import aiohttp

NAMES = ("chromium-headless-shell", "chromium")


class Browser:
    @staticmethod
    def program():
        named = os.environ.get("CHROMIUM")
        return named if named else next((path for path in map(shutil.which, NAMES) if path), None)

    @classmethod
    def missing(cls):
        """None, or why there is no browser."""
        return None if cls.program() else "no headless Chromium: the Debian package chromium-headless-shell is not installed"

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="cosell-browser-")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
                   "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--remote-debugging-port=0", "--user-data-dir=" + self.profile]
        self.process = subprocess.Popen([self.program(), *options, "about:blank"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        self.loop = asyncio.new_event_loop()
        self.number = 0
        self.events = []
        self.loop.run_until_complete(self._connect(self._page()))
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.call(domain + ".enable")

    def _page(self):
        """The debugging address of the one page."""
        file, deadline = os.path.join(self.profile, "DevToolsActivePort"), time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with open(file) as lines:
                    port = int(lines.readline())
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open("http://127.0.0.1:%d/json/list" % port, timeout=5) as reply:
                    return next(target["webSocketDebuggerUrl"] for target in json.load(reply) if target["type"] == "page")
            except (OSError, ValueError, StopIteration):
                time.sleep(0.05)
        raise AssertionError("the browser does not answer")

    async def _connect(self, address):
        self.session = aiohttp.ClientSession()
        self.socket = await self.session.ws_connect(address, max_msg_size=0)

    async def _receive(self, wanted, deadline):
        """Reads until wanted(message) says something."""
        while True:
            message = json.loads((await asyncio.wait_for(self.socket.receive(), max(0.1, deadline - time.monotonic()))).data)
            self.events.append(message)
            found = wanted(message)
            if found is not None:
                return found

    async def _call(self, method, parameters, deadline):
        self.number += 1
        number = self.number
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await self._receive(lambda message: message if message.get("id") == number else None, deadline)
        assert "error" not in answer, "%s: %s" % (method, answer["error"])
        return answer["result"]

    def call(self, method, wait=20, **parameters):
        return self.loop.run_until_complete(self._call(method, parameters, time.monotonic() + wait))

    # What tests do

    def scripts(self, on):
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def sign_in(self, user, password):
        token = base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
        self.call("Network.setExtraHTTPHeaders", headers={"Authorization": "Basic " + token})

    def look(self, width=1200, height=900, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def wait_loaded(self, begin, wait=20):
        deadline = time.monotonic() + wait
        if not any(event.get("method") == "Page.loadEventFired" for event in self.events[begin:]):
            self.loop.run_until_complete(self._receive(lambda m: True if m.get("method") == "Page.loadEventFired" else None, deadline))

    def go(self, url):
        begin = len(self.events)
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self.wait_loaded(begin)
        return self

    def evaluate(self, expression):
        """By the debugger, which may where the page's own scripts may not."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self):
        return self.evaluate("document.body.innerText")

    def url(self):
        return self.evaluate("location.href")

    def press(self, expression):
        """Clicks where this element is, as a person would, and waits for the page that comes."""
        place = self.evaluate("(() => { const e = %s; e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
                              " return [r.x + r.width / 2, r.y + r.height / 2]; })()" % expression)
        begin = len(self.events)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
        self.wait_loaded(begin)

    def type_into(self, selector, text):
        self.evaluate("document.querySelector(%s).focus()" % json.dumps(selector))
        self.call("Input.insertText", text=text)

    def enter(self):
        begin = len(self.events)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r" if kind == "keyDown" else "")
        self.wait_loaded(begin)

    def complaints(self, begin=0):
        """What the browser says against pages: refused by their policy, errors of scripts."""
        said = []
        for event in self.events[begin:]:
            if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] in ("error", "warning"):
                said.append(event["params"]["entry"]["text"] + " " + event["params"]["entry"].get("url", ""))
        return said

    def screenshot(self, path):
        picture = base64.b64decode(self.call("Page.captureScreenshot", format="png", wait=40, captureBeyondViewport=True)["data"])
        with open(path, "wb") as file:
            file.write(picture)
        return picture

    def close(self):
        try:
            self.loop.run_until_complete(asyncio.wait_for(self.session.close(), 5))
        except Exception:  # it may be gone already
            pass
        self.loop.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)  # its own group, which we made
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
        shutil.rmtree(self.profile, ignore_errors=True)
