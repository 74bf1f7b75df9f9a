"""Opens a report in headless Chromium and clicks through it (pip install playwright; a Chromium of the system's):

    python scripts/check-report.py report.html PICTURES [/usr/bin/chromium]

Exit code 1 and what happened on an error in the console, an uncaught exception, a request to anywhere, a page wider than its window, or a control that changes
nothing. Screenshots (desktop and phone, light and dark) are left in the folder PICTURES, to be looked at.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

report, pictures = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
chromium = sys.argv[3] if len(sys.argv) > 3 else "/usr/bin/chromium"
pictures.mkdir(parents=True, exist_ok=True)
problems = []


def check(what, holds):
    print(("ok      " if holds else "FAILED  ") + what)
    if not holds:
        problems.append(what)


def click_through(page):
    """Every kind of control does something."""
    lines = "#main-charts .chart:first-child svg path"
    before = page.locator(lines).count()
    check("curves are drawn", before > 0)
    drawing = lambda: "".join(page.locator("#main-charts .chart svg").evaluate_all("(all) => all.map((svg) => svg.innerHTML)"))
    page.locator(".legend button").first.click()
    check("an arm is hidden", page.locator(lines).count() < before)
    page.locator(".legend button").first.click()
    check("and shown again", page.locator(lines).count() == before)
    old = drawing()
    page.select_option(".axis", "time")
    check("the axis may be time", drawing() != old)
    page.select_option(".axis", "step")
    old = drawing()
    page.evaluate("() => { const s = document.querySelector('.smooth'); s.value = 5; s.dispatchEvent(new Event('input')); }")
    check("curves are smoothed", drawing() != old)
    # A constant curve, too: its means differ in the last bit.
    if page.locator("#metric option[value='learning_rate']").count():
        page.select_option("#metric", "learning_rate")
        check("a constant one as well", page.locator("#main-charts .chart").last.locator("svg path").count() > 0)
        page.locator("#main-charts .chart").last.locator("button").click()
    page.evaluate("() => { const s = document.querySelector('.smooth'); s.value = 0; s.dispatchEvent(new Event('input')); }")
    check("and as they were", drawing() == old)
    if page.locator("#main-charts svg path[fill^='var']").count():
        page.locator(".seeds").check()
        check("every run is drawn", drawing() != old)
        page.locator(".seeds").uncheck()
    charts = page.locator("#main-charts .chart").count()
    page.select_option("#metric", index=1)
    check("a metric is added", page.locator("#main-charts .chart").count() == charts + 1)
    page.locator("#main-charts .chart").last.locator("button").click()
    check("and removed", page.locator("#main-charts .chart").count() == charts)
    chart = page.locator("#main-charts .chart svg").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator("#main-charts .tip").first
    check("values are told: " + tip.inner_text().replace("\n", " ")[:100], tip.is_visible() and len(tip.inner_text()) > 5)
    page.screenshot(path=pictures / "pointed.png")
    page.mouse.move(0, 0)
    shown = lambda: page.locator("#shown").inner_text()
    selects = page.locator("#filters select")
    for i in range(selects.count()):
        select = selects.nth(i)
        for j in range(select.locator("option").count()):
            select.select_option(index=j)
        print("        filter: " + shown())
        select.select_option(index=0)
    everything = shown()
    check("questions are shown: " + everything, page.locator(".group").count() > 0)
    if page.locator("#more").is_visible():
        count = page.locator(".group").count()
        page.locator("#more").click()
        check("and more of them", page.locator(".group").count() > count)
    page.fill("#filters input[type=search]", "no such text anywhere")
    check("words are searched: " + shown(), page.locator(".group").count() == 0)
    page.fill("#filters input[type=search]", "")
    page.fill("#filters input[type=number]", "1e9")
    check("rewards are filtered: " + shown(), page.locator(".group").count() == 0)
    page.fill("#filters input[type=number]", "")
    details = page.locator("#configuration details").first
    details.locator("summary").click()
    check("a configuration opens", details.locator("pre").is_visible())
    details.locator("summary").click()
    for link in page.locator("nav a").all():
        link.click()
        check("a section is there: " + link.inner_text(), page.locator(link.get_attribute("href")).count() == 1)


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for name, width, height, touch in [("desktop", 1280, 900, False), ("phone", 390, 844, True)]:
        for scheme in ["light", "dark"]:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=touch, offline=True)
            page = context.new_page()
            page.on("console", lambda message: problems.append(f"console: {message.text}") if message.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
            page.on("request", lambda request: problems.append(f"request: {request.url}") if not request.url.startswith(("file:", "data:")) else None)
            page.goto(report.as_uri())
            page.wait_for_selector("#shown:not(:empty)")
            wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            check(f"{name}, {scheme}: nothing wider than the window ({wide} px)", wide <= 0)
            page.screenshot(path=pictures / f"{name}-{scheme}.png", full_page=True)
            if scheme == "light":
                click_through(page)
            context.close()
    browser.close()
if problems:
    sys.exit("\n".join(problems))
print("no error in the console, no request")
