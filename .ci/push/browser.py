"""A headless Chromium with tabs that are told what to do over its debugging protocol."""

import base64
import json
import urllib.request
from pathlib import Path

from clients_http import Chromium
from server import DEADLINE_S
from websockets.sync.client import connect


class Browser(Chromium):
    """A browser that opens tabs."""

    def __init__(self):
        super().__init__("")
        self.address = f"http://127.0.0.1:{self.port_file.read_text().splitlines()[0]}"

    def open(self, url):
        """A new tab with a page."""
        request = urllib.request.Request(f"{self.address}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            tab = Tab(json.load(response)["webSocketDebuggerUrl"])
        tab.open(url)
        return tab


class Tab:
    """A tab. A page's `tell(x)` puts x into what `heard` waits for."""

    def __init__(self, url):
        self.socket = connect(url, max_size=None)
        self.number = 0
        self.heard_so_far = []
        self.call("Runtime.enable")
        self.call("Page.enable")
        self.call("Runtime.addBinding", name="tellTest")
        script = "globalThis.tell = (value) => tellTest(JSON.stringify(value));"
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def _message(self):
        message = json.loads(self.socket.recv(DEADLINE_S))
        if message.get("method") == "Runtime.bindingCalled":
            self.heard_so_far.append(json.loads(message["params"]["payload"]))
        return message

    def call(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while (answer := self._message()).get("id") != self.number:
            pass
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def open(self, url):
        assert "errorText" not in self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression):
        """The value of an expression, of its promise where it is one."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, condition):
        """Waits until a condition holds, looking at it whenever the page draws or changes."""
        self.value(
            f"""new Promise((resolve, reject) => {{
                const end = setTimeout(() => reject(new Error("not in time; " + document.body?.innerText)), {DEADLINE_S * 900});
                (function look() {{
                    if ({condition}) {{ clearTimeout(end); resolve(true); }} else setTimeout(look, 20);
                }})();
            }})"""
        )

    def heard(self):
        """What the page tells next."""
        while not self.heard_so_far:
            self._message()
        return self.heard_so_far.pop(0)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=13, text="\r")

    def type(self, text):
        self.call("Input.insertText", text=text)

    def picture(self, path):
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.call("Page.close")
        self.socket.close()
