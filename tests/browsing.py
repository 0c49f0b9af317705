"""A headless Chromium that tests drive: Chrome's DevTools protocol, JSON texts through two pipes."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_SECONDS = 60  # that an answer may take
_WITH_PIPES = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 10) for number in sys.argv[1:3]]
for number, pipe in zip((3, 4), pipes):  # where the browser looks for them
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page. Every method raises RuntimeError where the browser or the page has failed."""

    def __init__(self, folder):
        own, theirs = os.pipe(), os.pipe()  # what they read, what they write
        self._write, self._read, self._rest = own[1], theirs[0], b""
        command = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WITH_PIPES, str(own[0]), str(theirs[1]), *command],
            pass_fds=(own[0], theirs[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(own[0])
        os.close(theirs[1])
        self._number, self._session, self.events = 0, None, []
        try:
            self._begin()
        except RuntimeError:
            self.close()
            raise

    def _begin(self):
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def close(self):
        with contextlib.suppress(RuntimeError, OSError):
            self._session = None
            self._ask("Browser.close")
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, address, width=1000, height=1000, dark=False, touch=False):
        """Loads a page in a window of that size."""
        self.size(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.events.clear()
        self._ask("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive()

    def size(self, width, height):
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def run(self, script):
        """What an expression of the page's is, as JSON holds it."""
        told = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"]["exception"].get("description", str(told)))
        return told["result"].get("value")

    def click(self, selector, share=0.5, touch=False):
        """A click in the middle of an element, or elsewhere across it; or a finger."""
        where = f"document.querySelector({json.dumps(selector)})"
        x, y = self.run(
            f"(() => {{ {where}.scrollIntoView({{block: 'center'}}); const r = {where}.getBoundingClientRect(); "
            f"return [r.left + r.width * {share}, r.top + r.height / 2]; }})()"
        )
        if touch:
            self._ask("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            self._ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key, code=0, text=""):
        more = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def accessible(self):
        """What a screen reader is told: (role, name, value) of all that is not hidden from it."""
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        told = [node for node in nodes if not node["ignored"]]
        return [tuple(node.get(part, {}).get("value") for part in ("role", "name", "value")) for node in told]

    def picture(self):
        """PNG bytes of the window."""
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])

    def complaints(self):
        """What the page, or the browser about it, has to say: errors, and what its policy has refused."""
        self.run("1")
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event["params"] for event in self.events if event["method"] in kinds]

    def asked(self):
        """The addresses that were asked for."""
        return [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]

    def _ask(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self):
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, until - time.monotonic()))
            part = os.read(self._read, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer")
            self._rest += part
        text, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message
