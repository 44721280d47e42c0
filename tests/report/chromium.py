"""Chromium without a window, by its DevTools protocol over a pipe, as `--remote-debugging-pipe` has it."""

import json
import os
import shutil
import subprocess

FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --remote-debugging-pipe"
EXECUTABLE = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """A browser with one page, its profile in an empty folder."""

    def __init__(self, profile):
        commands, self._to = os.pipe()
        self._back, replies = os.pipe()
        # Chromium reads descriptor 3 and writes 4.
        shell = f'exec 3<&{commands} 4>&{replies}; exec "$@"'
        words = ["bash", "-c", shell, "bash", EXECUTABLE, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(words, pass_fds=(commands, replies), **quiet)
        os.close(commands)
        os.close(replies)
        self._count, self._read, self._session, self.events = 0, b"", None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Return the result of a command."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        reply = self._next(lambda message: message.get("id") == self._count)
        assert "error" not in reply, reply
        return reply["result"]

    def _next(self, is_it):
        while True:
            while b"\0" not in self._read:
                part = os.read(self._back, 1 << 20)
                assert part, "Chromium has ended"
                self._read += part
            text, _, self._read = self._read.partition(b"\0")
            message = json.loads(text)
            if is_it(message):
                return message
            self.events.append(message)

    def open(self, path, width):
        """Show a file in a window of this width."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=path.as_uri())
        self._next(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, expression):
        """Return the value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key, code=0, text=""):
        """Press a key of the keyboard."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def complaints(self):
        """Return what was written to the console, what was thrown, and what was loaded from elsewhere."""
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        found = [event for event in self.events if event.get("method") in kinds]
        requests = [
            e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"
        ]
        return [*found, *(url for url in requests if not url.startswith(("file:", "data:")))]

    def close(self):
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._back)
