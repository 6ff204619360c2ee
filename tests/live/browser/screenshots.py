"""`make screenshots`: every screen in both themes at three widths, for somebody to look at.

All of them go into a folder, which is named or made; a handful into docs/pictures/.
"""

import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from playwright.async_api import Browser, async_playwright

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS)]

from sites import Site, open_site  # noqa: E402 -- the path is set here

from browsers import ARGUMENTS, CHROMIUM, NO_BROWSER  # noqa: E402
from cw_store import Store  # noqa: E402
from cw_store.cli.demo import fill  # noqa: E402

PICTURES = TESTS.parent / "docs" / "pictures"

Theme: TypeAlias = Literal["light", "dark"]

WIDTHS = (360, 1100, 2560)

SHOWN: tuple[tuple[str, int, Theme], ...] = (
    ("now", 1280, "light"),
    ("now", 360, "dark"),
    ("graph", 1280, "dark"),
    ("timeline", 1280, "light"),
    ("agent", 1280, "dark"),
)
"""What is shown in docs/."""

HEIGHTS = {360: 780, 1100: 900, 1280: 860, 2560: 1300}


async def paths(store: Store) -> dict[str, str]:
    [initiative, *_] = await store.initiatives.find_all()
    return {
        "now": "/",
        "one": f"/initiative/{initiative.id}",
        "graph": f"/initiative/{initiative.id}/graph",
        "graphs": "/graph",
        "timeline": f"/initiative/{initiative.id}/timeline",
        "timelines": "/timeline",
        "agent": "/agent/humble-jackal",
        "crashed": "/agent/humble-koala",
        "search": "/search?q=session",
    }


async def take(
    site: Site, path: str, width: int, theme: Theme, file: Path, *, is_whole: bool
) -> None:
    page = await site.look(path, width=width, theme=theme)
    await page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    if not path.startswith("/search"):
        await page.wait_for_selector("#state.is-live")
    await page.screenshot(path=file, full_page=is_whole)
    await page.context.close()


async def take_all(browser: Browser, folder: Path) -> None:
    demo = folder / "demo.db"
    await fill(demo, now=datetime.now(UTC))
    async with open_site(str(demo), browser) as site:
        places = await paths(site.store)
        for name, width, theme in SHOWN:
            file = PICTURES / f"live-{name}-{width}-{theme}.png"
            await take(site, places[name], width, theme, file, is_whole=False)
            print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
        for name, path in places.items():
            for width in WIDTHS:
                for theme in cast(tuple[Theme, ...], get_args(Theme)):
                    file = folder / f"{name}-{width}-{theme}.png"
                    await take(site, path, width, theme, file, is_whole=name != "agent")


async def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp("-screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(exist_ok=True)
    if CHROMIUM is None:
        sys.exit(NO_BROWSER)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        await take_all(browser, folder)
        await browser.close()
    print(f"all of them: {folder}")


if __name__ == "__main__":
    asyncio.run(main())
