"""The admin page in a browser: a login, the plots, a search, a publication and a disconnect, on a screen and on a phone."""

import json
from pathlib import Path

from agents import Client
from browser import Browser
from kit import Kind
from server import Server

PASSWORD = "correct horse battery"
SCREENS = {"screen": {"width": 1280, "height": 860, "mobile": False}, "phone": {"width": 390, "height": 844, "mobile": True}}


class Page:
    """The admin page in a tab of a size."""

    def __init__(self, browser, server, size):
        self.tab = browser.open("about:blank#")
        self.tab.call("Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, **SCREENS[size])
        self.tab.call("Page.navigate", url=f"{server.base}/admin")
        self.tab.until("document.getElementById('login') && document.readyState === 'complete'")

    def until(self, condition):
        self.tab.until(condition)

    def value(self, expression):
        return self.tab.value(expression)

    def says(self, text, at="main"):
        self.until(f"document.querySelector({json.dumps(at)})?.innerText.includes({json.dumps(text)})")

    def click(self, text):
        """Presses the button with this text, as soon as it is there."""
        button = f"[...document.querySelectorAll('button')].find((own) => own.innerText.trim() === {json.dumps(text)} && own.checkVisibility())"
        self.until(button)
        self.value(f"{button}.click()")

    def fills(self, selector, text):
        field = f"document.querySelector({json.dumps(selector)})"
        self.until(field)
        self.value(f"{field}.value = {json.dumps(text)}; {field}.dispatchEvent(new Event('input', {{ bubbles: true }})); 0")

    def goes(self, hash):
        self.value(f"location.hash = {json.dumps(hash)}; 0")

    def fits(self, view):
        """Nothing is wider than the window."""
        over = self.value("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0, f"{view} is {over} pixels too wide"


def shown(page, size, view):
    page.fits(f"{view} on a {size}")
    page.tab.picture(f"target/admin-{view}-{size}.png")


def operators_see_and_change_what_runs_on_a_screen_and_on_a_phone(stage):
    Path("target").mkdir(exist_ok=True)
    more = ("--push-admin-password", PASSWORD)
    with Server(command=stage.server.command, plain=True, more=more) as server, Browser() as browser:
        for size in SCREENS:
            client = Client(stage.javascript, server.base, kind=Kind("js", "websocket", "json"))
            id = client.connect()["id"]
            channel, hurtful = f"demo:seen-on-a-{size}", f"demo:<img src=x onerror=hurt=1>{size}"
            client.subscribe(channel)
            client.subscribe(hurtful)
            page = Page(browser, server, size)
            page.until("!document.getElementById('login').hidden && document.getElementById('app').hidden")
            shown(page, size, "login")
            page.fills("#password", "wrong")
            page.click("Log in")
            page.until("document.getElementById('login-error').innerText !== ''")
            page.fills("#password", PASSWORD)
            page.click("Log in")
            page.until("!document.getElementById('app').hidden")
            # Two samples make a line, of which each plot has one at least.
            page.until("document.querySelectorAll('figure').length === 3")
            page.until("[...document.querySelectorAll('figure')].every((plot) => plot.querySelector('svg path.line')?.getAttribute('d'))")
            page.until("[...document.querySelectorAll('.tile')].every((tile) => tile.querySelector('.value').innerText !== '–')")
            shown(page, size, "overview")
            page.goes("#/channels")
            page.fills("#q", f"seen-on-a-{size}")
            page.until(f"document.querySelectorAll('td a').length === 1 && document.querySelector('td a').innerText === {json.dumps(channel)}")
            shown(page, size, "channels")
            page.value("document.querySelector('td a').click()")
            page.fills("#data", '{"from": ')
            page.click("Publish")
            page.says("This is not JSON")
            page.fills("#data", '{"from": "the admin page"}')
            page.click("Publish")
            assert client.data(channel, 1) == [{"from": "the admin page"}]
            page.says("the admin page", ".feed")
            shown(page, size, "channel")
            page.goes("#/channel/" + hurtful.replace("<", "%3C").replace(">", "%3E").replace(" ", "%20"))
            page.says("Subscribers")
            assert page.value("typeof hurt") == "undefined" and page.value("document.querySelectorAll('main img').length") == 0
            page.goes(f"#/clients?q={id}")
            page.until("document.querySelectorAll('td a').length === 1")
            page.value("document.querySelector('td a').click()")
            page.says(channel)
            shown(page, size, "client")
            page.click("Disconnect…")
            page.until("document.getElementById('ask').open")
            page.click("Disconnect")
            assert client.next("disconnected")["code"] == 3503
            page.says("Disconnected.", "#said")
            page.click("Log out")
            page.until("!document.getElementById('login').hidden")
            assert page.value("fetch('/admin/api/live').then((answer) => answer.status)") == 401
            page.tab.close()


operators_see_and_change_what_runs_on_a_screen_and_on_a_phone.is_ours = True

TESTS = (operators_see_and_change_what_runs_on_a_screen_and_on_a_phone,)
